/**
 * Cells in files: one file for each cell of a folder, named `<key>.cell`, with the value as it is. An empty cell has no file.
 *
 * A swap holds `<key>.cell.lock`, which every process on this machine heeds; the value is on the disk (`fsync` of file and folder) when the swap
 * resolves. Reading takes no lock, since a file is replaced as a whole.
 */

import { opendir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bytes, EMPTY_BYTES, equalBytes } from '../base/bytes.ts';
import { assertString } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { CasResult, CellStore, CellStoreOptions } from './cell.ts';
import { cleanFolder, readWhole, replaceFile, syncFolder, withLock, unlessMissing } from './locked-file.ts';
import {
  type BackendCall,
  type CellBackend,
  type ResolvedStoreOptions,
  resolveStoreOptions,
  storeOver,
} from './store.ts';

/** Between two looks at the lock of another process. */
const LOCK_PAUSE_MS = 5;
/** How many expired files are removed at a time, and how often: at most once in half the time of a cell. */
const MAX_SWEPT = 1024;
const MIN_SWEEP_MS = 1000;
/** How often a swap begins again when its lock was moved by a process that took it for one of a dead process. */
const MAX_TRIES = 8;

class FileBackend implements CellBackend {
  readonly kind = 'file';
  readonly #folder: string;
  readonly #options: ResolvedStoreOptions;
  /** The last swap of each key in this process, so that they wait for each other without looking at the disk. Bounded by the swaps under way. */
  readonly #last = new Map<string, Promise<unknown>>();
  #sweeping: Promise<void> = Promise.resolve();
  #sweptMs = -Infinity;
  #isSweeping = false;

  constructor(folder: string, options: ResolvedStoreOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  async read(key: string): Promise<Bytes> {
    const path = this.#pathOf(key);
    const { expireMs, maxBytes } = this.#options;
    if (expireMs !== Infinity && (await this.#isExpired(path))) return EMPTY_BYTES.slice();
    return (await readWhole(path, maxBytes)) ?? EMPTY_BYTES.slice();
  }

  swap(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult> {
    const before = this.#last.get(key);
    const run = async (): Promise<CasResult> => {
      await before?.catch(() => undefined);
      call.signal.throwIfAborted();
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const result = await this.#swapLocked(key, expected, next, call);
        if (result !== undefined) return result;
      }
      throw new P2PError('in_use', 'local', `Cannot write cell ${key}: its lock was taken away`, { sent: 'no' });
    };
    const swapped = run();
    this.#last.set(key, swapped);
    const done = (): void => {
      if (this.#last.get(key) === swapped) this.#last.delete(key);
    };
    swapped.then(done, done);
    this.#sweepNow();
    return swapped;
  }

  async release(): Promise<void> {
    await Promise.allSettled([...this.#last.values(), this.#sweeping]);
  }

  /** Removes expired files, now and then. */
  #sweepNow(): void {
    const { expireMs, realm } = this.#options;
    if (expireMs === Infinity || this.#isSweeping) return;
    if (realm.nowMs() < this.#sweptMs + Math.max(expireMs / 2, MIN_SWEEP_MS)) return;
    this.#sweptMs = realm.nowMs();
    this.#isSweeping = true;
    this.#sweeping = this.#sweep()
      .catch(() => undefined) // What stays is looked at again.
      .finally(() => (this.#isSweeping = false));
  }

  async #sweep(): Promise<void> {
    let left = MAX_SWEPT;
    for await (const { name } of await opendir(this.#folder)) {
      if (left === 0) {
        this.#sweptMs = -Infinity; // There are more: the next write goes on, so that files do not come faster than they go.
        return;
      }
      const key = /^([\w-]{1,128})\.cell$/.exec(name)?.[1];
      if (key === undefined || !(await this.#isExpired(this.#pathOf(key)))) continue;
      left--;
      const path = this.#pathOf(key);
      await withLock(`${path}.lock`, { pauseMs: LOCK_PAUSE_MS }, async () => {
        if (await this.#isExpired(path)) await rm(path, { force: true });
      });
    }
  }

  /** Whether there is no file, or one whose time is over. */
  async #isExpired(path: string): Promise<boolean> {
    const { expireMs, realm } = this.#options;
    const info = await stat(path).catch(unlessMissing);
    return info === undefined || realm.wallMs() - info.mtimeMs >= expireMs;
  }

  #pathOf(key: string): string {
    return join(this.#folder, `${key}.cell`);
  }

  /** @returns `undefined` when the lock was lost before anything was written */
  #swapLocked(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult | undefined> {
    const path = this.#pathOf(key);
    return withLock(`${path}.lock`, { pauseMs: LOCK_PAUSE_MS, signal: call.signal }, async (lock) => {
      const current = await this.read(key);
      if (!equalBytes(current, expected)) return { swapped: false, current };
      const commit = async (): Promise<boolean> => {
        if (call.signal.aborted || !(await lock.isHeld())) return false;
        call.sending();
        return true;
      };
      if (next.length > 0) {
        if (!(await replaceFile(path, next, undefined, commit))) return this.#lost(call);
      } else {
        if (!(await commit())) return this.#lost(call);
        await rm(path, { force: true });
        await syncFolder(this.#folder);
      }
      return { swapped: true, current: next.slice() };
    });
  }

  #lost({ signal }: BackendCall): undefined {
    signal.throwIfAborted();
  }
}

/**
 * Opens cells in the files of a folder, which is made if it is not there.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {Error} (by rejection) the error of node:fs when the folder cannot be used.
 */
export function openFileCells(folder: string, options: CellStoreOptions = {}): Promise<CellStore> {
  assertString(folder, 'folder');
  const resolved = resolveStoreOptions(options);
  return cleanFolder(folder).then(() => storeOver(new FileBackend(folder, resolved), resolved));
}
