/**
 * `shoal/machines/noise`: the Noise Protocol Framework (revision 34) as machines without I/O, with X25519 and
 * ChaCha20-Poly1305: handshakes XX, XXpsk3, IK and NN over SHA-256, SHA-512, BLAKE2s and BLAKE2b, the resulting
 * ciphers, and records on a byte stream. For connections use `noise` in `shoal/node`.
 *
 * @example
 * ```ts
 * const alice = new NoiseHandshake({ pattern: 'NN', hash: 'SHA256', role: 'initiator', ephemeralSeed: realm.random(32) });
 * const hello = alice.write();
 * ```
 */

export { CipherState, MAX_NOISE_MESSAGE_BYTES, MAX_NONCE, type NoiseFault } from './cipher-state.ts';
export { NoiseHandshake, type NoiseHandshakeOptions, type NoiseResult, type NoiseTransport } from './handshake.ts';
export {
  NOISE_PATTERNS,
  noiseProtocolName,
  type NoiseHash,
  type NoisePattern,
  type NoisePatternSteps,
  type NoiseToken,
} from './patterns.ts';
export {
  frameNoiseMessage,
  MAX_RECORD_PLAINTEXT_BYTES,
  NoiseMessageReader,
  NoiseRecordReader,
  RECORD_HEADER_BYTES,
  sealRecords,
} from './records.ts';
