/**
 * Public vectors that are not committed: Wycheproof, CCTV, x509-limbo. The folder comes from `SHOAL_VECTORS`; what needs it
 * is skipped by name without it.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.env['SHOAL_VECTORS'];

/** For `it(name, { skip }, …)`: why the vectors are not there, or false. */
export const skip: string | false =
  folder === undefined || folder === '' ? 'SHOAL_VECTORS names no folder with the public vectors' : false;

/** The bytes of one file, or `undefined` without the folder. */
export function vectorsOf(file: string): Uint8Array | undefined {
  return skip === false ? readFileSync(path.join(folder!, file)) : undefined;
}

/** The vectors of one file; call it inside a test that is skipped without them. */
export function publicVectors<T>(file: string): T {
  return JSON.parse(new TextDecoder().decode(vectorsOf(file))) as T;
}
