/** sodium-native, where somebody has installed it: `npm install --prefix bench/rivals/sodium`. */

import { type SodiumLibrary, sodiumAead } from '../../src/crypto/sodium.ts';
import type { ImportAeadKey } from '../../src/crypto/suite.ts';
import { rivalMissing } from './rivals.ts';

export const sodiumMissing: () => string | false = rivalMissing('sodium', 'sodium-native');

const library = new URL('../rivals/sodium/node_modules/sodium-native/index.js', import.meta.url).href;

/** The cipher, or `undefined` where it is not installed. */
export async function loadSodium(): Promise<ImportAeadKey | undefined> {
  try {
    return sodiumAead(((await import(library)) as { readonly default: SodiumLibrary }).default);
  } catch {
    return undefined;
  }
}
