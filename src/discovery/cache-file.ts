/**
 * A peer cache in a file.
 *
 * - The file is replaced as a whole: a temporary file, `fsync`, `rename`, `fsync` of the folder. A process that is killed
 *   at any point leaves the old file or the new one.
 * - The part of a network name belongs to one process, which holds `<file>.<hash of the name>.lock` for as long as its cache is
 *   open. A process that replaces the file, with parts of several networks, holds `<file>.lock` for that moment.
 * - A lock whose process has ended is taken over. A lock of another machine, or of a container, counts as ended, since
 *   nobody can look there: two of them on one file each keep it whole, but may drop what the other has just saved.
 */

import { link, mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { kill, pid as ownPid } from 'node:process';
import { type Bytes, concatBytes, encodeText, toHex, viewFrom } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { hash } from '#crypto';
import { MAX_CACHE_BYTES } from './cache-format.ts';
import { type CacheBackend } from './cache-store.ts';

/** Files that were no caches and are kept. */
const MAX_ASIDE = 4;
/** How long a process waits for others that replace the file, and between two looks. */
const LOCK_TIMEOUT_MS = 5000;
const LOCK_PAUSE_MS = 20;
/** Only the owner may read who its peers are. */
const MODE = 0o600;

/** The functions of node:fs/promises that change something; tests give others that fail. */
export interface FileChanges {
  readonly open: typeof open;
  readonly rename: typeof rename;
}

/** A file as a backend. @param changes - @default those of node:fs */
export function cacheFile(path: string, changes: FileChanges = { open, rename }): CacheBackend {
  return new CacheFile(path, changes);
}

class CacheFile implements CacheBackend {
  readonly name: string;
  readonly #changes: FileChanges;
  /** Held claims: at most one. */
  #claim: string | undefined;

  constructor(path: string, changes: FileChanges) {
    this.name = path;
    this.#changes = changes;
  }

  async load(): Promise<Bytes | undefined> {
    const info = await stat(this.name).catch(unlessMissing);
    if (info === undefined) return undefined;
    // Opening a pipe would wait for a writer.
    if (!info.isFile()) throw new Error(`${this.name} is no file`);
    const file = await open(this.name, 'r').catch(unlessMissing);
    if (file === undefined) return undefined;
    try {
      // One byte more than is allowed, so that a file that is too long is found out.
      const pieces: Bytes[] = [];
      for (let left = MAX_CACHE_BYTES + 1; left > 0;) {
        const piece = new Uint8Array(Math.min(left, 65_536));
        const { bytesRead } = await file.read(piece);
        if (bytesRead === 0) break;
        pieces.push(viewFrom(piece, 0, bytesRead));
        left -= bytesRead;
      }
      return concatBytes(...pieces);
    } finally {
      await file.close();
    }
  }

  async update(change: (saved: Uint8Array | undefined) => Uint8Array): Promise<void> {
    await this.#locked(async () => {
      // What a link leads to is replaced, not the link.
      const path = (await realpath(this.name).catch(unlessMissing)) ?? this.name;
      const bytes = change(await this.load());
      const part = this.#temporary(path);
      try {
        const file = await this.#changes.open(part, 'wx', MODE);
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        await this.#changes.rename(part, path);
      } finally {
        await rm(part, { force: true });
      }
      await syncFolder(dirname(path));
    });
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
    await this.#clean();
    const lock = `${this.name}.${toHex(viewFrom(hash('sha256', encodeText(networkName)), 0, 8))}.lock`;
    if (!(await this.#tryLock(lock))) return false;
    this.#claim = lock;
    return true;
  }

  async release(): Promise<void> {
    const lock = this.#claim;
    this.#claim = undefined;
    if (lock !== undefined) await this.#unlock(lock).catch(() => undefined); // It counts as ended once this process has.
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = `${this.name}.lock`;
    const endMs = systemRealm.nowMs() + LOCK_TIMEOUT_MS;
    while (!(await this.#tryLock(lock))) {
      if (systemRealm.nowMs() >= endMs) {
        const what = `Cannot save ${this.name}: another process has held ${lock} for ${LOCK_TIMEOUT_MS} ms`;
        throw new P2PError('in_use', 'local', what, { sent: 'no' });
      }
      await new Promise<void>((resolve) => {
        systemRealm.clock.setTimer(systemRealm.nowMs() + LOCK_PAUSE_MS, resolve);
      });
    }
    try {
      return await work();
    } finally {
      await this.#unlock(lock).catch(() => undefined);
    }
  }

  /** Makes a lock, complete from the moment on at which its name exists. @returns false while another holds it */
  async #tryLock(lock: string): Promise<boolean> {
    const own = this.#temporary(lock);
    const file = await this.#changes.open(own, 'wx', MODE);
    try {
      await file.writeFile(await ownMark());
      await file.close();
      // Once for the lock, and once more after an ended holder's was removed.
      for (let i = 0; i < 2; i++) {
        try {
          await linkOrWrite(own, lock);
          return true;
        } catch (error) {
          if (codeOf(error) !== 'EEXIST') throw error;
        }
        if (i > 0 || !(await this.#removeEnded(lock))) return false;
      }
      return false;
    } finally {
      await file.close().catch(() => undefined);
      await rm(own, { force: true });
    }
  }

  /** Removes a lock whose holder has ended. @returns whether there is none now */
  async #removeEnded(lock: string): Promise<boolean> {
    const mark = await readFile(lock, 'utf8').catch(unlessMissing);
    if (mark === undefined) return true;
    if (await isAlive(mark)) return false;
    // It is moved and looked at again: another process may have removed it, and made its own, in between.
    const moved = this.#temporary(lock);
    if ((await rename(lock, moved).then(() => true, unlessMissing)) === undefined) return true;
    try {
      if ((await readFile(moved, 'utf8')) === mark) return true;
      await link(moved, lock).catch(() => undefined);
      return false;
    } finally {
      await rm(moved, { force: true });
    }
  }

  async #unlock(lock: string): Promise<void> {
    if ((await readFile(lock, 'utf8').catch(unlessMissing)) === (await ownMark())) await rm(lock, { force: true });
  }

  #temporary(path: string): string {
    return `${path}.tmp-${ownPid}-${nextNumber++}`;
  }

  /** Removes what processes that were killed have left. */
  async #clean(): Promise<void> {
    const folder = dirname(this.name);
    for (const name of await readdir(folder)) {
      if (!name.startsWith(`${basename(this.name)}.`)) continue;
      const pid = /\.tmp-([0-9]+)-[0-9]+$/.exec(name)?.[1];
      if (pid !== undefined && !isRunning(Number(pid))) await rm(join(folder, name), { force: true });
    }
  }
}

/** Caches of one process have different temporary files. */
let nextNumber = 0;

/** Gives a mark its name, which must be unused. */
async function linkOrWrite(own: string, lock: string): Promise<void> {
  try {
    await link(own, lock);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw error;
    // A file system without links: for a moment the lock is empty, and counts as one whose holder has ended.
    await writeFile(lock, await ownMark(), { flag: 'wx', mode: MODE });
  }
}

/** What tells this process from others: PID, start, machine. */
async function ownMark(): Promise<string> {
  return `${ownPid} ${await startOf(ownPid)} ${hostname()}\n`;
}

/** Whether the process of a mark still runs, as far as this machine can know. */
async function isAlive(mark: string): Promise<boolean> {
  const [, pid, start, host] = /^([0-9]{1,10}) (\S*) (.+)\n$/.exec(mark) ?? [];
  if (host !== hostname() || !isRunning(Number(pid))) return false;
  return (await startOf(Number(pid))) === start;
}

function isRunning(pid: number): boolean {
  try {
    kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** When a process began, in the words of Linux: PIDs are used again. Empty on other systems. */
async function startOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may contain anything; the start is the 20th field after it.
  return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined); // Windows opens no folders.
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** @throws any error but that there is no such file. */
function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
}
