/** What is in a file or folder that is to be sent: all that a receiver can take, and a word about what it cannot. */

import { type Stats, constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { decodeText } from 'shoal/bytes';
import { Failure } from '../failure.ts';
import { type Manifest, MAX_ENTRIES } from './manifest.ts';
import { PathRules, nameFault } from './names.ts';

/** A file as it was when it was listed; another one under its name is not what the ticket promises. */
export interface Source {
  readonly file: string;
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly ino: number;
}

/** A file and its place in the whole. */
export interface Entry extends Source {
  /** Below the whole, with `/` between; empty when the whole is this file. */
  readonly path: string;
  readonly executable: boolean;
}

interface Listed extends Pick<Manifest, 'name' | 'kind' | 'folders'> {
  readonly entries: readonly Entry[];
}

/** A source while it is read. */
export interface OpenSource extends AsyncDisposable {
  readonly handle: FileHandle;
  /** Whether it is still the file that was listed. */
  isSame(): Promise<boolean>;
}

// Windows has neither.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;
/** Errors that say that the file is another one now, or gone. */
const REPLACED: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO']);

/** Opens a file that was listed, no link in its place; `undefined` when it is not the same any more. */
export async function openSource({ file, bytes, mtimeMs, ino }: Source): Promise<OpenSource | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (REPLACED.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
  const isSame = async (): Promise<boolean> => {
    const now = await handle.stat();
    return now.isFile() && now.size === bytes && now.mtimeMs === mtimeMs && now.ino === ino;
  };
  const close = (): Promise<void> => handle.close();
  if (await isSame()) return { handle, isSame, [Symbol.asyncDispose]: close };
  await close();
  return undefined;
}

/**
 * Lists a file, or a folder and all in it.
 *
 * @param onLeftOut - called with each path that no receiver would take or that cannot be read, and why.
 * @throws {Error} when the whole cannot be read or sent.
 */
export async function list(root: string, onLeftOut: (file: string, why: string) => void): Promise<Listed> {
  const name = path.basename(path.resolve(root));
  const fault = nameFault(name);
  if (fault !== undefined) throw new Failure(`${fault}; rename it`);
  const whole = await realpath(root);
  const found = await lstat(whole);
  if (found.isFile()) return { name, kind: 'file', entries: [entryOf('', whole, found)], folders: [] };
  if (!found.isDirectory()) throw new Failure('it is neither a file nor a folder');
  const entries: Entry[] = [];
  const folders: string[] = [];
  const rules = new PathRules();
  const take = async (relative: string, file: string): Promise<void> => {
    const each = await lstat(file);
    const ofKind = each.isDirectory() || each.isFile();
    const why = ofKind ? rules.fault(relative) : 'neither a file nor a folder';
    if (why !== undefined) onLeftOut(file, why);
    else if (each.isFile()) entries.push(entryOf(relative, file, each));
    else folders.push(relative);
  };
  // Folders are appended while they are gone through: outer ones first. Bounded by MAX_ENTRIES.
  for (let next = -1; next < folders.length; next++) {
    const folder = next < 0 ? '' : folders[next]!;
    const at = path.join(whole, ...folder.split('/'));
    const names = await readdir(at, { encoding: 'buffer' }).catch((error: unknown) => {
      if (next < 0) throw error;
      onLeftOut(at, messageOf(error));
      return [];
    });
    for (const bytes of names.toSorted((a, b) => Buffer.compare(a, b))) {
      const each = decodeText(bytes);
      const file = path.join(at, each ?? bytes.toString());
      if (each === undefined) onLeftOut(file, 'the name is not UTF-8');
      else {
        const relative = folder === '' ? each : `${folder}/${each}`;
        await take(relative, file).catch((error: unknown) => onLeftOut(file, messageOf(error)));
      }
      if (entries.length + folders.length > MAX_ENTRIES) {
        throw new Failure(`it has more than ${MAX_ENTRIES} files; send an archive of it`);
      }
    }
  }
  return { name, kind: 'folder', entries, folders };
}

function entryOf(relative: string, file: string, { size, mtimeMs, mode, ino }: Stats): Entry {
  return { path: relative, file, bytes: size, mtimeMs, ino, executable: (mode & 0o111) !== 0 };
}

/** What was thrown, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
