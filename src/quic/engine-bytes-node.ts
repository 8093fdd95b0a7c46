/** The engine's bytes where there is a file system. */

import { readFileSync } from 'node:fs';

/**
 * Reads the file beside this module; at once, since a wrapper like `quic(inner)` cannot wait.
 *
 * @throws {Error} when the file is missing, as in a bundle; the message says what to copy.
 */
export function readEngineBytes(): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  // A bundle in CommonJS has no `import.meta.url`.
  const here: string | undefined = import.meta.url;
  try {
    return readFileSync(new URL('engine.wasm', here));
  } catch (cause) {
    const where =
      here === undefined ? 'and a CommonJS bundle does not know its place: bundle as ESM, or' : `(${here}):`;
    throw new Error(
      `Cannot load the QUIC engine: no engine.wasm beside this module ${where} copy node_modules/shoal/dist/quic/engine.wasm there, or leave shoal out of the bundle`,
      { cause },
    );
  }
}
