/**
 * Handshake patterns as data: the contents of each message, and the secrets it mixes in.
 *
 * Source: the Noise Protocol Framework, revision 34, §7 (patterns), §9 (pre-shared keys).
 */

/** One step of a handshake message. Source: §7.1, §9.2. */
export type NoiseToken = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk';

/** One pattern. */
export interface NoisePatternSteps {
  /** Whether the initiator must know the responder's static key in advance (`← s` above the dots). */
  readonly knowsResponder: boolean;
  /** The messages in order; initiator and responder alternate, the initiator first. */
  readonly messages: readonly (readonly NoiseToken[])[];
}

/** The name of a pattern. */
export type NoisePattern = 'NN' | 'XX' | 'XXpsk3' | 'IK';

/** The supported patterns. NN is for P2PKE; it authenticates neither side. */
export const NOISE_PATTERNS: Readonly<Record<NoisePattern, NoisePatternSteps>> = {
  NN: { knowsResponder: false, messages: [['e'], ['e', 'ee']] },
  XX: {
    knowsResponder: false,
    messages: [['e'], ['e', 'ee', 's', 'es'], ['s', 'se']],
  },
  XXpsk3: {
    knowsResponder: false,
    messages: [['e'], ['e', 'ee', 's', 'es'], ['s', 'se', 'psk']],
  },
  IK: {
    knowsResponder: true,
    messages: [
      ['e', 'es', 's', 'ss'],
      ['e', 'ee', 'se'],
    ],
  },
};

/** The hash functions of Noise, by Noise's names. Source: §12.5 to §12.8. */
export type NoiseHash = 'SHA256' | 'SHA512' | 'BLAKE2s' | 'BLAKE2b';

/** For example `Noise_XX_25519_ChaChaPoly_SHA256`: must be equal on both sides, byte by byte. */
export function noiseProtocolName(pattern: NoisePattern, hash: NoiseHash): string {
  return `Noise_${pattern}_25519_ChaChaPoly_${hash}`;
}
