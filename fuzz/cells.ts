/** Bytes of cells: what the server of a tracker gets in a request, and what a client reads. */

import { type Bytes, decodeText, encodeText } from '../src/base/bytes.ts';
import { signedCellCheck } from '../src/cells/http-handler.ts';
import { encodeBase64Url } from '../src/protocols/cell/base64.ts';
import { openValue, sealValue } from '../src/protocols/cell/sealed-form.ts';
import { decodeSigned, encodeSigned, signedHash, TRACKER_PURPOSE } from '../src/protocols/cell/signed-form.ts';
import { parseTrackerToken, trackerToken } from '../src/protocols/cell/token.ts';

const token = trackerToken('http://192.0.2.1:8080', new Uint8Array(32).fill(7), 16);
const entry = '{"addr":"udp://192.0.2.1:5000","timestamp":"2023-11-14T22:13:20.5+01:00","ttl":60000000000}';
const state = `{"peers":{"${token.id}":[${entry},${entry}],"x":null}}`;
const box = sealValue(token.sealKey, new Uint8Array(24), encodeText(state));
const signer = encodeBase64Url(token.signer.publicKey.spki);

export const trackerStates: readonly Bytes[] = [encodeText(state), encodeText('{"peers":null}'), encodeText('{}')];

export const cellSeeds: readonly Bytes[] = [
  encodeSigned(box, token.signer.sign(signedHash(TRACKER_PURPOSE, box))),
  box,
  encodeText(token.text),
  encodeText(signer),
];

export function feedCell(input: Bytes): void {
  const text = decodeText(input) ?? '';
  // A token is the user's own text: what is none throws, and nothing else.
  try {
    parseTrackerToken(text);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  decodeSigned(input);
  openValue(token.sealKey, input);
  signedCellCheck(token.id, { method: 'PUT', path: `/${token.id}`, signer, body: input });
  signedCellCheck(token.id, { method: 'PUT', path: `/${token.id}`, signer: text, body: cellSeeds[0]! });
}
