/** Memory for transfers: buffers come and go by the gigabyte, while little else lives. */

import { setFlagsFromString } from 'node:v8';

/**
 * How much the heap may grow before garbage is collected, in percent of what lives: about 16 MB in the command, so that 160 MB of
 * buffers wait. By default a collection comes every 10 MB, which takes half of the time of a transfer.
 */
const GROWTH_PERCENT = 1000;

/** Has this process collect garbage less often. For its whole life, so only for commands that transfer. */
export function collectLessOften(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
