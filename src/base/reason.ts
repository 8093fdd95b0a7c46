/** Text of a peer, before it reaches a terminal, a log or an error message. */

import { decodeText } from './bytes.ts';

/**
 * Control characters, characters that change the direction of text or are invisible, private use, lone surrogates: a
 * reason is shown in error messages, logs and terminals, and must not control them.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u2028\u2029]/gu;

/** `text` on one line, with U+FFFD in place of each character that could steer a terminal or hide. */
export function printableText(text: string): string {
  return text.replaceAll(UNSAFE, '\u{fffd}');
}

/** A peer's reason, with U+FFFD in place of each unsafe character; `undefined` when it is not UTF-8. */
export function decodeReason(bytes: Uint8Array): string | undefined {
  const text = decodeText(bytes);
  return text === undefined ? undefined : printableText(text);
}
