/** The AEAD that is chosen by size as a user's compiler sees it. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';

import { generateKey } from '../../src/identity/keys.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { type AeadKey, type ImportAeadKey, loadWasmAead } from '../../src/crypto/wasm-aead.ts';

/** Compiled, never called. */
export async function loaded(): Promise<void> {
  const aead: ImportAeadKey = await loadWasmAead();
  const key: AeadKey = aead(new Uint8Array(32));
  const bytes = new Uint8Array(12);
  const opened: boolean = key.open(bytes, bytes, bytes, bytes, 0);
  const privateKey = generateKey();
  p2pke(createMemoryRealm().swarm(), { privateKey, aead });
  // @ts-expect-error the loader answers with a promise
  p2pke(createMemoryRealm().swarm(), { privateKey, aead: loadWasmAead() });
  // @ts-expect-error sealing writes into `out`
  const sealed: Uint8Array = key.seal(bytes, bytes, bytes, bytes, 0);
  void [opened, sealed];
}

describe('types of the AEAD that is chosen by size', () => {
  it('compile', () => undefined);
});
