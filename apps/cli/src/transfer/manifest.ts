/** What is in a transfer: names, sizes and hashes. It comes from another machine, so nothing in it is taken on trust. */

import { type Bytes, decodeText, encodeText } from 'shoal';

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
const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;

export function encodeManifest(manifest: Manifest): Bytes {
  return encodeText(JSON.stringify(manifest));
}

/** The manifest in `bytes`; `undefined` when something in it is out of order, a path that leads elsewhere above all. */
export function decodeManifest(bytes: Uint8Array): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(decodeText(bytes) ?? '');
    return isManifest(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Bytes of all files. */
export function totalBytes({ files }: Manifest): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  const { name, kind, files, folders } = value as Partial<Record<keyof Manifest, unknown>>;
  if (!isName(name) || !Array.isArray(files) || !Array.isArray(folders)) return false;
  if (files.length + folders.length > MAX_ENTRIES || !files.every(isFile)) return false;
  if (kind === 'file') return files.length === 1 && files[0]!.path === '' && folders.length === 0;
  if (kind !== 'folder' || !files.every(({ path }) => isPath(path)) || !folders.every(isPath)) return false;
  // A file where another entry needs a folder, or two of one name, would be written over each other.
  const paths = new Set([...files.map(({ path }) => path), ...folders]);
  const inFolders = new Set(folders);
  return (
    paths.size === files.length + folders.length &&
    [...paths].every((path) => folderOf(path) === '' || inFolders.has(folderOf(path)))
  );
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
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

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_PATH_BYTES && value.split('/').every(isName);
}

/** One part of a path, harmless on every system: nothing that leads up, to a device, or to a stream of a file. */
function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value !== '.' &&
    value !== '..' &&
    encodeText(value).length <= MAX_NAME_BYTES &&
    !/[/\\:\p{Cc}]/u.test(value) &&
    !/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(value)
  );
}
