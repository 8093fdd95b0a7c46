/** The options of cells in Redis. */

import type { CellStoreOptions } from './cell.ts';

/** Options of `openRedisCells`. */
export interface RedisCellsOptions extends CellStoreOptions {
  /** What the keys in Redis begin with. @default 'shoal:cell:' */
  readonly keyPrefix?: string | undefined;
  /**
   * `native`: `SET … IFEQ`; `script`: a Lua script.
   * @default `native`, and `script` once the server has answered that it does not know it
   */
  readonly compare?: 'native' | 'script' | undefined;
}
