/** Replaces the file of a peer cache on platforms without files (browsers). */

import { P2PError } from '../core/errors.ts';
import { rejection } from '../runtime/promises.ts';
import type { CacheBackend } from './cache-store.ts';

/** A backend whose calls reject with `unsupported`. */
export function cacheFile(path: string): CacheBackend {
  const no = <T>(): Promise<T> => {
    const what = `Cannot open ${path}: this platform has no files; give the cache a store`;
    return rejection(new P2PError('unsupported', 'local', what, { sent: 'no' }));
  };
  return { name: path, load: no, update: no, setAside: no, claim: no, release: () => Promise.resolve() };
}
