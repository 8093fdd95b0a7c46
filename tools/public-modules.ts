/** The public modules of the package, as the exports map of package.json lists them. */

import { readFileSync } from 'node:fs';
import path from 'node:path';

export const root: string = path.dirname(import.meta.dirname);

/** The committed list of all public declarations. */
export const API_REPORT = 'docs/api/shoal.api.txt';

/** One subpath export. Files are relative to the root, with `./` in front. */
export interface PublicModule {
  /** As users write it: `shoal`, `shoal/udp`. */
  readonly specifier: string;
  readonly source: string;
  readonly types: string;
  readonly code: string;
}

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

/** Every entry of the exports map that is code; a wildcard or a missing condition is an error. */
export function publicModules(): readonly PublicModule[] {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest;
  const modules: PublicModule[] = [];
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    if (subpath === './package.json') continue;
    if (subpath.includes('*'))
      throw new Error(`Cannot read exports: ${subpath} is a wildcard, list subpaths one by one`);
    const { 'shoal-source': source, types, default: code } = typeof target === 'string' ? {} : target;
    if (source === undefined || types === undefined || code === undefined) {
      throw new Error(`Cannot read exports: ${subpath} needs "shoal-source", "types" and "default", in this order`);
    }
    modules.push({ specifier: manifest.name + subpath.slice(1), source, types, code });
  }
  return modules;
}
