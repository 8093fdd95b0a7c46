/**
 * `shoal/key-files`: private keys in PEM files that only their owner can read. A separate subpath, so that `shoal/keys`
 * runs on platforms without files.
 */

import { link, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { type Bytes, fromHex } from '../base/bytes.ts';
import { describeKind } from '../base/checks.ts';
import { exportKey, importKey } from './import-key.ts';
import type { PrivateKey } from './private-key.ts';

/** Options for reading a key file. */
export interface ReadKeyFileOptions {
  /**
   * Accepts a file that other users can read. Windows has no such permission bits, so files are never refused there.
   * @default false
   */
  readonly allowReadableByOthers?: boolean | undefined;
}

/** Options for writing a key file. */
export interface WriteKeyFileOptions {
  /** Replaces an existing file. @default false */
  readonly overwrite?: boolean | undefined;
}

/** Longer files are not read; no key file is nearly this long. */
const MAX_KEY_FILE_BYTES = 64 * 1024;
const GROUP_AND_OTHERS = 0o077;
const MASK_KEY = /^[\da-f]{64}$/i;

async function readText(file: FileHandle, path: string, options: ReadKeyFileOptions): Promise<string> {
  // Checks the open handle and not the path, so that the file cannot be exchanged in between.
  const { mode, size } = await file.stat();
  const open = process.platform !== 'win32' && (mode & GROUP_AND_OTHERS) !== 0;
  if (open && options.allowReadableByOthers !== true) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    throw new TypeError(`Cannot use key file ${path}: its mode is ${octal}, other users may read it; run chmod 600`);
  }
  if (size > MAX_KEY_FILE_BYTES) throw new TypeError(`Cannot use key file ${path}: ${size} bytes is no key`);
  return file.readFile('utf8');
}

/**
 * Reads a private key in PEM.
 *
 * @throws {TypeError} (by rejection) when the file holds no key, or when other users can read it.
 * @throws {Error} (by rejection) the error of node:fs when it cannot be opened.
 */
export async function readKeyFile(path: string, options: ReadKeyFileOptions = {}): Promise<PrivateKey> {
  checkPath(path);
  const file = await open(path, 'r');
  try {
    return importKey(await readText(file, path, options));
  } finally {
    await file.close();
  }
}

/**
 * Reads the key of a mask (`shoal/mask`): a file with 64 hexadecimal digits.
 *
 * @throws {TypeError} (by rejection) when the file holds no such key, or when other users can read it. Nothing of it is quoted.
 * @throws {Error} (by rejection) the error of node:fs when it cannot be opened.
 */
export async function readMaskKeyFile(path: string, options: ReadKeyFileOptions = {}): Promise<Bytes> {
  checkPath(path);
  const file = await open(path, 'r');
  try {
    const digits = (await readText(file, path, options)).trim();
    if (!MASK_KEY.test(digits)) throw new TypeError(`Cannot use mask key ${path}: expected 64 hexadecimal digits`);
    return fromHex(digits);
  } finally {
    await file.close();
  }
}

/**
 * Writes a private key as PEM with mode 0600. The name appears, or refers to the new key, only when all of it is on the
 * disk.
 *
 * @throws {Error} (by rejection) the error of node:fs: `EEXIST` when the file exists and `overwrite` is not set.
 */
export async function writeKeyFile(path: string, key: PrivateKey, options: WriteKeyFileOptions = {}): Promise<void> {
  checkPath(path);
  const pem = exportKey(key, 'pem');
  const part = `${path}.${process.pid}.part`;
  try {
    const file = await open(part, 'wx', 0o600);
    try {
      await file.writeFile(pem);
      await file.sync();
    } finally {
      await file.close();
    }
    if (options.overwrite === true) await rename(part, path);
    else await claim(part, path);
  } finally {
    await rm(part, { force: true });
  }
}

/** The system's error messages quote the path, so a key passed as a path must be rejected. */
function checkPath(path: string): void {
  if (typeof path !== 'string') throw new TypeError(`Cannot use key file: expected a path, got ${describeKind(path)}`);
  if (path.includes('-----BEGIN ')) throw new TypeError('Cannot use key file: expected a path, got a key in PEM');
}

/** Gives a file its name, which must be unused: a link fails when the name exists, a rename would replace it. */
async function claim(part: string, path: string): Promise<void> {
  try {
    await link(part, path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw error;
    // On a file system without links, the name is created first, so that no other file is replaced.
    await (await open(path, 'wx', 0o600)).close();
    await rename(part, path);
  }
}
