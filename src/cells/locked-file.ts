/**
 * Files that several processes replace as a whole: a peer cache, a cell.
 *
 * - A file is replaced by a temporary file, `fsync`, `rename`, `fsync` of the folder. A process that is killed at any point leaves the old
 *   file or the new one.
 * - A lock is a file with what identifies its holder. A lock whose process has ended is taken over. A lock of another machine, or of a
 *   container, counts as ended, since nobody can look there.
 */

import { link, mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { kill, pid as ownPid } from 'node:process';
import { type Bytes, concatBytes, viewFrom } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { systemRealm } from '../runtime/system-realm.ts';

/** How long a process waits for others that hold a lock. */
const LOCK_TIMEOUT_MS = 5000;
/** Only the owner may read what is in the files. */
const MODE = 0o600;

/** The functions of node:fs/promises that change something; tests give others that fail. */
export interface FileChanges {
  readonly open: typeof open;
  readonly rename: typeof rename;
}

/** Those of node:fs. */
export const fileChanges: FileChanges = { open, rename };

/** How a lock is waited for. */
export interface LockWait {
  /** Between two looks, in milliseconds. */
  readonly pauseMs: number;
  /** Gives up waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** A held lock. */
export interface FileLock {
  /** Whether the lock is still this one. A process that took over the lock of a dead one may have moved it for a moment. */
  isHeld(): Promise<boolean>;
  /** Never rejects. */
  release(): Promise<void>;
}

/** The bytes of a file, up to one more than `maxBytes`, so that a longer file is found out; `undefined` when there is no file. */
export async function readWhole(path: string, maxBytes: number): Promise<Bytes | undefined> {
  const info = await stat(path).catch(unlessMissing);
  if (info === undefined) return undefined;
  // Opening a pipe would wait for a writer.
  if (!info.isFile()) throw new Error(`${path} is no file`);
  const file = await open(path, 'r').catch(unlessMissing);
  if (file === undefined) return undefined;
  try {
    const pieces: Bytes[] = []; // Bounded by maxBytes.
    for (let left = maxBytes + 1; left > 0;) {
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

/**
 * Replaces a file; what a link leads to is replaced, not the link.
 *
 * @param commit - called when the new bytes are on the disk, directly before the file gets its name. When it is false, the file stays as it was.
 * @returns whether the file was replaced
 */
export async function replaceFile(
  file: string,
  bytes: Uint8Array,
  changes: FileChanges = fileChanges,
  commit: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<boolean> {
  const path = (await realpath(file).catch(unlessMissing)) ?? file;
  const part = temporaryOf(path);
  try {
    const handle = await changes.open(part, 'wx', MODE);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (!(await commit())) return false;
    await changes.rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
  await syncFolder(dirname(path));
  return true;
}

/** Runs `work` while this process holds a lock. @throws {P2PError} (by rejection) `in_use` when others hold it for 5 s */
export async function withLock<T>(
  lock: string,
  wait: LockWait,
  work: (held: FileLock) => Promise<T>,
  changes: FileChanges = fileChanges,
): Promise<T> {
  const endMs = systemRealm.nowMs() + LOCK_TIMEOUT_MS;
  let held = await tryLock(lock, changes);
  while (held === undefined) {
    wait.signal?.throwIfAborted();
    if (systemRealm.nowMs() >= endMs) {
      const what = `Cannot write: another process has held ${lock} for ${LOCK_TIMEOUT_MS} ms`;
      throw new P2PError('in_use', 'local', what, { sent: 'no' });
    }
    await new Promise<void>((resolve) => {
      systemRealm.clock.setTimer(systemRealm.nowMs() + wait.pauseMs, resolve);
    });
    held = await tryLock(lock, changes);
  }
  try {
    return await work(held);
  } finally {
    await held.release();
  }
}

/** Makes a lock, complete from the moment on at which its name exists. @returns `undefined` while another holds it */
export async function tryLock(lock: string, changes: FileChanges = fileChanges): Promise<FileLock | undefined> {
  const own = temporaryOf(lock);
  const mark = await ownMark();
  const file = await changes.open(own, 'wx', MODE);
  try {
    await file.writeFile(mark);
    await file.close();
    // Once for the lock, and once more after an ended holder's was removed.
    for (let i = 0; i < 2; i++) {
      try {
        await linkOrWrite(own, lock, mark);
        return heldLock(lock, mark);
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
      }
      if (i > 0 || !(await removeEnded(lock))) return undefined;
    }
    return undefined;
  } finally {
    await file.close().catch(() => undefined);
    await rm(own, { force: true });
  }
}

function heldLock(lock: string, mark: string): FileLock {
  const isHeld = async (): Promise<boolean> => (await readFile(lock, 'utf8').catch(unlessMissing)) === mark;
  const release = async (): Promise<void> => {
    if (await isHeld()) await rm(lock, { force: true });
  };
  // A lock that cannot be removed counts as ended once this process has.
  return { isHeld, release: () => release().catch(() => undefined) };
}

/** Removes a lock whose holder has ended. @returns whether there is no lock now */
async function removeEnded(lock: string): Promise<boolean> {
  const mark = await readFile(lock, 'utf8').catch(unlessMissing);
  if (mark === undefined) return true;
  if (await isAlive(mark)) return false;
  // It is moved and looked at again: another process may have removed it, and made its own, in between.
  const moved = temporaryOf(lock);
  if ((await rename(lock, moved).then(() => true, unlessMissing)) === undefined) return true;
  try {
    if ((await readFile(moved, 'utf8')) === mark) return true;
    await link(moved, lock).catch(() => undefined);
    return false;
  } finally {
    await rm(moved, { force: true });
  }
}

/** Makes the folder of files, and removes what processes that were killed have left beside `name`; without a name, all of it. */
export async function cleanFolder(folder: string, name?: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const each of await readdir(folder)) {
    if (name !== undefined && !each.startsWith(`${name}.`)) continue;
    const pid = /\.tmp-([0-9]+)-[0-9]+$/.exec(each)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(folder, each), { force: true });
  }
}

/** As {@link cleanFolder} for what belongs to one file. */
export function cleanBeside(path: string): Promise<void> {
  return cleanFolder(dirname(path), basename(path));
}

/** Temporary files of one process have different names, and so have its locks. */
let nextNumber = 0;

function temporaryOf(path: string): string {
  return `${path}.tmp-${ownPid}-${nextNumber++}`;
}

/** Gives a mark its name, which must be unused. */
async function linkOrWrite(own: string, lock: string, mark: string): Promise<void> {
  try {
    await link(own, lock);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw error;
    // A file system without links: for a moment the lock is empty, and counts as one whose holder has ended.
    await writeFile(lock, mark, { flag: 'wx', mode: MODE });
  }
}

/** What tells this process from others: PID, start, machine; and this lock from others of the process. */
async function ownMark(): Promise<string> {
  return `${ownPid} ${await startOf(ownPid)} ${hostname()}\n${nextNumber++}\n`;
}

/** Whether the process of a mark still runs, as far as this machine can know. */
async function isAlive(mark: string): Promise<boolean> {
  const [, pid, start, host] = /^([0-9]{1,10}) (\S*) (.+)\n/.exec(mark) ?? [];
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

/** Puts the names in a folder on the disk. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined); // Windows opens no folders.
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** @throws any error but that there is no such file. */
export function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
}
