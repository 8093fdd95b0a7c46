/** Text from elsewhere, before it reaches a terminal, a log or JSON: nothing in it steers what shows it. */

/**
 * Control characters, line and paragraph separators, everything that changes the direction of text or is not seen at all
 * (bidirectional marks, zero-width characters, fillers, tags), private use and lone surrogates.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u2028\u2029]/gu;

/** `text` on one line, with U+FFFD for every character that could steer a terminal or hide. */
export function printable(text: string): string {
  return text.replaceAll(UNSAFE, '\u{fffd}');
}

/** `value` as JSON on one line in which no character steers a terminal. It parses to the same value. */
export function printableJson(value: unknown): string {
  // Such characters stand within strings only, where an escape means the same.
  return JSON.stringify(value).replaceAll(UNSAFE, (character) =>
    character.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}
