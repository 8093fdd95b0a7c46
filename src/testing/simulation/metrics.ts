/** Figures of a simulation: counters with their course, and distributions. */

import { createSeededRandom } from '../../base/seeded-random.ts';

/** A distribution. */
export interface Distribution {
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** The value of something at instants of virtual time. */
export type Course = readonly (readonly [atMs: number, value: number])[];

/** What a simulation has measured. */
export interface SimulationMetrics {
  /** `messages`, `bytes`, `lost`, `lost.REASON`, `opened`, `closed`, `crashed`, and what the program counted. */
  readonly counts: Readonly<Record<string, number>>;
  /** What the program measured. Percentiles of more than 100 000 values are those of a random sample of that size. */
  readonly distributions: Readonly<Record<string, Distribution>>;
  /** What the program attempted. */
  readonly attempts: Readonly<Record<string, { readonly ok: number; readonly all: number; readonly share: number }>>;
  /** Each counter over time, and `running`: nodes. About 200 points for each phase. */
  readonly courses: Readonly<Record<string, Course>>;
  /** The values behind a distribution, in order of size. */
  values(name: string): readonly number[];
}

/** Values that a distribution remembers. */
const MAX_VALUES = 100_000;
/** Names of counters, distributions and attempts, each. */
const MAX_NAMES = 1000;

class Sample {
  readonly values: number[] = []; // Bounded by MAX_VALUES.
  count = 0;
  sum = 0;
  min = Infinity;
  max = -Infinity;
  readonly #random = createSeededRandom('sample');

  add(value: number): void {
    this.count++;
    this.sum += value;
    this.min = Math.min(this.min, value);
    this.max = Math.max(this.max, value);
    if (this.values.length < MAX_VALUES) this.values.push(value);
    else {
      // A reservoir (Vitter's algorithm R): each value is kept with the same chance.
      const at = Math.floor(this.#random.next() * this.count);
      if (at < MAX_VALUES) this.values[at] = value;
    }
  }

  distribution(): Distribution {
    const sorted = this.values.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
    const { count, min, max } = this;
    return { count, mean: this.sum / count, min, p50: at(0.5), p90: at(0.9), p99: at(0.99), max };
  }
}

/** Collects what a run measures. */
export class Metrics {
  /** These three are bounded by MAX_NAMES and the names of the simulator. */
  readonly #counts = new Map<string, number>();
  readonly #samples = new Map<string, Sample>();
  readonly #attempts = new Map<string, { ok: number; all: number }>();
  /** Bounded by the names and the calls of {@link Metrics.sample}, about 200 in each phase of a run. */
  readonly #courses = new Map<string, [number, number][]>();

  /** Adds to a counter of the simulator itself: these few have a name, however many the program uses. */
  tally(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  /** @throws {RangeError} for one name too many, or a value that is not finite. */
  count(name: string, by = 1): void {
    if (!Number.isFinite(by)) throw new RangeError(`Cannot count ${name}: expected a finite number, got ${by}`);
    this.#counts.set(name, (this.#known(this.#counts, name) ?? 0) + by);
  }

  /** @throws {RangeError} as {@link Metrics.count}. */
  measure(name: string, value: number): void {
    if (!Number.isFinite(value)) throw new RangeError(`Cannot measure ${name}: expected a finite number, got ${value}`);
    let sample = this.#known(this.#samples, name);
    if (sample === undefined) this.#samples.set(name, (sample = new Sample()));
    sample.add(value);
  }

  /** @throws {RangeError} for one name too many. */
  attempt(name: string, isOk: boolean): void {
    let known = this.#known(this.#attempts, name);
    if (known === undefined) this.#attempts.set(name, (known = { ok: 0, all: 0 }));
    known.all++;
    if (isOk) known.ok++;
  }

  /** Takes down where all counters are now. */
  sample(atMs: number, running: number): void {
    for (const [name, value] of [...this.#counts, ['running', running] as const]) {
      const course = this.#courses.get(name) ?? [];
      this.#courses.set(name, course);
      course.push([atMs, value]);
    }
  }

  result(): SimulationMetrics {
    const attempts = Array.from(this.#attempts, ([name, { ok, all }]) => [name, { ok, all, share: ok / all }] as const);
    return {
      counts: Object.fromEntries(this.#counts),
      distributions: Object.fromEntries(Array.from(this.#samples, ([name, sample]) => [name, sample.distribution()])),
      attempts: Object.fromEntries(attempts),
      courses: Object.fromEntries(this.#courses),
      values: (name) => this.#samples.get(name)?.values.toSorted((a, b) => a - b) ?? [],
    };
  }

  #known<V>(map: ReadonlyMap<string, V>, name: string): V | undefined {
    const value = map.get(name);
    if (value === undefined && map.size >= MAX_NAMES) {
      throw new RangeError(`Cannot measure ${name}: a simulation has at most ${MAX_NAMES} names of a kind`);
    }
    return value;
  }
}
