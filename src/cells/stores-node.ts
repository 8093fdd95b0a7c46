/** Stores that need Node. `#cell-stores` leads here, and on other platforms to `stores-nowhere.ts`. */

export { openFileCells } from './file.ts';
export { openSqliteCells } from './sqlite.ts';
export { openRedisCells } from './redis.ts';
export { openNatsCells } from './nats.ts';
