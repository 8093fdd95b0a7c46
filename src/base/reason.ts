/** Reasons that a peer gives in words. */

import { decodeText } from './bytes.ts';

/**
 * Control characters, what changes the direction of text or is not seen at all, private use, lone surrogates: a reason ends in
 * error messages, logs and terminals, and must steer none of them.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u2028\u2029]/gu;

/** A peer's reason, U+FFFD for each character that could steer what shows it; `undefined` when it is no UTF-8. */
export function decodeReason(bytes: Uint8Array): string | undefined {
  return decodeText(bytes)?.replaceAll(UNSAFE, '\u{fffd}');
}
