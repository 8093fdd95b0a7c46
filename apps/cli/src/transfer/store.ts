/**
 * Where a transfer is put together: under a name of its own beside the final one, which appears only when everything is
 * there and its hashes are right. What was interrupted is gone on with.
 */

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, chmod, link, lstat, mkdir, open, rename, rm, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { type Bytes, toHex } from 'shoal';
import { Failure } from '../failure.ts';
import { type Manifest, type ManifestFile } from './manifest.ts';

/** Characters of the manifest's hash in the name: another content under the same name is put together elsewhere. */
const TAG_CHARACTERS = 12;

/** What a file needs yet. */
export interface Rest {
  /** Bytes that are there already. */
  readonly from: number;
  /** Has taken those bytes. */
  readonly hash: Hash;
}

export class Store {
  /** Where the whole will be. */
  readonly target: string;
  readonly #parts: string;
  readonly #manifest: Manifest;
  readonly #force: boolean;

  constructor(folder: string, manifest: Manifest, hash: Bytes, force: boolean) {
    this.target = path.join(path.resolve(folder), manifest.name);
    const tag = toHex(hash).slice(0, TAG_CHARACTERS);
    this.#parts = path.join(path.resolve(folder), `.${manifest.name}.${tag}.shoal-part`);
    this.#manifest = manifest;
    this.#force = force;
  }

  /** Makes room. @throws {Failure} when the target is there and may not be replaced. */
  async prepare(): Promise<void> {
    await this.#refuseExisting();
    await mkdir(path.dirname(this.target), { recursive: true });
    if (this.#manifest.kind === 'file') return;
    await mkdir(this.#parts, { recursive: true });
    for (const folder of this.#manifest.folders) await mkdir(this.#at(folder), { recursive: true });
  }

  /** What is there of a file from an earlier attempt. */
  async rest(file: ManifestFile, signal: AbortSignal): Promise<Rest> {
    const hash = createHash('sha256');
    const found = await lstat(this.#at(file.path)).catch(() => undefined);
    if (found === undefined) return { from: 0, hash };
    if (!found.isFile() || found.size > file.bytes) {
      await rm(this.#at(file.path), { recursive: true, force: true });
      return { from: 0, hash };
    }
    for await (const chunk of createReadStream(this.#at(file.path), { signal }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
    }
    return { from: found.size, hash };
  }

  /** Appends what comes, and checks the whole. @throws {Failure} when the hash is wrong; the file is gone then. */
  async write(
    file: ManifestFile,
    { from, hash }: Rest,
    pieces: AsyncIterable<Bytes>,
    onWritten: (bytes: number) => void,
  ): Promise<void> {
    const at = this.#at(file.path);
    const flags = from === 0 ? 'w' : 'r+';
    let handle: FileHandle | undefined;
    try {
      let position = from;
      for await (const piece of pieces) {
        handle ??= await open(at, flags);
        await writeAll(handle, piece, position);
        hash.update(piece);
        position += piece.length;
        onWritten(piece.length);
      }
      handle ??= await open(at, flags);
      await handle.sync();
    } finally {
      await handle?.close();
    }
    if (hash.digest('hex') !== file.sha256) {
      await unlink(at);
      throw new Failure(
        `Cannot receive ${path.join(this.#manifest.name, file.path)}: its hash is not the promised one; what had come of it is deleted, try again`,
      );
    }
    if (file.executable) await chmod(at, 0o755);
  }

  /** Gives the whole its name. @throws {Failure} when somebody else has taken it meanwhile. */
  async finish(): Promise<void> {
    const { kind } = this.#manifest;
    if (this.#force) {
      const old = `${this.#parts}.old`;
      const replaced = await stat(this.target).then(
        () => true,
        () => false,
      );
      if (replaced) await rename(this.target, old);
      await rename(this.#parts, this.target);
      await rm(old, { recursive: true, force: true });
    } else if (kind === 'file') {
      // A link fails where a name exists, a rename would replace what is there; without links the look has to do.
      const linked = await link(this.#parts, this.target).then(
        () => true,
        async () => (await this.#refuseExisting(), false),
      );
      if (linked) await unlink(this.#parts);
      else await rename(this.#parts, this.target);
    } else {
      await this.#refuseExisting();
      await rename(this.#parts, this.target);
    }
  }

  #at(relative: string): string {
    return relative === '' ? this.#parts : path.join(this.#parts, ...relative.split('/'));
  }

  async #refuseExisting(): Promise<void> {
    if (this.#force) return;
    const found = await lstat(this.target).catch(() => undefined);
    if (found !== undefined) throw new Failure(`Cannot write ${this.target}: it exists; --force replaces it`);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
