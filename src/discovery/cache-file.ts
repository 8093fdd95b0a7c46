/**
 * A peer cache in a file.
 *
 * - The file is replaced as a whole: see `cells/locked-file.ts`.
 * - The part of a network name belongs to one process, which holds `<file>.<hash of the name>.lock` for as long as its cache is
 *   open. A process that replaces the file, with parts of several networks, holds `<file>.lock` for that moment.
 * - Two machines, or containers, on one file each keep it whole, but may drop what the other has just saved: each takes the other's lock
 *   for one whose holder has ended.
 */

import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Bytes, encodeText, toHex, viewFrom } from '../base/bytes.ts';
import {
  cleanBeside,
  type FileChanges,
  fileChanges,
  type FileLock,
  readWhole,
  replaceFile,
  tryLock,
  unlessMissing,
  withLock,
} from '../cells/locked-file.ts';
import { hash } from '#crypto';
import { MAX_CACHE_BYTES } from './cache-format.ts';
import type { CacheBackend } from './cache-store.ts';

/** Files that were no caches and are kept. */
const MAX_ASIDE = 4;
/** Between two looks at the lock of another process. */
const LOCK_PAUSE_MS = 20;

/** A file as a backend. @param changes - @default those of node:fs */
export function cacheFile(path: string, changes: FileChanges = fileChanges): CacheBackend {
  return new CacheFile(path, changes);
}

class CacheFile implements CacheBackend {
  readonly name: string;
  readonly #changes: FileChanges;
  /** Held claims: at most one. */
  #claim: FileLock | undefined;

  constructor(path: string, changes: FileChanges) {
    this.name = path;
    this.#changes = changes;
  }

  load(): Promise<Bytes | undefined> {
    return readWhole(this.name, MAX_CACHE_BYTES);
  }

  async update(change: (saved: Uint8Array | undefined) => Uint8Array): Promise<void> {
    await this.#locked(async () => replaceFile(this.name, change(await this.load()), this.#changes));
  }

  setAside(): Promise<string | undefined> {
    return this.#locked(async () => {
      const names = Array.from({ length: MAX_ASIDE }, (_, i) => `${this.name}.corrupt-${i + 1}`);
      const taken = await Promise.all(names.map((name) => stat(name).catch(unlessMissing)));
      // When all names are taken, the last one is replaced: the first ones say how it began.
      const name = names[taken.indexOf(undefined)] ?? names.at(-1)!;
      await this.#changes.rename(this.name, name);
      return name;
    });
  }

  async claim(networkName: string): Promise<boolean> {
    if (this.#claim !== undefined) return true;
    await mkdir(dirname(this.name), { recursive: true });
    await cleanBeside(this.name);
    const lock = `${this.name}.${toHex(viewFrom(hash('sha256', encodeText(networkName)), 0, 8))}.lock`;
    this.#claim = await tryLock(lock, this.#changes);
    return this.#claim !== undefined;
  }

  async release(): Promise<void> {
    const claim = this.#claim;
    this.#claim = undefined;
    await claim?.release();
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    return withLock(`${this.name}.lock`, { pauseMs: LOCK_PAUSE_MS }, work, this.#changes);
  }
}
