/** The options of cells in NATS. */

import type { CellStoreOptions } from './cell.ts';

/** Options of `openNatsCells`. */
export interface NatsCellsOptions extends CellStoreOptions {
  /** The bucket, made if it is not there: 1 to 64 characters of A-Z a-z 0-9 _ -. @default the path of the URL, or 'shoal-cells' */
  readonly bucket?: string | undefined;
  /** Servers that store the bucket, when it is made: 1 to 5. @default 1 */
  readonly replicas?: number | undefined;
}
