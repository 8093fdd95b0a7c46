/**
 * Where a transfer is put together: under a name of its own beside the final one, which appears only when everything is
 * there, on the disk, and its hashes are right. What was interrupted is gone on with. Links are never followed: one in
 * the place of a part is removed, one in the place of a folder is refused.
 */

import { createHash, type Hash } from 'node:crypto';
import { type Stats, constants, createReadStream } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, realpath, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Bytes } from 'shoal';
import { encodeText, toHex } from 'shoal/bytes';
import { Failure } from '../failure.ts';
import { printable } from '../printable.ts';
import type { Manifest, ManifestFile } from './manifest.ts';
import { quoteName } from './names.ts';

/** Characters of the manifest's hash in the name: another content under the same name is put together elsewhere. */
const TAG_CHARACTERS = 12;
/** Bytes of the name in the name of its part: with the rest around it, it stays below the 255 of a file system. */
const PART_NAME_BYTES = 200;
/** Bytes that a path may have, with the zero behind it. */
const MAX_PATH_BYTES: Readonly<Partial<Record<NodeJS.Platform, number>>> = { linux: 4096, darwin: 1024 };
/** Files that wait for the disk at a time. */
const MAX_ENDING = 16;
// Windows has no such flag, and no links without being asked for.
const { O_NOFOLLOW = 0 } = constants as Partial<typeof constants>;

/** What a file needs yet. */
export interface Rest {
  /** Bytes that are there already. */
  readonly from: number;
  /** The hash state after those bytes; absent without bytes. */
  readonly hash?: Hash;
}

export class Store {
  /** Where the whole will be. */
  readonly target: string;
  readonly #parts: string;
  readonly #manifest: Manifest;
  readonly #force: boolean;
  /** Files that are written and not yet on the disk. Bounded by {@link MAX_ENDING}. */
  readonly #ending = new Set<Promise<void>>();
  /** The first of those that went wrong. */
  #failure: { readonly error: unknown } | undefined;

  private constructor(folder: string, manifest: Manifest, hash: Bytes, force: boolean) {
    this.target = path.join(folder, manifest.name);
    const tag = toHex(hash).slice(0, TAG_CHARACTERS);
    this.#parts = path.join(folder, `.${cutName(manifest.name)}.${tag}.shoal-part`);
    this.#manifest = manifest;
    this.#force = force;
  }

  /** Opens the store in a folder, which is made when it is not there; what the folder's own path says is followed. */
  static async open(folder: string, manifest: Manifest, hash: Bytes, force: boolean): Promise<Store> {
    await mkdir(folder, { recursive: true });
    return new Store(await realpath(folder), manifest, hash, force);
  }

  /** Whether a folder stands where the whole will be. */
  async replacesFolder(): Promise<boolean> {
    return (await lookAt(this.target))?.isDirectory() === true;
  }

  /** Makes room. @throws {Failure} when the target is there and may not be replaced, or a path is too long. */
  async prepare(): Promise<void> {
    await this.#refuseExisting();
    const { kind, files, folders } = this.#manifest;
    const most = MAX_PATH_BYTES[process.platform] ?? Infinity;
    for (const each of [this.target, `${this.#parts}.old`, ...files.map((file) => this.#at(file.path))]) {
      const bytes = encodeText(each).length;
      if (bytes < most) continue;
      throw new Failure(`Cannot write ${printable(each)}: its path has ${bytes} bytes; choose a shorter --out`);
    }
    if (kind === 'file') return;
    for (const folder of ['', ...folders]) await makeFolder(this.#at(folder));
  }

  /** What is there of a file from an earlier attempt. */
  async rest(file: ManifestFile, signal: AbortSignal): Promise<Rest> {
    const at = this.#at(file.path);
    const found = await lookAt(at);
    if (found === undefined) return { from: 0 };
    // A part with a second name or another owner could be changed by others.
    const usable = found.isFile() && found.nlink === 1 && isOwn(found);
    if (!usable || found.size === 0 || found.size > file.bytes) {
      await rm(at, { recursive: true, force: true });
      return { from: 0 };
    }
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(at, { signal }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
    }
    return { from: found.size, hash };
  }

  /**
   * Appends what comes. The hash is checked, and the disk waited for, while the next files are written.
   *
   * @param onWritten - called with bytes that a later attempt finds.
   * @throws {Failure} when the hash of this file or one before is wrong; that file is gone then.
   */
  async write(
    file: ManifestFile,
    { from, hash = createHash('sha256') }: Rest,
    pieces: AsyncIterable<Bytes>,
    onWritten: (bytes: number) => void,
  ): Promise<void> {
    await this.#settle(MAX_ENDING - 1);
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    const flags = O_WRONLY | O_NOFOLLOW | (from === 0 ? O_CREAT | O_EXCL : 0);
    let handle: FileHandle | undefined;
    const opened = async (): Promise<FileHandle> =>
      (handle ??= await open(this.#at(file.path), flags, file.executable ? 0o777 : 0o666));
    try {
      let position = from;
      for await (const piece of pieces) {
        const writing = writeAll(await opened(), piece, position);
        // The disk writes meanwhile.
        hash.update(piece);
        await writing;
        position += piece.length;
        onWritten(piece.length);
      }
    } catch (error) {
      await handle?.close();
      throw error;
    }
    const ending = this.#end(file, await opened(), hash.digest('hex')).catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#ending.add(ending);
    void ending.then(() => this.#ending.delete(ending));
  }

  /** Gives the whole its name. @throws {Failure} when a hash is wrong, or the name was taken in the meantime. */
  async finish(): Promise<void> {
    await this.#settle(0);
    const { kind, folders } = this.#manifest;
    if (kind === 'folder') for (const folder of ['', ...folders]) await syncFolder(this.#at(folder));
    if (this.#force) await this.#replace();
    else if (kind === 'file') {
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
    await syncFolder(path.dirname(this.target));
  }

  /** Puts the whole in the place of what is there: at once for files; a folder stands aside for that long. */
  async #replace(): Promise<void> {
    const found = await lookAt(this.target);
    if (found === undefined || (this.#manifest.kind === 'file' && !found.isDirectory())) {
      await rename(this.#parts, this.target);
      return;
    }
    const old = `${this.#parts}.old`;
    await rm(old, { recursive: true, force: true });
    await rename(this.target, old);
    try {
      await rename(this.#parts, this.target);
    } catch (error) {
      await rename(old, this.target);
      throw error;
    }
    await rm(old, { recursive: true, force: true });
  }

  /** Waits until at most so many files are on their way to the disk. @throws what went wrong with one before. */
  async #settle(most: number): Promise<void> {
    while (this.#ending.size > most) await Promise.race(this.#ending);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #end(file: ManifestFile, handle: FileHandle, sha256: string): Promise<void> {
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (sha256 === file.sha256) return;
    await unlink(this.#at(file.path));
    const name = file.path === '' ? this.#manifest.name : `${this.#manifest.name}/${file.path}`;
    throw new Failure(
      `Cannot receive ${quoteName(name)}: its hash is not the promised one; what had come of it is deleted, try again`,
    );
  }

  #at(relative: string): string {
    return relative === '' ? this.#parts : path.join(this.#parts, ...relative.split('/'));
  }

  async #refuseExisting(): Promise<void> {
    if (this.#force || (await lookAt(this.target)) === undefined) return;
    throw new Failure(`Cannot write ${printable(this.target)}: it exists; --force replaces it`);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

/** What is at a path, links not followed; `undefined` when nothing is. */
async function lookAt(file: string): Promise<Stats | undefined> {
  try {
    return await lstat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function isOwn({ uid }: Stats): boolean {
  return process.getuid === undefined || uid === process.getuid();
}

/** Makes a folder, or takes the one that an earlier attempt has made. @throws {Failure} when something else is there. */
async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
  const found = await lstat(folder);
  if (found.isDirectory() && isOwn(found)) return;
  throw new Failure(`Cannot write ${printable(folder)}: something else of that name is there; remove it`);
}

/** Makes names in a folder outlast a power cut, where the system can. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The beginning of a name, in whole characters. */
function cutName(name: string): string {
  let cut = '';
  let bytes = 0;
  for (const character of name) {
    bytes += encodeText(character).length;
    if (bytes > PART_NAME_BYTES) break;
    cut += character;
  }
  return cut;
}
