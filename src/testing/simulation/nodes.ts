/** The nodes of a simulation: opened, closed, crashed and opened again. */

import type { PublicKey } from '../../core/secure.ts';
import { createSeededRandom } from '../../base/seeded-random.ts';
import type { NodeContext, Simulation, SimulationEvent, SimulationOptions } from './options.ts';
import type { World } from './worlds.ts';

interface Slot<N> {
  /** A new object for each time that it is opened, so that what began before a crash is told apart. */
  life: { node: N | undefined; isOpen: boolean } | undefined;
  restarts: number;
  /** The end of the last life: the next one begins after it. */
  closing: Promise<void>;
}

/** Opens and ends nodes, and says which run. */
export class Nodes<N> {
  readonly #options: SimulationOptions<N>;
  readonly #world: World;
  readonly #simulation: () => Simulation<N>;
  readonly #note: (type: SimulationEvent['type'], text: string) => void;
  readonly #slots: Slot<N>[]; // As many as there are nodes.

  constructor(
    options: SimulationOptions<N>,
    world: World,
    simulation: () => Simulation<N>,
    note: (type: SimulationEvent['type'], text: string) => void,
  ) {
    this.#options = options;
    this.#world = world;
    this.#simulation = simulation;
    this.#note = note;
    this.#slots = Array.from({ length: options.nodes }, () => ({
      life: undefined,
      restarts: -1,
      closing: Promise.resolve(),
    }));
  }

  get(index: number): N | undefined {
    const life = this.#slot(index).life;
    return life?.isOpen === true ? life.node : undefined;
  }

  isDown(index: number): boolean {
    return this.#slot(index).life === undefined;
  }

  running(): (readonly [index: number, node: N])[] {
    return this.#slots.flatMap(({ life }, i) => (life?.isOpen === true ? [[i, life.node as N] as const] : []));
  }

  /** The number of running nodes. */
  get size(): number {
    return this.#slots.reduce((sum, { life }) => sum + (life?.isOpen === true ? 1 : 0), 0);
  }

  async start(index: number): Promise<void> {
    const slot = this.#slot(index);
    if (slot.life !== undefined) return;
    const life = { node: undefined as N | undefined, isOpen: false };
    slot.life = life;
    await slot.closing;
    if (slot.life !== life) return;
    slot.restarts++;
    this.#world.revive(index);
    try {
      const node = await this.#options.open(this.#context(index, slot.restarts));
      if (slot.life === life) {
        life.node = node;
        life.isOpen = true;
        this.#note('opened', `${index}`);
      } else {
        // It crashed meanwhile.
        await this.#close(node);
      }
    } catch (error) {
      if (slot.life === life) {
        slot.life = undefined;
        this.#world.crash(index);
        throw error;
      }
    }
  }

  crash(index: number): void {
    const slot = this.#slot(index);
    const { life } = slot;
    if (life === undefined) return;
    slot.life = undefined;
    this.#world.crash(index);
    this.#note('crashed', `${index}`);
    // Its timers end with it; what it sends goes nowhere.
    if (life.isOpen) slot.closing = this.#close(life.node as N).catch(() => undefined);
  }

  async stop(index: number): Promise<void> {
    const slot = this.#slot(index);
    const { life } = slot;
    if (life === undefined) return;
    slot.life = undefined;
    const closing = life.isOpen ? this.#close(life.node as N) : Promise.resolve();
    slot.closing = closing.catch(() => undefined);
    this.#note('closed', `${index}`);
    await closing;
  }

  #slot(index: number): Slot<N> {
    const slot = this.#slots[index];
    if (slot !== undefined) return slot;
    throw new RangeError(`Cannot take node ${index}: the simulation has nodes 0 to ${this.#slots.length - 1}`);
  }

  async #close(node: N): Promise<void> {
    if (this.#options.close !== undefined) {
      await this.#options.close(node);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    const verbs = node as { [Symbol.asyncDispose]?: () => unknown; close?: () => unknown };
    await (verbs[Symbol.asyncDispose] ?? verbs.close)?.call(node);
  }

  #context(index: number, restarts: number): NodeContext {
    const world = this.#world;
    const simulation = this.#simulation();
    return {
      index,
      restarts,
      simulation,
      realm: world.realmOf(index),
      random: createSeededRandom(`node ${index} ${restarts} of ${typeof simulation.seed} ${simulation.seed}`),
      get host() {
        return world.host(index);
      },
      swarm: () => world.swarm(index),
      secureSwarm: (key: PublicKey) => world.secureSwarm(index, key),
    };
  }
}
