/** sodium-native, where somebody has installed it: `npm install --prefix bench/rivals/sodium`. */

import { type SodiumLibrary, sodiumAead } from '../../src/crypto/sodium.ts';
import type { ImportAeadKey } from '../../src/crypto/suite.ts';

/** What to tell people where it is not there. */
export const SODIUM_MISSING = 'sodium-native: not installed (npm install --prefix bench/rivals/sodium)';

const library = new URL('../rivals/sodium/node_modules/sodium-native/index.js', import.meta.url).href;

/** The cipher, or `undefined` where it is not installed. */
export async function loadSodium(): Promise<ImportAeadKey | undefined> {
  try {
    return sodiumAead(((await import(library)) as { readonly default: SodiumLibrary }).default);
  } catch {
    return undefined;
  }
}
