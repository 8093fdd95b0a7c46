/** The sending side: what is offered, and the answers to those who fetch it. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { type Stats, createReadStream } from 'node:fs';
import { type FileHandle, lstat, open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Bytes, concatBytes, encodeText } from 'shoal';
import { type PrivateKey } from 'shoal/keys';
import { Failure } from '../failure.ts';
import { type Manifest, type ManifestFile, MAX_ENTRIES, encodeManifest } from './manifest.ts';
import { Refused, STATUS, type TransferRequest, decodeRequest } from './messages.ts';
import { SECRET_BYTES } from './ticket.ts';

/** A file as it was when it was hashed; another one under its name is not what the ticket promises. */
interface Source {
  readonly file: string;
  readonly mtimeMs: number;
  readonly bytes: number;
}

const sha256 = (bytes: Uint8Array): Bytes => new Uint8Array(createHash('sha256').update(bytes).digest());

/** Files that are kept open; more are opened anew when they are asked for. */
const MAX_OPEN = 16;

/** What is being served. */
export class Offer implements AsyncDisposable {
  readonly manifest: Manifest;
  readonly hash: Bytes;
  /** Depends on the key and the contents only, so that a ticket stays good when the same is sent again with that key. */
  readonly secret: Bytes;
  readonly #encoded: Bytes;
  readonly #sources: readonly Source[];
  /** By index, the one used last at the end. Bounded by {@link MAX_OPEN}. */
  readonly #open = new Map<number, Promise<FileHandle>>();

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
    const handle = await this.#handle(file - 1, source);
    const answer = new Uint8Array(1 + wanted);
    const { bytesRead } = await handle.read(answer, 1, wanted, offset);
    const { mtimeMs, size } = await handle.stat();
    if (mtimeMs !== source.mtimeMs || size !== source.bytes || bytesRead !== wanted) throw new Refused('changed');
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const handles = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled(handles.map(async (handle) => (await handle).close()));
  }

  async #handle(index: number, { file }: Source): Promise<FileHandle> {
    const opening = this.#open.get(index) ?? open(file, 'r');
    this.#open.delete(index);
    this.#open.set(index, opening);
    for (const [oldest, handle] of this.#open) {
      if (this.#open.size <= MAX_OPEN) break;
      this.#open.delete(oldest);
      // One that is read from right now is closed once the read is over.
      void handle.then((each) => each.close()).catch(() => undefined);
    }
    try {
      return await opening;
    } catch {
      this.#open.delete(index);
      throw new Refused('changed');
    }
  }
}

/** Shows how far the hashing is. */
export interface HashingProgress extends Disposable {
  add(bytes: number): void;
}

/**
 * Reads and hashes a file, or a folder and all in it; links and devices are left out.
 *
 * @param onLeftOut - called with the path of what is neither file nor folder.
 * @param progressOf - makes the progress of a hashing of so many bytes.
 * @throws {Failure} when something cannot be read.
 */
export async function makeOffer(
  root: string,
  privateKey: PrivateKey,
  signal: AbortSignal,
  onLeftOut: (file: string) => void,
  progressOf: (name: string, bytes: number) => HashingProgress,
): Promise<Offer> {
  try {
    const whole = path.resolve(root);
    const name = path.basename(whole);
    const { kind, entries, folders } = await list(whole, onLeftOut);
    using progress = progressOf(
      `hashing ${name}`,
      entries.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    const files: ManifestFile[] = [];
    for (const { path: relative, file, bytes, executable } of entries) {
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(file, { signal, highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        progress.add(chunk.length);
      }
      files.push({ path: relative, bytes, sha256: hash.digest('hex'), executable });
    }
    return new Offer({ name, kind, files, folders }, entries, privateKey);
  } catch (error) {
    if (signal.aborted || error instanceof Failure) throw error;
    throw new Failure(`Cannot send ${root}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

interface Entry extends Source {
  /** Below the whole, with `/` between. */
  readonly path: string;
  readonly executable: boolean;
}

interface Listed {
  readonly kind: Manifest['kind'];
  readonly entries: readonly Entry[];
  readonly folders: readonly string[];
}

const entryOf = (relative: string, file: string, { size, mtimeMs, mode }: Stats): Entry => ({
  path: relative,
  file,
  bytes: size,
  mtimeMs,
  executable: (mode & 0o111) !== 0,
});

async function list(whole: string, onLeftOut: (file: string) => void): Promise<Listed> {
  const found = await stat(whole);
  if (found.isFile()) return { kind: 'file', entries: [entryOf('', whole, found)], folders: [] };
  if (!found.isDirectory()) throw new Failure(`Cannot send ${whole}: it is neither a file nor a folder`);
  const entries: Entry[] = [];
  const folders: string[] = [];
  const pending = [''];
  for (let folder = pending.shift(); folder !== undefined; folder = pending.shift()) {
    const names = (await readdir(path.join(whole, ...folder.split('/')))).toSorted();
    for (const name of names) {
      const relative = folder === '' ? name : `${folder}/${name}`;
      const file = path.join(whole, ...relative.split('/'));
      const each = await lstat(file);
      if (each.isDirectory()) {
        folders.push(relative);
        pending.push(relative);
      } else if (each.isFile()) entries.push(entryOf(relative, file, each));
      else onLeftOut(file);
      if (entries.length + folders.length > MAX_ENTRIES) {
        throw new Failure(`Cannot send ${whole}: more than ${MAX_ENTRIES} files; send an archive of it`);
      }
    }
  }
  return { kind: 'folder', entries, folders };
}
