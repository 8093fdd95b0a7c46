/** One direction of an emulated link, for tests that carry packets themselves; memory realms have their own. */

import { type Seed, createSeededRandom } from '../base/seeded-random.ts';
import { Netem, type NetemConfig, type NetemPreset } from '../protocols/netem/netem.ts';

/**
 * A link that decides the fate of each packet; the same seed gives the same fates.
 *
 * @param config - a preset's name, or numbers.
 * @throws {TypeError | RangeError} for an unknown preset or a number out of range.
 *
 * @example
 * ```ts
 * const link = netem('wifi', 1);
 * const fate = link.handlePacket(clock.nowMs(), packet.length);
 * ```
 */
export function netem(config: NetemConfig | NetemPreset, seed: Seed = 0): Netem {
  const random = createSeededRandom(seed);
  return new Netem(config, () => random.next());
}
