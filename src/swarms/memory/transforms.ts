/** Transforms that drop messages for tests. */

import type { MessageTransform } from '../../net/memory/router.ts';

/** Drops the first tell between each pair of addresses, in either direction. */
export function dropFirstPairwise(): MessageTransform {
  return dropFirst((a, b) => (a < b ? `${a} ${b}` : `${b} ${a}`));
}

/** Drops the first tell from each address to each other one. */
export function dropFirstTuple(): MessageTransform {
  return dropFirst((src, dst) => `${src} ${dst}`);
}

function dropFirst(keyOf: (src: string, dst: string) => string): MessageTransform {
  const seen = new Set<string>(); // Bounded by the pairs of addresses that communicate.
  return (message) => {
    const key = keyOf(message.src.text, message.dst.text);
    if (seen.has(key)) return message;
    seen.add(key);
    return undefined;
  };
}
