/**
 * Handshake patterns as data: what each message carries and which secrets it mixes in.
 *
 * Source: the Noise Protocol Framework, revision 34, §7 (patterns), §9 (pre-shared keys).
 */

/** What one step of a handshake message does. Source: §7.1, §9.2. */
export type NoiseToken = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk';

/** One pattern. */
export interface NoisePatternSteps {
  /** Whether the initiator must know the responder's static key before (`← s` above the dots). */
  readonly knowsResponder: boolean;
  /** Message by message; the initiator sends the first, then both in turn. */
  readonly messages: readonly (readonly NoiseToken[])[];
}

/** The name of a pattern. */
export type NoisePattern = 'NN' | 'XX' | 'XXpsk3' | 'IK';

/** The patterns there are. NN is P2PKE's; it authenticates nobody. */
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

/** `Noise_XX_25519_ChaChaPoly_SHA256` and its like: what both sides must agree on, byte by byte. */
export function noiseProtocolName(pattern: NoisePattern, hash: NoiseHash): string {
  return `Noise_${pattern}_25519_ChaChaPoly_${hash}`;
}
