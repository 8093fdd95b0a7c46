/** Real messages of Noise handshakes and records, to be spoilt, and the ends that read them. */

import type { Bytes } from '../src/base/bytes.ts';
import {
  CipherState,
  NoiseHandshake,
  type NoiseHandshakeOptions,
  type NoisePattern,
  sealRecords,
} from '../src/protocols/noise/index.ts';

export const NOISE_KEY: Bytes = new Uint8Array(32).fill(7);

const PATTERNS: readonly NoisePattern[] = ['NN', 'XX', 'XXpsk3'];

function optionsOf(pattern: NoisePattern, role: 'initiator' | 'responder'): NoiseHandshakeOptions {
  const seed = new Uint8Array(32).fill(role === 'initiator' ? 1 : 2);
  return { pattern, hash: 'BLAKE2s', role, ephemeralSeed: seed, staticSeed: seed, psk: NOISE_KEY };
}

const first = (pattern: NoisePattern): Bytes => {
  const written = new NoiseHandshake(optionsOf(pattern, 'initiator')).write();
  return written.ok ? written.bytes : new Uint8Array(0);
};

const second = (pattern: NoisePattern): Bytes => {
  const end = new NoiseHandshake(optionsOf(pattern, 'responder'));
  end.read(first(pattern));
  const written = end.write();
  return written.ok ? written.bytes : new Uint8Array(0);
};

/** The first and the second message of each pattern. */
export const noiseMessages: readonly Bytes[] = PATTERNS.flatMap((pattern) => [first(pattern), second(pattern)]);

const sealed = sealRecords(new CipherState(NOISE_KEY), new Uint8Array(100));
/** A record, sealed with {@link NOISE_KEY}. */
export const noiseRecords: readonly Bytes[] = typeof sealed === 'string' ? [] : [sealed];

/** Ends that wait for a first or a second message. */
export function noiseReaders(): readonly NoiseHandshake[] {
  return PATTERNS.flatMap((pattern) => {
    const initiator = new NoiseHandshake(optionsOf(pattern, 'initiator'));
    initiator.write();
    return [new NoiseHandshake(optionsOf(pattern, 'responder')), initiator];
  });
}
