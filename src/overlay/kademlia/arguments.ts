/** What programs hand in. */

import { type Bytes, copyBytes } from '../../base/bytes.ts';
import { assertBytes } from '../../base/checks.ts';
import { decodePeerId, parsePeerId, type PeerId } from '../../core/peer-id.ts';
import { MAX_KEY_BYTES } from '../../protocols/kademlia/messages.ts';
import { type KeyText, keyText } from '../../protocols/kademlia/position.ts';

/** The raw PeerID of a text. @throws {TypeError} when it is no PeerID */
export function rawOf(id: PeerId | string): KeyText {
  return keyText(decodePeerId(parsePeerId(id))!);
}

/** A copy of the caller's key. @throws {TypeError | RangeError} when it is no key */
export function ownKey(key: Uint8Array): Bytes {
  assertBytes(key, 'key');
  if (key.length < 1 || key.length > MAX_KEY_BYTES) {
    throw new RangeError(`Cannot take key: expected 1 to ${MAX_KEY_BYTES} bytes, got ${key.length}`);
  }
  return copyBytes(key);
}
