/** The bytes that one demo peer fetches from another: 64 MiB that look random, checked by hash at their end. */

import { createCipheriv, createHash } from 'node:crypto';
import { type Addr, type PeerId, P2PError, type Realm, type SecureAskSwarm, retry } from 'shoal';
import { decodePeerId } from 'shoal/keys';
import { equalBytes } from 'shoal/bytes';
import { Failure } from '../failure.ts';
import { HASH_REQUEST, encodeBlobRequest } from './messages.ts';

export const BLOB_BYTES: number = 64 * 1024 * 1024;
/** One ask each. */
const PIECE_BYTES = 256 * 1024;
const IN_FLIGHT = 8;
const TIMEOUT_MS = 10_000;
/** A call is made so often: a connection that ends takes its asks with it. */
const MAX_ATTEMPTS = 3;

/** What a peer hands out. */
export interface Blob {
  readonly bytes: Uint8Array;
  readonly hash: Uint8Array;
}

/** A peer's own bytes: a key stream under its PeerID, so that no two peers have the same. */
export function makeBlob(id: PeerId): Blob {
  const key = decodePeerId(id)!;
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16, 32));
  const bytes = new Uint8Array(cipher.update(new Uint8Array(BLOB_BYTES)));
  return { bytes, hash: new Uint8Array(createHash('sha256').update(bytes).digest()) };
}

/** How a fetch went. */
export interface Fetched {
  readonly bytes: number;
  readonly ms: number;
  /** Hex. */
  readonly sha256: string;
}

/** What was refused is final, and so is the end of this peer's own swarm. */
function isWorthAnother(error: unknown): boolean {
  return P2PError.is(error) && error.code !== 'closed' && error.code !== 'refused';
}

/** Makes a call that may be made twice until it succeeds. @throws the error of the last attempt. */
export function patiently<T>(realm: Realm, call: () => Promise<T>): Promise<T> {
  return retry(call, { realm, maxAttempts: MAX_ATTEMPTS, shouldRetry: isWorthAnother });
}

/** Fetches the bytes of the peer at `dst`, piece by piece, several at a time. @throws {Failure} when the hash is wrong. */
export async function fetchBlob(
  swarm: SecureAskSwarm<Addr>,
  dst: Addr,
  realm: Realm,
  onBytes: (bytes: number) => void,
): Promise<Fetched> {
  const startedMs = realm.nowMs();
  const call = (request: Uint8Array): Promise<Uint8Array> =>
    patiently(realm, () => swarm.ask(dst, request, { timeoutMs: TIMEOUT_MS }));
  const promised = await call(HASH_REQUEST);
  const hash = createHash('sha256');
  const under: Promise<Uint8Array>[] = [];
  let asked = 0;
  let bytes = 0;
  const ask = (): void => {
    while (asked < BLOB_BYTES && under.length < IN_FLIGHT) {
      const piece = call(encodeBlobRequest({ offset: asked, length: PIECE_BYTES }));
      piece.catch(() => undefined); // the code that awaits it sees the error
      under.push(piece);
      asked += PIECE_BYTES;
    }
  };
  ask();
  for (let first = under.shift(); first !== undefined; first = under.shift()) {
    const piece = await first;
    hash.update(piece);
    bytes += piece.length;
    onBytes(bytes);
    ask();
  }
  const digest = new Uint8Array(hash.digest());
  if (bytes !== BLOB_BYTES || !equalBytes(digest, promised)) {
    throw new Failure(`Fetched ${bytes} of ${BLOB_BYTES} bytes from ${dst.text}, and their hash is wrong`);
  }
  return { bytes, ms: Math.round(realm.nowMs() - startedMs), sha256: Buffer.from(digest).toString('hex') };
}
