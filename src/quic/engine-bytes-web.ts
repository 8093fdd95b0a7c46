/** The engine's bytes where there is no file system: bundlers know this form of URL and bring the file along. */

/** Fetches the file beside this module. */
export function readEngineBytes(): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  return fetched();
}

async function fetched(): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(new URL('engine.wasm', import.meta.url));
  if (!response.ok) throw new Error(`Cannot fetch the QUIC engine: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}
