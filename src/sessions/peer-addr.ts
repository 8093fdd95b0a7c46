/** Addresses that begin with a PeerID: `<PeerID>@<inner>`. */

import { assertString, describeValue } from '../base/checks.ts';
import { parsePeerId, type PeerId } from '../core/peer-id.ts';

/** Splits such a text. @throws {TypeError} when the first part is not a PeerID, or there is no @. */
export function splitPeerAddr(text: string): { readonly id: PeerId; readonly inner: string } {
  assertString(text, 'address');
  const at = text.indexOf('@');
  if (at < 0) {
    throw new TypeError(`Cannot parse address: expected <PeerID>@<inner address>, got ${describeValue(text)}`);
  }
  return { id: parsePeerId(text.slice(0, at)), inner: text.slice(at + 1) };
}
