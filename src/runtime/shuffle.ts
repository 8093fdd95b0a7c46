/** Random order. */

import type { Realm } from '../core/realm.ts';

/** Puts the items in random order, in place, and returns them. Drawn from the realm, so that a seed replays it. */
export function shuffle<T>(realm: Pick<Realm, 'random'>, items: T[]): T[] {
  const draws = realm.random(4 * items.length);
  const view = new DataView(draws.buffer, draws.byteOffset);
  for (let i = items.length - 1; i > 0; i--) {
    const j = view.getUint32(4 * i) % (i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
