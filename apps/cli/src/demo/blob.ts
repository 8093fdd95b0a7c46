/** The bytes that one demo peer streams to another: 64 MiB that look random, with their hash at the end. */

import { createCipheriv, createHash } from 'node:crypto';
import type { PeerId, Realm } from 'shoal';
import { decodePeerId } from 'shoal/keys';
import type { Peers, PeerStream } from 'shoal/peers';
import { Failure } from '../failure.ts';

export const BLOB_BYTES: number = 64 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const HASH_BYTES = 32;

/** How a fetch went. */
export interface Fetched {
  readonly bytes: number;
  readonly ms: number;
  /** Hex. */
  readonly sha256: string;
}

/** Streams a peer's own bytes, and their hash: a key stream under its PeerID, so that no two peers have the same. */
export async function sendBlob(id: PeerId, { writable }: PeerStream): Promise<void> {
  const key = decodePeerId(id)!;
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16, 32));
  const hash = createHash('sha256');
  const writer = writable.getWriter();
  const zeros = new Uint8Array(PIECE_BYTES);
  for (let sent = 0; sent < BLOB_BYTES; sent += PIECE_BYTES) {
    const piece = cipher.update(zeros);
    hash.update(piece);
    await writer.write(piece);
  }
  await writer.write(hash.digest());
  await writer.close();
}

/** Fetches the bytes of a peer over a stream. @throws {Failure} when the hash is wrong. */
export async function fetchBlob(
  peers: Peers,
  id: PeerId,
  realm: Realm,
  onBytes: (bytes: number) => void,
): Promise<Fetched> {
  const startedMs = realm.nowMs();
  const { readable, writable } = await peers.openStream(id);
  await writable.close();
  const hash = createHash('sha256');
  const promised: Uint8Array[] = []; // Bounded by HASH_BYTES: more is a failure.
  let bytes = 0;
  for await (const chunk of readable as AsyncIterable<Uint8Array>) {
    const piece = chunk.subarray(0, BLOB_BYTES - bytes);
    hash.update(piece);
    bytes += piece.length;
    if (piece.length < chunk.length) promised.push(chunk.subarray(piece.length));
    if (promised.length > HASH_BYTES) break;
    onBytes(bytes);
  }
  const sha256 = hash.digest('hex');
  if (bytes !== BLOB_BYTES || Buffer.concat(promised).toString('hex') !== sha256) {
    throw new Failure(`Fetched ${bytes} of ${BLOB_BYTES} bytes from ${id}, and their hash is wrong`);
  }
  return { bytes, ms: Math.round(realm.nowMs() - startedMs), sha256 };
}
