/**
 * ChaCha20-Poly1305 chosen by the size of the message: small ones by WebAssembly (6 KB, the `chacha20poly1305` crate of
 * RustCrypto), large ones by the built-in implementation. On Node each call of node:crypto costs 4 µs before the first byte, the
 * WebAssembly 0.4 µs, but 2.5 µs more with each 1000 bytes. In browsers it is faster at every size that it takes.
 *
 * Nothing has to be installed, fetched or bundled. It is never selected automatically: load it, and pass the result to the swarm.
 *
 * @example
 * ```ts
 * const aead = await loadWasmAead();
 * const secure = p2pke(udp, { privateKey, aead });
 * ```
 */

import { chacha20Poly1305, cryptoName } from '#crypto';
import { copyBytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { AEAD_WASM } from './aead-wasm.ts';
import { AEAD_TAG_BYTES, type AeadKey, type ImportAeadKey } from './suite.ts';

export { type AeadKey, type ImportAeadKey };

// Neither the ECMAScript library nor Node's types describe WebAssembly; this much of it is used.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array<ArrayBuffer>): Promise<{ readonly instance: { readonly exports: unknown } }>;
};

/** What the module exports: engine/aead/src/lib.rs. */
interface AeadExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  buffer(): number;
  seal(associatedBytes: number, dataBytes: number): number;
  open(associatedBytes: number, dataBytes: number): number;
}

/** Where the parts of a call stand in the buffer; behind the data there is room for a tag. Source: engine/aead/src/lib.rs. */
const [NONCE, ASSOCIATED, DATA, MAX_DATA_BYTES] = [32, 48, 112, 16_384];
const MAX_ASSOCIATED_BYTES: number = DATA - ASSOCIATED;

/** Above this node:crypto is faster: measured on Node 24 and 26, x86-64, where a datagram of 1472 bytes costs the same. */
const MAX_NODE_BYTES = 1472;

/** One instance of the module. It holds nothing between two calls that the next one does not write first. */
class WasmAead {
  readonly #exports: AeadExports;
  readonly #buffer: Uint8Array;
  readonly maxBytes: number = cryptoName === 'node' ? MAX_NODE_BYTES : MAX_DATA_BYTES;

  constructor(exports: AeadExports) {
    this.#exports = exports;
    // The module never lets its memory grow, so the view stays valid.
    this.#buffer = new Uint8Array(exports.memory.buffer, exports.buffer(), DATA + MAX_DATA_BYTES + AEAD_TAG_BYTES);
  }

  seal(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array): Uint8Array {
    this.#fill(key, nonce, associated, plaintext);
    if (this.#exports.seal(associated.length, plaintext.length) === 0) throw new Error('bug: lengths were not checked');
    return this.#result(plaintext.length + AEAD_TAG_BYTES);
  }

  /** @returns `undefined` when `sealed` is not what the key has sealed. */
  open(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    this.#fill(key, nonce, associated, sealed);
    const length = sealed.length - AEAD_TAG_BYTES;
    return this.#exports.open(associated.length, length) === 0 ? undefined : this.#result(length);
  }

  #fill(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, data: Uint8Array): void {
    const buffer = this.#buffer;
    buffer.set(key);
    buffer.set(nonce, NONCE);
    buffer.set(associated, ASSOCIATED);
    buffer.set(data, DATA);
  }

  /** Valid until the next call. */
  #result(length: number): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + DATA, length);
  }
}

class SizedAeadKey implements AeadKey {
  readonly #wasm: WasmAead;
  readonly #key: Uint8Array;
  /** For what is too large; most keys never need it. */
  #large: AeadKey | undefined;

  constructor(wasm: WasmAead, key: Uint8Array) {
    this.#wasm = wasm;
    this.#key = copyBytes(key);
  }

  seal(nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    assertBytes(nonce, 'nonce', 12);
    if (offset + plaintext.length + AEAD_TAG_BYTES > out.length) throw new RangeError('Cannot seal: out is too short');
    if (this.#isLarge(associated, plaintext.length)) this.#builtIn.seal(nonce, associated, plaintext, out, offset);
    else out.set(this.#wasm.seal(this.#key, nonce, associated, plaintext), offset);
  }

  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array, out: Uint8Array, offset: number): boolean {
    assertBytes(nonce, 'nonce', 12);
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return false;
    if (offset + length > out.length) throw new RangeError('Cannot open: out is too short');
    if (this.#isLarge(associated, length)) return this.#builtIn.open(nonce, associated, sealed, out, offset);
    const plaintext = this.#wasm.open(this.#key, nonce, associated, sealed);
    if (plaintext === undefined) return false;
    out.set(plaintext, offset);
    return true;
  }

  #isLarge(associated: Uint8Array, length: number): boolean {
    return length > this.#wasm.maxBytes || associated.length > MAX_ASSOCIATED_BYTES;
  }

  get #builtIn(): AeadKey {
    return (this.#large ??= chacha20Poly1305(this.#key));
  }
}

/** Compiled once per process; keys share one instance. */
let loading: Promise<WasmAead> | undefined;

/**
 * Compiles the WebAssembly, once per process.
 *
 * @throws {Error} (by rejection) where the environment has no WebAssembly or forbids it, as a Content-Security-Policy without
 * `wasm-unsafe-eval` does; leave the `aead` option out then.
 */
export async function loadWasmAead(): Promise<ImportAeadKey> {
  const wasm = await (loading ??= load());
  return (key) => {
    assertBytes(key, 'key', 32);
    return new SizedAeadKey(wasm, key);
  };
}

async function load(): Promise<WasmAead> {
  try {
    const bytes = Uint8Array.from(atob(AEAD_WASM), (char) => char.codePointAt(0)!);
    const { instance } = await WebAssembly.instantiate(bytes);
    return new WasmAead(instance.exports as AeadExports);
  } catch (cause) {
    loading = undefined;
    throw new Error(
      'Cannot load the AEAD: this environment has no WebAssembly or forbids it; leave the aead option out',
      {
        cause,
      },
    );
  }
}
