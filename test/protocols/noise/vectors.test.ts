/** The public vectors of the Noise Protocol Framework, for every pattern and hash there is. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { EMPTY_BYTES, fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  NOISE_PATTERNS,
  NoiseHandshake,
  type NoiseHash,
  type NoisePattern,
  type NoiseResult,
} from '../../../src/protocols/noise/index.ts';
import type { ImportAeadKey } from '../../../src/crypto/suite.ts';
import { loadWasmAead } from '../../../src/crypto/wasm-aead.ts';
import { loadSodium, suites } from '../../crypto/suites.ts';

interface Vector {
  readonly protocol_name: string;
  readonly init_prologue: string;
  readonly init_psks?: readonly string[];
  readonly init_static?: string;
  readonly init_ephemeral: string;
  readonly init_remote_static?: string;
  readonly resp_prologue: string;
  readonly resp_psks?: readonly string[];
  readonly resp_static?: string;
  readonly resp_ephemeral: string;
  readonly handshake_hash?: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

const VECTORS: Readonly<Record<string, readonly Vector[]>> = JSON.parse(
  readFileSync(new URL('../../vectors/noise.json', import.meta.url), 'utf8'),
);

const optional = (text: string | undefined) => (text === undefined ? undefined : fromHex(text));

function bytesOf(result: NoiseResult): Uint8Array {
  assert.ok(result.ok, result.ok ? '' : result.fault);
  return result.bytes;
}

function nameOf(vector: Vector): { readonly pattern: NoisePattern; readonly hash: NoiseHash } {
  const [, pattern, , , hash] = vector.protocol_name.split('_');
  return { pattern: pattern as NoisePattern, hash: hash as NoiseHash };
}

const sodium = await loadSodium();

/** The AEADs that can be passed in; libsodium's where it is installed. */
const aeads: readonly { readonly cryptoName: string; readonly importAead: ImportAeadKey }[] = [
  ...suites.map((suite) => ({
    cryptoName: suite.cryptoName,
    importAead: (key: Uint8Array) => suite.chacha20Poly1305(key),
  })),
  { cryptoName: 'wasm', importAead: await loadWasmAead() },
  ...(sodium === undefined ? [] : [{ cryptoName: 'sodium', importAead: sodium.importAead }]),
];

describe('Noise vectors', () => {
  it('there are some for every pattern with every hash', () => {
    const names = new Set(Object.values(VECTORS).flatMap((vectors) => vectors.map((vector) => vector.protocol_name)));
    assert.equal(names.size, Object.keys(NOISE_PATTERNS).length * 4);
  });

  for (const { cryptoName, importAead } of aeads) {
    for (const [source, vectors] of Object.entries(VECTORS)) {
      for (const vector of vectors) {
        it(`${vector.protocol_name} of ${source}, AEAD of ${cryptoName}`, () => {
          const common = { ...nameOf(vector), importAead };
          const initiator = new NoiseHandshake({
            ...common,
            role: 'initiator',
            prologue: fromHex(vector.init_prologue),
            ephemeralSeed: fromHex(vector.init_ephemeral),
            staticSeed: optional(vector.init_static),
            remoteStatic: optional(vector.init_remote_static),
            psk: optional(vector.init_psks?.[0]),
          });
          const responder = new NoiseHandshake({
            ...common,
            role: 'responder',
            prologue: fromHex(vector.resp_prologue),
            ephemeralSeed: fromHex(vector.resp_ephemeral),
            staticSeed: optional(vector.resp_static),
            psk: optional(vector.resp_psks?.[0]),
          });
          const messages = [...vector.messages];
          let [from, to] = [initiator, responder];
          while (from.turn === 'write') {
            const { payload, ciphertext } = messages.shift()!;
            const message = bytesOf(from.write(fromHex(payload)));
            assert.equal(toHex(message), ciphertext);
            assert.equal(toHex(bytesOf(to.read(message))), payload);
            [from, to] = [to, from];
          }
          const sides = { initiator: initiator.finish(), responder: responder.finish() };
          assert.deepEqual(sides.initiator.handshakeHash, sides.responder.handshakeHash);
          if (vector.handshake_hash !== undefined) {
            assert.equal(toHex(sides.initiator.handshakeHash), vector.handshake_hash);
          }
          // Transport messages go on in turn with whoever has not sent the last message of the handshake.
          let sending = from === initiator ? sides.initiator : sides.responder;
          let receiving = from === initiator ? sides.responder : sides.initiator;
          assert.equal(messages.length > 0, source === 'cacophony', 'messages behind the handshake');
          for (const { payload, ciphertext } of messages) {
            const sealed = sending.send.seal(EMPTY_BYTES, fromHex(payload));
            assert.ok(typeof sealed !== 'string');
            assert.equal(toHex(sealed), ciphertext);
            const opened = receiving.receive.open(EMPTY_BYTES, sealed);
            assert.ok(typeof opened !== 'string');
            assert.equal(toHex(opened), payload);
            [sending, receiving] = [receiving, sending];
          }
        });
      }
    }
  }
});
