/** What goes wrong in a simulation, and when: churn and planned faults. */

import type { SeededRandom } from '../../base/seeded-random.ts';
import type { LinkConfig } from '../../net/memory/links.ts';
import { resolveNetem } from '../../protocols/netem/netem.ts';
import { shuffle } from '../../runtime/shuffle.ts';
import type { ChaosEvent, Churn } from './options.ts';
import type { Nodes } from './nodes.ts';
import type { World } from './worlds.ts';

/** Half-life over mean lifetime of an exponential distribution. */
const LN2 = Math.LN2;
const DEFAULT_DOWN_MS = 60_000;
const DEFAULT_SPARED = 1;

/** What faults act on. */
export interface FaultTargets<N> {
  readonly world: World;
  readonly nodes: Nodes<N>;
  readonly size: number;
  readonly random: SeededRandom;
  /** The links as they are without faults. */
  readonly netem: LinkConfig | undefined;
  readonly note: (text: string) => void;
  /** A node could not be opened again. */
  readonly onOpenFailed: (index: number, error: unknown) => void;
}

/** Lets things go wrong until {@link Faults.end}. */
export class Faults<N> {
  readonly #targets: FaultTargets<N>;
  #isOver = false;
  /** The partition and the links that hold now: a later one takes the place of an earlier, which then ends without effect. */
  readonly #current = new Map<'partition' | 'link', ChaosEvent>(); // Bounded by the two kinds.

  constructor(targets: FaultTargets<N>) {
    this.#targets = targets;
  }

  /** Every node but the spared ones goes and comes from now on. */
  churn(churn: Churn): void {
    const { size } = this.#targets;
    for (let index = churn.spared ?? DEFAULT_SPARED; index < size; index++) this.#live(index, churn);
  }

  plan(events: readonly ChaosEvent[]): void {
    for (const event of events) this.#after(event.atMs, () => this.#begin(event));
  }

  /** Everything works from now on: no partition, no loss, nobody crashes. */
  end(): void {
    this.#isOver = true;
    const { world, netem } = this.#targets;
    world.heal();
    world.setLinks(faultless(netem));
  }

  #after(ms: number, act: () => void): void {
    const { clock } = this.#targets.world;
    clock.setTimer(clock.nowMs() + ms, () => {
      if (!this.#isOver) act();
    });
  }

  #live(index: number, churn: Churn): void {
    const { nodes, random } = this.#targets;
    this.#after(exponential(random, churn.halfLifeMs / LN2), () => {
      if (random.next() < (churn.graceful ?? 0)) nodes.stop(index).catch(() => undefined);
      else nodes.crash(index);
      this.#comeBack(index, churn);
    });
  }

  #comeBack(index: number, churn: Churn): void {
    const { nodes, random, onOpenFailed } = this.#targets;
    const meanMs = churn.downMs ?? DEFAULT_DOWN_MS;
    if (meanMs === Infinity) return;
    this.#after(exponential(random, meanMs), () => {
      nodes.start(index).then(
        () => this.#live(index, churn),
        (error: unknown) => {
          onOpenFailed(index, error);
          this.#comeBack(index, churn);
        },
      );
    });
  }

  #begin(event: ChaosEvent): void {
    const { world, nodes, size, random, netem, note } = this.#targets;
    note(`${event.type} begins`);
    const end = (act: () => unknown): void =>
      this.#after(event.forMs, () => {
        note(`${event.type} ends`);
        act();
      });
    if (event.type === 'partition') {
      const { parts = 2 } = event;
      world.partition(typeof parts === 'number' ? split(shuffled(size, random), parts) : parts);
      this.#current.set('partition', event);
      end(() => this.#isCurrent('partition', event) && world.heal());
    } else if (event.type === 'link') {
      world.setLinks(event.netem);
      this.#current.set('link', event);
      end(() => this.#isCurrent('link', event) && world.setLinks(netem));
    } else {
      const some = shuffled(size - DEFAULT_SPARED, random)
        .slice(0, Math.round(event.share * size))
        .map((index) => index + DEFAULT_SPARED)
        .filter((index) => !nodes.isDown(index));
      for (const index of some) nodes.crash(index);
      end(() => {
        for (const index of some)
          nodes.start(index).catch((error: unknown) => this.#targets.onOpenFailed(index, error));
      });
    }
  }

  #isCurrent(type: 'partition' | 'link', event: ChaosEvent): boolean {
    return this.#current.get(type) === event;
  }
}

/** The same link without loss, duplicates and damage; it takes as long as before. */
function faultless(netem: LinkConfig | undefined): LinkConfig | undefined {
  if (netem === undefined) return undefined;
  const { latencyMs, jitterMs, bytesPerSecond, queueBytes } = resolveNetem(netem);
  return { latencyMs, jitterMs, bytesPerSecond, queueBytes };
}

function exponential(random: SeededRandom, mean: number): number {
  return -mean * Math.log(1 - random.next());
}

/** The numbers below `size` in random order. */
function shuffled(size: number, random: SeededRandom): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  return shuffle({ random: (length) => random.bytes(length) }, all);
}

function split(all: readonly number[], parts: number): number[][] {
  const lists: number[][] = Array.from({ length: parts }, () => []);
  for (const [i, each] of all.entries()) lists[i % parts]!.push(each);
  return lists;
}
