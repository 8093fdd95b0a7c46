/** What is in a transfer: names, sizes and hashes. It comes from another machine, so everything in it is checked. */

import type { Bytes } from 'shoal';
import { decodeText, encodeText } from 'shoal/bytes';
import { PathRules, nameFault, quoteName } from './names.ts';

/** One file. */
export interface ManifestFile {
  /** Below the name of the whole, with `/` between; empty when the whole is this file. */
  readonly path: string;
  readonly bytes: number;
  /** SHA-256, hex. */
  readonly sha256: string;
  readonly executable: boolean;
}

/** A file, or a folder with all that is in it. */
export interface Manifest {
  /** The last part of the path at the sender; what it is called at the receiver. */
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly files: readonly ManifestFile[];
  /** Folders, those without a file among them, outer ones first. */
  readonly folders: readonly string[];
}

/** Entries of a folder; one that has more is better sent as an archive. */
export const MAX_ENTRIES = 100_000;
/** A manifest of {@link MAX_ENTRIES} with paths of a usual length. */
export const MAX_MANIFEST_BYTES: number = 32 * 1024 * 1024;

export function encodeManifest(manifest: Manifest): Bytes {
  return encodeText(JSON.stringify(manifest));
}

/**
 * The manifest in `bytes`; `undefined` when something in it is out of order, a path that leads elsewhere above all.
 *
 * @param onRefused - told what is out of order, fit for a terminal.
 */
export function decodeManifest(bytes: Uint8Array, onRefused?: (why: string) => void): Manifest | undefined {
  const value = bytes.length > MAX_MANIFEST_BYTES ? undefined : parse(bytes);
  const why = isManifest(value) ? faultOf(value) : 'it is no list of files that this version knows';
  if (why === undefined) return value as Manifest;
  onRefused?.(why);
  return undefined;
}

/** Bytes of all files. */
export function totalBytes({ files }: Manifest): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeText(bytes) ?? '');
  } catch {
    return undefined;
  }
}

/** Whether it has the form of a manifest; what its names and numbers say is judged by {@link faultOf}. */
function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  const { name, kind, files, folders } = value as Partial<Record<keyof Manifest, unknown>>;
  if (typeof name !== 'string' || !Array.isArray(files) || !Array.isArray(folders)) return false;
  if (!files.every(isFile) || !folders.every((folder) => typeof folder === 'string')) return false;
  if (kind === 'file') return files.length === 1 && files[0]!.path === '' && folders.length === 0;
  return kind === 'folder';
}

/** What is wrong with a manifest, and with which name of it. */
function faultOf(manifest: Manifest): string | undefined {
  const { name, kind, files, folders } = manifest;
  const named = nameFault(name);
  if (named !== undefined) return `${quoteName(name)}: ${named}`;
  const entries = files.length + folders.length;
  if (entries > MAX_ENTRIES) return `it has ${entries} entries, the most is ${MAX_ENTRIES}`;
  if (!Number.isSafeInteger(totalBytes(manifest))) return 'its files are larger than any disk';
  if (kind === 'file') return undefined;
  const rules = new PathRules();
  const inFolders = new Set(folders);
  for (const path of [...folders, ...files.map((file) => file.path)]) {
    const fault = rules.fault(path);
    if (fault !== undefined) return `${quoteName(path)}: ${fault}`;
    const folder = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    if (folder !== '' && !inFolders.has(folder)) return `${quoteName(path)}: its folder is missing in the list`;
  }
  return undefined;
}

function isFile(value: unknown): value is ManifestFile {
  if (typeof value !== 'object' || value === null) return false;
  const { path, bytes, sha256, executable } = value as Partial<Record<keyof ManifestFile, unknown>>;
  return (
    typeof path === 'string' &&
    typeof bytes === 'number' &&
    Number.isSafeInteger(bytes) &&
    bytes >= 0 &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof executable === 'boolean'
  );
}
