/** Loads the QUIC engine: the one place that knows it is WebAssembly in a file. */

import { readEngineBytes } from '#quic-engine-bytes';
import type { EngineFactory } from '../protocols/quic/engine.ts';
import { wasmEngines } from '../protocols/quic/wasm-engine.ts';
import type { WasmExports, WasmImports } from '../protocols/quic/wasm-module.ts';

// Neither the ECMAScript library nor Node's types describe WebAssembly; this much of it is used.
declare const WebAssembly: {
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<object>;
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object, imports: { readonly host: WasmImports }) => { readonly exports: unknown };
};

/** Compiled code is a value: sharing it shares no state, and compiling takes longer than all the rest. */
let compiled: EngineFactory | undefined;

/**
 * Loads and compiles the QUIC engine, once per process (tens of ms of CPU); later calls resolve at once. `openQuicSwarm` and `openEndpoint` call it; call
 * it yourself before `quic(…)` or `endpoint(…)` in browsers, where the engine has to be fetched.
 *
 * @throws the error of the fetch, or of the compiler, by rejection; the next call tries again.
 */
export async function loadQuicEngine(): Promise<void> {
  if (compiled !== undefined) return;
  const bytes = readEngineBytes();
  // Bytes that are at hand are compiled in this turn: a virtual clock does not wait for a compiler that works on another thread.
  const module = bytes instanceof Uint8Array ? new WebAssembly.Module(bytes) : await WebAssembly.compile(await bytes);
  compiled ??= enginesOf(module);
}

/**
 * The engine, at once. Every endpoint made with it has memory of its own.
 *
 * @throws {TypeError} where its bytes have to be fetched first: in browsers, before `loadQuicEngine()` has resolved.
 */
export function quicEngine(): EngineFactory {
  if (compiled !== undefined) return compiled;
  const bytes = readEngineBytes();
  if (!(bytes instanceof Uint8Array)) {
    // Callers that wait get the same error.
    bytes.catch(() => {});
    throw new TypeError('Cannot use QUIC yet: expected `await loadQuicEngine()` to have been called first');
  }
  return (compiled = enginesOf(new WebAssembly.Module(bytes)));
}

function enginesOf(module: object): EngineFactory {
  // The exports are those of engine/src/border.rs; engine/check.sh holds the file to its sources.
  return wasmEngines((host) => new WebAssembly.Instance(module, { host }).exports as WasmExports);
}
