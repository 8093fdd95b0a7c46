/** The sending side: what is offered, and the answers to those who fetch it. */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { Bytes } from 'shoal';
import { concatBytes, encodeText } from 'shoal/bytes';
import type { PrivateKey } from 'shoal/keys';
import { Failure } from '../failure.ts';
import { printable } from '../printable.ts';
import { type Entry, type OpenSource, type Source, list, messageOf, openSource } from './list.ts';
import { type Manifest, type ManifestFile, MAX_MANIFEST_BYTES, decodeManifest, encodeManifest } from './manifest.ts';
import { Refused, STATUS, type TransferRequest, decodeRequest } from './messages.ts';
import { SECRET_BYTES } from './ticket.ts';

const sha256 = (bytes: Uint8Array): Bytes => new Uint8Array(createHash('sha256').update(bytes).digest());

/** Bytes that are read and hashed at a time. */
const READ_BYTES = 2 ** 20;

interface Shared {
  readonly opened: Promise<OpenSource | undefined>;
  readers: number;
}

/** What is being served. */
export class Offer {
  readonly manifest: Manifest;
  readonly hash: Bytes;
  /** Depends on the key and the contents only, so that a ticket stays good when the same is sent again with that key. */
  readonly secret: Bytes;
  readonly #encoded: Bytes;
  readonly #sources: readonly Source[];
  /** Files that answers under way read. Bounded by the requests that the peers may have pending. */
  readonly #open = new Map<Source, Shared>();

  constructor(manifest: Manifest, sources: readonly Source[], privateKey: PrivateKey) {
    this.manifest = manifest;
    this.#encoded = encodeManifest(manifest);
    this.hash = sha256(this.#encoded);
    this.secret = sha256(privateKey.sign(concatBytes(encodeText('shoal send\0'), this.hash))).slice(0, SECRET_BYTES);
    this.#sources = sources;
  }

  /**
   * The answer to a message; never rejects for what is in it.
   *
   * @param onDone - called when it says that all has arrived.
   */
  async answer(message: Uint8Array, onDone: () => void): Promise<Uint8Array> {
    try {
      const request = this.#take(message);
      if (request.type === 'read') return await this.#read(request);
      onDone();
      return Uint8Array.of(STATUS.ok);
    } catch (error) {
      if (error instanceof Refused) return Uint8Array.of(error.status);
      throw error;
    }
  }

  #take(message: Uint8Array): TransferRequest {
    const shown = message.subarray(0, SECRET_BYTES);
    if (shown.length !== SECRET_BYTES || !timingSafeEqual(shown, this.secret)) throw new Refused('secret');
    return decodeRequest(message);
  }

  /** The bytes that were asked for, behind the status; fewer at the end of a file. */
  async #read({ file, offset, length }: Extract<TransferRequest, { readonly type: 'read' }>): Promise<Uint8Array> {
    if (file === 0) return concatBytes(Uint8Array.of(STATUS.ok), this.#encoded.subarray(offset, offset + length));
    const source = this.#sources[file - 1];
    if (source === undefined) throw new Refused('request');
    const wanted = Math.max(Math.min(length, source.bytes - offset), 0);
    await using shared = this.#share(source);
    const opened = await shared.opened;
    if (opened === undefined) throw new Refused('changed');
    const answer = new Uint8Array(1 + wanted);
    const { bytesRead } = await opened.handle.read(answer, 1, wanted, offset);
    if (bytesRead !== wanted || !(await opened.isSame())) throw new Refused('changed');
    return answer;
  }

  /** Opens a file, or takes it as it is open for another answer; it is closed with the last answer that reads it. */
  #share(source: Source): AsyncDisposable & Pick<Shared, 'opened'> {
    let shared = this.#open.get(source);
    if (shared === undefined) {
      shared = { opened: openSource(source), readers: 0 };
      this.#open.set(source, shared);
    }
    const { opened } = shared;
    shared.readers++;
    const close = async (): Promise<void> => {
      if (--shared.readers > 0) return;
      this.#open.delete(source);
      await (await opened.catch(() => undefined))?.[Symbol.asyncDispose]();
    };
    return { opened, [Symbol.asyncDispose]: close };
  }
}

/** Shows how far the hashing is. */
export interface HashingProgress extends Disposable {
  add(bytes: number): void;
}

const NOT_STEADY = 'it changes while it is read, or has another length than the system says';

/**
 * Reads and hashes a file, or a folder and all in it that a receiver can take; the rest is left out.
 *
 * @param onLeftOut - called with each path that is left out, and why.
 * @param progressOf - makes the progress of a hashing of so many bytes.
 * @throws {Failure} when the whole cannot be read, or no receiver could take it.
 */
export async function makeOffer(
  root: string,
  privateKey: PrivateKey,
  signal: AbortSignal,
  onLeftOut: (file: string, why: string) => void,
  progressOf: (name: string, bytes: number) => HashingProgress,
): Promise<Offer> {
  try {
    const { name, kind, entries, folders } = await list(root, onLeftOut);
    const unread = entries.map((entry) => fileOf(entry, '0'.repeat(64)));
    assertTakable({ name, kind, files: unread, folders });
    using progress = progressOf(
      `hashing ${name}`,
      entries.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    const files: ManifestFile[] = [];
    const sources: Source[] = [];
    for (const entry of entries) {
      try {
        files.push(fileOf(entry, await hashOf(entry, signal, progress)));
        sources.push(entry);
      } catch (error) {
        if (kind === 'file') throw error;
        signal.throwIfAborted();
        onLeftOut(entry.file, messageOf(error));
      }
    }
    return new Offer({ name, kind, files, folders }, sources, privateKey);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure(`Cannot send ${printable(root)}: ${messageOf(error)}`, { cause: error });
  }
}

function fileOf({ path, bytes, executable }: Entry, sha256: string): ManifestFile {
  return { path, bytes, sha256, executable };
}

/** Judges a manifest as the receiver will. @throws {Failure} when it would be refused. */
function assertTakable(manifest: Manifest): void {
  const encoded = encodeManifest(manifest);
  if (encoded.length > MAX_MANIFEST_BYTES) {
    throw new Failure(
      `the list of its ${manifest.files.length} files takes ${encoded.length} bytes, the most is ${MAX_MANIFEST_BYTES}; send an archive of it`,
    );
  }
  decodeManifest(encoded, (why) => {
    throw new Failure(why);
  });
}

/** SHA-256 of a file, hex. @throws {Failure} when it is not what was listed, from its first byte to its last. */
async function hashOf(source: Source, signal: AbortSignal, progress: HashingProgress): Promise<string> {
  await using opened = await openSource(source);
  if (opened === undefined) throw new Failure(NOT_STEADY);
  const hash = createHash('sha256');
  const buffer = new Uint8Array(Math.min(READ_BYTES, source.bytes + 1));
  let at = 0;
  // One byte more than there should be: a file that grows ends there.
  while (at <= source.bytes) {
    signal.throwIfAborted();
    const { bytesRead } = await opened.handle.read(buffer, 0, Math.min(buffer.length, source.bytes + 1 - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
    progress.add(bytesRead);
  }
  if (at !== source.bytes || !(await opened.isSame())) throw new Failure(NOT_STEADY);
  return hash.digest('hex');
}
