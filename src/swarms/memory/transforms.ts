/** Transforms that drop what a test wants to see dropped. */

import { type MessageTransform } from '../../net/memory/router.ts';

/** Drops the first tell between each two addresses, in whichever direction it goes. */
export function dropFirstPairwise(): MessageTransform {
  return dropFirst((a, b) => (a < b ? `${a} ${b}` : `${b} ${a}`));
}

/** Drops the first tell from each address to each other. */
export function dropFirstTuple(): MessageTransform {
  return dropFirst((src, dst) => `${src} ${dst}`);
}

function dropFirst(keyOf: (src: string, dst: string) => string): MessageTransform {
  const seen = new Set<string>(); // Bounded by the pairs of addresses that talk.
  return (message) => {
    const key = keyOf(message.src.text, message.dst.text);
    if (seen.has(key)) return message;
    seen.add(key);
    return undefined;
  };
}
