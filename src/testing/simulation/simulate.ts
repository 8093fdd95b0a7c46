/**
 * Runs a network of the program's own nodes in virtual time, with faults, checks and figures, and the same way again from
 * its seed.
 */

import { printableText } from '../../base/reason.ts';
import { type Seed, createSeededRandom } from '../../base/seeded-random.ts';
import { systemClock } from '../../runtime/system-clock.ts';
import { checkEvents, checkOptions, checkParts, networkOf } from './check-options.ts';
import { Faults } from './faults.ts';
import { Metrics, type SimulationMetrics } from './metrics.ts';
import { Nodes } from './nodes.ts';
import type { Simulation, SimulationEvent, SimulationOptions, SimulationProgress } from './options.ts';
import { TraceHash } from './trace-hash.ts';
import { createWorld } from './worlds.ts';

/** Why a simulation failed. */
export interface SimulationFailure {
  /** What was going on: `open` is the first opening of all nodes. */
  readonly phase: 'open' | 'run' | 'check' | 'liveness';
  readonly atMs: number;
  readonly message: string;
  readonly cause: unknown;
}

/** How a simulation ended. */
export interface SimulationResult {
  readonly name: string;
  readonly seed: Seed;
  readonly nodes: number;
  readonly durationMs: number;
  readonly isOk: boolean;
  readonly failure?: SimulationFailure | undefined;
  /** Over every packet with its instant, ends, fate, length and first 256 bytes, and every event: 16 hexadecimal digits. */
  readonly traceHash: string;
  /** The hash at about 200 instants of each phase, to find where two runs part. */
  readonly checkpoints: readonly (readonly [atMs: number, hash: string])[];
  readonly metrics: SimulationMetrics;
  readonly virtualMs: number;
  readonly realMs: number;
}

/** Samples, progress and looks at whether something has failed, per phase of a run. */
const TICKS = 200;
/** How often the liveness check is asked. */
const LIVENESS_EVERY_MS = 1000;
/** A check or a closing node has as long as the run lasts, and at least this. */
const MIN_CALL_LIMIT_MS = 600_000;
/** How much of the bytes of a packet goes into the hash. */
const HASHED_BYTES = 256;

/**
 * Simulates a network. A failure is part of the result: this rejects only for wrong options and when `signal` aborts.
 *
 * @throws {TypeError | RangeError} (by rejection) for wrong options.
 * @example
 * ```ts
 * const { isOk, metrics } = await simulate({
 *   nodes: 1000,
 *   durationMs: 60_000,
 *   network: { kind: 'memory', netem: 'cellular' },
 *   open: ({ swarm }) => new Gossip(swarm()),
 *   run: (simulation) => simulation.any()[1].publish('news'),
 *   liveness: { withinMs: 60_000, check: (simulation) => everybodyKnows('news', simulation) },
 * });
 * ```
 */
export async function simulate<N>(options: SimulationOptions<N>): Promise<SimulationResult> {
  checkOptions(options);
  options.signal?.throwIfAborted();
  return await new SimulationRun(options).run();
}

/** Something had not ended when its time was over. */
class NotEndedError extends Error {
  override readonly name = 'NotEndedError';
}

/** An error on one line. */
function messageOf(error: unknown): string {
  return printableText(error instanceof Error ? error.message : String(error));
}

class SimulationRun<N> {
  readonly #options: SimulationOptions<N>;
  readonly #seed: Seed;
  readonly #world;
  readonly #nodes: Nodes<N>;
  readonly #faults: Faults<N>;
  readonly #metrics = new Metrics();
  readonly #hash = new TraceHash();
  readonly #checkpoints: [number, string][] = []; // Bounded by TICKS for each phase.
  readonly #simulation: Simulation<N>;
  readonly #startedAtMs = systemClock.nowMs();
  #failure: SimulationFailure | undefined;
  #phase: SimulationProgress['phase'] = 'open';
  #sampledAtMs = -1;
  /** Between two samples of this phase. */
  #tickMs = 0;

  constructor(options: SimulationOptions<N>) {
    this.#options = options;
    this.#seed = options.seed ?? 0;
    const network = networkOf(options.network);
    this.#world = createWorld(network, {
      seed: `simulation ${typeof this.#seed} ${this.#seed}`,
      nodes: options.nodes,
      random: this.#random('network'),
      onPacket: ({ atMs, from, to, payload, lost }) => {
        this.#hash.number(atMs);
        this.#hash.text(from);
        this.#hash.text(to);
        this.#hash.bytes(payload.length <= HASHED_BYTES ? payload : payload.subarray(0, HASHED_BYTES));
        if (lost === undefined) {
          this.#metrics.tally('messages');
          this.#metrics.tally('bytes', payload.length);
        } else {
          this.#hash.text(lost);
          this.#metrics.tally('lost');
          this.#metrics.tally(`lost.${lost}`);
        }
        options.onEvent?.({
          atMs,
          type: lost === undefined ? 'packet' : 'lost',
          text: `${from} > ${to} ${payload.length} bytes${lost === undefined ? '' : ` ${lost}`}`,
        });
      },
    });
    this.#nodes = new Nodes(
      options,
      this.#world,
      () => this.#simulation,
      (type, text) => this.#note(type, text),
    );
    this.#faults = new Faults({
      world: this.#world,
      nodes: this.#nodes,
      size: options.nodes,
      random: this.#random('faults'),
      netem: network.netem,
      note: (text) => this.#note('chaos', text),
      onOpenFailed: (index, error) => {
        this.#metrics.tally('open_failed');
        this.#note('note', `node ${index} does not open: ${messageOf(error)}`);
      },
    });
    this.#simulation = this.#handle();
  }

  async run(): Promise<SimulationResult> {
    const { durationMs, churn, chaos, nodes, signal } = this.#options;
    try {
      await this.#open();
      if (this.#failure === undefined) {
        this.#phase = 'run';
        const events = typeof chaos === 'function' ? chaos(this.#random('chaos'), durationMs) : (chaos ?? []);
        checkEvents(events, nodes);
        this.#faults.plan(events);
        if (churn !== undefined) this.#faults.churn(churn);
        await this.#live();
      }
      if (this.#failure === undefined) await this.#heal();
      signal?.throwIfAborted();
      this.#sample(0);
      return this.#result();
    } finally {
      await this.#closeAll();
    }
  }

  /** Opens all nodes, one after the other in time. */
  async #open(): Promise<void> {
    const { nodes, openEveryMs = 0, durationMs } = this.#options;
    const { clock } = this.#world;
    let opened = 0;
    const begin = (index: number): void => {
      this.#nodes.start(index).then(
        () => opened++,
        (error: unknown) => this.#fail('open', error),
      );
    };
    for (let index = 0; index < nodes; index++) {
      if (openEveryMs === 0) begin(index);
      else clock.setTimer(index * openEveryMs, () => begin(index));
    }
    const lastMs = nodes * openEveryMs + durationMs;
    this.#tickMs = lastMs / TICKS;
    await this.#advance(lastMs, () => opened === nodes);
    if (this.#failure === undefined && opened < nodes) {
      this.#fail(
        'open',
        new NotEndedError(`${nodes - opened} of ${nodes} nodes are still not open; ${this.#waiting()}`),
      );
    }
  }

  /** The program runs, and the network is checked meanwhile. */
  async #live(): Promise<void> {
    const { durationMs, run, check, checkEveryMs = durationMs / 10 } = this.#options;
    const { clock } = this.#world;
    const startMs = clock.nowMs();
    const endMs = startMs + durationMs;
    this.#tickMs = durationMs / TICKS;
    let isRunning = run !== undefined;
    if (run !== undefined) {
      Promise.resolve()
        .then(() => run(this.#simulation))
        .then(
          () => (isRunning = false),
          (error: unknown) => this.#fail('run', error),
        );
    }
    for (let i = 1; this.#failure === undefined && clock.nowMs() < endMs; i++) {
      await this.#advance(Math.min(endMs, startMs + i * checkEveryMs), () => false);
      if (this.#failure === undefined && check !== undefined) await this.#attempt('check', check);
    }
    if (this.#failure === undefined && isRunning) {
      this.#fail('run', new NotEndedError(`run has not ended within ${durationMs} ms; ${this.#waiting()}`));
    }
  }

  /** Nothing goes wrong any more: now there has to be progress. */
  async #heal(): Promise<void> {
    const { liveness, nodes } = this.#options;
    this.#faults.end();
    if (liveness === undefined) return;
    this.#phase = 'liveness';
    this.#note('chaos', 'all is healed');
    for (let index = 0; index < nodes; index++) {
      this.#nodes.start(index).catch((error: unknown) => this.#fail('liveness', error));
    }
    const { clock } = this.#world;
    const endMs = clock.nowMs() + liveness.withinMs;
    this.#tickMs = liveness.withinMs / TICKS;
    for (;;) {
      await this.#advance(Math.min(endMs, clock.nowMs() + LIVENESS_EVERY_MS), () => false);
      if (this.#failure !== undefined) return;
      try {
        await this.#ended(liveness.check(this.#simulation));
        return;
      } catch (error) {
        if (clock.nowMs() >= endMs) this.#fail('liveness', error);
      }
    }
  }

  /** Moves time in ticks until an instant, until `isDone`, or until something fails. */
  async #advance(untilMs: number, isDone: () => boolean): Promise<void> {
    const { signal } = this.#options;
    const { clock } = this.#world;
    // What is done at this instant needs no time.
    await clock.advance(0);
    while (this.#failure === undefined && clock.nowMs() < untilMs && !isDone()) {
      signal?.throwIfAborted();
      try {
        await clock.advance(Math.min(this.#tickMs, untilMs - clock.nowMs()));
      } catch (error) {
        // A timer threw, or timers set each other for ever at one instant.
        this.#fail(this.#phase, error);
      }
      this.#sample();
    }
  }

  async #attempt(phase: 'check', verb: (simulation: Simulation<N>) => void | Promise<void>): Promise<void> {
    try {
      await this.#ended(verb(this.#simulation));
    } catch (error) {
      this.#fail(phase, error);
    }
  }

  /** The end of a check or of closing: the network goes on meanwhile, but not for ever. */
  #ended(what: unknown): Promise<unknown> {
    const limitMs = Math.max(this.#options.durationMs, MIN_CALL_LIMIT_MS);
    return this.#world.clock.run(Promise.resolve(what), { limitMs });
  }

  /** @param afterMs - not before so long after the last one. */
  #sample(afterMs = this.#tickMs): void {
    const atMs = this.#world.clock.nowMs();
    // Checks that come more often than the ticks add no samples: sums of ticks are not exact, so a little less is enough.
    if (atMs === this.#sampledAtMs || atMs - this.#sampledAtMs < 0.999 * afterMs) return;
    this.#sampledAtMs = atMs;
    const running = this.#nodes.size;
    this.#metrics.sample(atMs, running);
    this.#checkpoints.push([atMs, this.#hash.value]);
    this.#options.onProgress?.({
      virtualMs: atMs,
      durationMs: this.#options.durationMs,
      realMs: systemClock.nowMs() - this.#startedAtMs,
      running,
      phase: this.#phase,
    });
  }

  #fail(phase: SimulationFailure['phase'], cause: unknown): void {
    this.#failure ??= { phase, atMs: this.#world.clock.nowMs(), message: messageOf(cause), cause };
  }

  #note(type: SimulationEvent['type'], text: string): void {
    const atMs = this.#world.clock.nowMs();
    this.#hash.number(atMs);
    this.#hash.text(`${type} ${text}`);
    if (type === 'opened' || type === 'closed' || type === 'crashed') this.#metrics.tally(type);
    this.#options.onEvent?.({ atMs, type, text });
  }

  #waiting(): string {
    const { waits } = this.#world.clock;
    return waits.length === 0 ? 'no wait is named' : `waiting: ${waits.slice(0, 5).join(', ')}`;
  }

  async #closeAll(): Promise<void> {
    const all = this.#nodes.running().map(([index]) => this.#nodes.stop(index));
    // What a node says when it closes after the run is nobody's failure.
    await this.#ended(Promise.allSettled(all)).catch(() => undefined);
  }

  #result(): SimulationResult {
    const { name = 'simulation', nodes, durationMs } = this.#options;
    return {
      name,
      seed: this.#seed,
      nodes,
      durationMs,
      isOk: this.#failure === undefined,
      failure: this.#failure,
      traceHash: this.#hash.value,
      checkpoints: this.#checkpoints,
      metrics: this.#metrics.result(),
      virtualMs: this.#world.clock.nowMs(),
      realMs: systemClock.nowMs() - this.#startedAtMs,
    };
  }

  #random(what: string): ReturnType<typeof createSeededRandom> {
    return createSeededRandom(`${what} of ${typeof this.#seed} ${this.#seed}`);
  }

  #handle(): Simulation<N> {
    const [world, nodes, metrics] = [this.#world, this.#nodes, this.#metrics];
    const random = this.#random('program');
    const isHealed = (): boolean => this.#phase === 'liveness';
    return {
      seed: this.#seed,
      size: this.#options.nodes,
      durationMs: this.#options.durationMs,
      random,
      get nowMs() {
        return world.clock.nowMs();
      },
      get isHealed() {
        return isHealed();
      },
      node: (index) => nodes.get(index),
      host: (index) => world.host(index),
      running: () => nodes.running(),
      any: () => {
        const running = nodes.running();
        const one = running[Math.floor(random.next() * running.length)];
        if (one === undefined) throw new Error('Cannot take any node: none is running');
        return one;
      },
      sleep: (ms) => new Promise((resolve) => world.clock.setTimer(world.clock.nowMs() + ms, resolve)),
      count: (name, by) => metrics.count(name, by),
      measure: (name, value) => metrics.measure(name, value),
      attempt: (name, isOk) => metrics.attempt(name, isOk),
      note: (text) => this.#note('note', text),
      crash: (index) => nodes.crash(index),
      stop: (index) => nodes.stop(index),
      start: (index) => nodes.start(index),
      partition: (...parts) => {
        checkParts(parts, this.#options.nodes, 'partition');
        world.partition(parts);
      },
      heal: () => world.heal(),
    };
  }
}
