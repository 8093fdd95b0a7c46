/**
 * Tokens of a tracker: a URL whose fragment is the secret of a network. Everybody who has it can read and write the cell of that network; the server
 * sees neither. Source: docs/wire/cells.md.
 */

import { hmac } from '#crypto';
import { type Bytes, concatBytes, encodeText } from '../../base/bytes.ts';
import { assertBytes, assertString, wholeNumber } from '../../base/checks.ts';
import { decodePeerId, type PeerId } from '../../core/peer-id.ts';
import { peerIdOfKey } from '../../identity/fingerprints.ts';
import { importKey } from '../../identity/import-key.ts';
import type { PrivateKey } from '../../identity/private-key.ts';
import { decodeBase64Url, encodeBase64Url } from './base64.ts';

/** Bytes of the secret. */
export const TOKEN_SECRET_BYTES = 32;
/** Cells of one network. */
export const MAX_TRACKER_SHARDS = 4096;
/** The longest text that is looked at. */
const MAX_TOKEN_CHARACTERS = 2048;

/** A token, taken apart. */
export interface TrackerToken {
  /** Where the server is, without the cell: `https://tracker.example.org`. No slash at the end. */
  readonly endpoint: string;
  /** The name of the cell: the PeerID of {@link TrackerToken.signer}. */
  readonly id: PeerId;
  /** Signs what is written. */
  readonly signer: PrivateKey;
  /** Seals what is written: 32 bytes. */
  readonly sealKey: Bytes;
  /** How many cells the peers of the network share, by PeerID. 1 is go-p2p's form. */
  readonly shards: number;
  /** The whole token; it holds the secret. */
  readonly text: string;
}

/** HKDF-Expand (RFC 5869 §2.3) of one block with SHA3-256; go-p2p leaves the extraction out. */
function expand(secret: Uint8Array, info: string): Bytes {
  return hmac('sha3-256', secret, concatBytes(encodeText(info), Uint8Array.of(1)));
}

/**
 * The token of a secret at a server.
 *
 * @param endpoint - `http:` or `https:`, without query and fragment.
 * @param shards - how many cells the network has, 1 to 4096. A cell of 32 KiB holds some hundred peers.
 * @throws {TypeError | RangeError} for an endpoint that is no such URL, and for a secret that is not 32 bytes.
 */
export function trackerToken(endpoint: string, secret: Uint8Array, shards = 1): TrackerToken {
  wholeNumber(shards, 'shards', 1, 1, MAX_TRACKER_SHARDS);
  assertString(endpoint, 'endpoint');
  assertBytes(secret, 'secret', TOKEN_SECRET_BYTES);
  const url = URL.parse(endpoint);
  const isPlain = url?.search === '' && url.hash === '' && url.username === '' && url.password === '';
  if (!isPlain || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError('Cannot take endpoint: expected http://host[:port] or https://host[:port]');
  }
  const seed = expand(secret, 'ed25519-private-key');
  const signer = importKey(seed, { format: 'seed' });
  const id = peerIdOfKey(signer.publicKey);
  const base = url.href.replace(/\/+$/, '');
  const text = `${base}/${id}#${encodeBase64Url(secret)}${shards === 1 ? '' : `*${shards}`}`;
  return { endpoint: base, id, signer, sealKey: expand(secret, 'secretbox-symmetric-key'), shards, text };
}

/**
 * Reads a token: `<endpoint>/<cell id>#<secret>`.
 *
 * @throws {TypeError} for text that is no token, or whose cell does not belong to its secret. The text is never quoted.
 */
export function parseTrackerToken(text: string): TrackerToken {
  assertTokenText(text);
  const hash = text.indexOf('#');
  const slash = text.lastIndexOf('/', hash);
  const [, encoded = '', count] = /^([^*]*)(?:\*([1-9]\d{0,3}))?$/.exec(hash < 0 ? '' : text.slice(hash + 1)) ?? [];
  const secret = decodeBase64Url(encoded);
  const shards = Number(count ?? 1);
  if (slash < 0 || secret?.length !== TOKEN_SECRET_BYTES || shards > MAX_TRACKER_SHARDS || count === '1') {
    throw new TypeError('Cannot take tracker: expected http[s]://host[:port]/<cell id>#<secret of 32 bytes in base64>');
  }
  const token = trackerToken(text.slice(0, slash), secret, shards);
  if (token.id !== text.slice(slash + 1, hash)) {
    throw new TypeError('Cannot take tracker: the secret behind # belongs to another cell than the URL names');
  }
  return token;
}

/** The index of the cell of a peer: the first four bytes of its PeerID, modulo the cells. */
export function shardOfPeer(id: PeerId, shards: number): number {
  const bytes = decodePeerId(id)!;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) % shards;
}

/** The token of one cell of a network with several. */
export function shardToken({ endpoint, text, shards }: TrackerToken, index: number): TrackerToken {
  const secret = decodeBase64Url(text.slice(text.indexOf('#') + 1, text.lastIndexOf('*')))!;
  return trackerToken(endpoint, expand(secret, `shoal tracker shard ${index} of ${shards}`));
}

function assertTokenText(text: unknown): asserts text is string {
  if (typeof text === 'string' && text.length <= MAX_TOKEN_CHARACTERS) return;
  throw new TypeError('Cannot take tracker: expected the URL of a tracker, a text of at most 2048 characters');
}
