/** The engine's bytes where there is a file system. */

import { readFileSync } from 'node:fs';

/** Reads the file beside this module; at once, since a wrapper like `quic(inner)` cannot wait. */
export function readEngineBytes(): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  return readFileSync(new URL('engine.wasm', import.meta.url));
}
