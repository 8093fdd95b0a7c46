/**
 * How everything is measured: all measures of a bench take turns in every round, so that what else the machine does meets
 * all of them alike. The first round warms up; medians count, and a ratio is the median of the ratios of each round.
 */

import { type Cores, cpuOf, type End, pin } from './ends.ts';

/** A round, and the warm-up before the first, takes at least so long. */
export const ROUND_MS = 1000;

/** What one round of a measure came to. */
export interface Round {
  /** In the unit of the measure; more is better. */
  readonly figure: number;
  /** Operations that were done in that time. @default none: the figure is no rate, memory say */
  readonly operations?: number;
  /** CPU time of all ends in µs, of a round that knows it better. @default all that the ends used during the round */
  readonly cpuUs?: number;
}

/** One thing whose speed is measured. */
export interface Measure {
  readonly name: string;
  /** What is counted a second, or a CPU second: `messages/s`. */
  readonly unit: string;
  /** Where the ends run. @default in this process */
  readonly on?: Cores;
  /** The processes that are measured, started by the first call. @default this process */
  readonly ends?: () => Promise<readonly End[]>;
  /** Why it cannot run here, if so: it is left out, and this is said. @default it can */
  readonly missing?: (() => string | false) | undefined;
  /** It takes long and varies little: it is measured in the first round only, and not warmed up. */
  readonly isSingle?: boolean;
  /** Measures it. */
  readonly round: () => Round | Promise<Round>;
}

/** What is claimed of a measure. */
export interface Claim {
  /** The name of a measure. */
  readonly subject: string;
  /** The name of the measure of the same run that it is compared with. */
  readonly baseline: string;
  /** The least ratio to the baseline, the least figure, or the most CPU time an operation as a ratio to the baseline's. @default none: it is reported only */
  readonly goal?: { readonly ratio: number } | { readonly figure: number } | { readonly cpu: number } | undefined;
}

/** Something that must come out as expected, or the rows it stands for mean nothing. */
export interface Control {
  readonly what: string;
  /** The measures that it needs; where one cannot run here there is no control, where one breaks the control has failed. */
  readonly needs: readonly string[];
  /** It stands for the rows whose subject contains this. @default all rows of the bench */
  readonly of?: string;
  readonly holds: (figures: Figures) => boolean;
}

/** The figures of a measure, one a round. */
export type Figures = ReadonlyMap<string, readonly number[]>;

/** What a bench measures. Nothing is started before the first round. */
export interface PreparedBench extends Partial<AsyncDisposable> {
  readonly measures: readonly Measure[];
  readonly claims: readonly Claim[];
  readonly controls: readonly Control[];
  /** What a reader has to know beside the figures: drops, sizes. */
  readonly notes?: ((figures: Figures) => readonly string[]) | undefined;
}

/** A question that is answered by measuring. */
export interface Bench {
  readonly name: string;
  readonly question: string;
  readonly prepare: () => PreparedBench;
}

/** A claim with its figures. */
export interface Row {
  readonly subject: string;
  readonly unit: string;
  readonly on: string;
  readonly figure: number;
  /** CPU time of all ends, of one operation. */
  readonly cpuUs: number | undefined;
  readonly baseline: string;
  readonly baselineFigure: number;
  readonly baselineCpuUs: number | undefined;
  readonly ratio: number;
  /** Quartiles of the ratios. */
  readonly spread: readonly [number, number];
  readonly cpuRatio: number | undefined;
  readonly goal: string;
  readonly verdict: 'met' | 'missed' | '';
  /** The control that failed: the row is not published. */
  readonly distrusted: string | undefined;
}

/** What a bench came to. */
export interface BenchResult {
  readonly name: string;
  readonly question: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly controls: readonly { readonly what: string; readonly ok: boolean }[];
  readonly notes: readonly string[];
  /** Measures of our own that broke. */
  readonly broken: readonly string[];
  /** Of each measure, by round. */
  readonly figures: Readonly<Record<string, readonly number[]>>;
  readonly cpuUs: Readonly<Record<string, readonly number[]>>;
}

/** Which part of a bench runs, and how often. */
export interface Extent {
  readonly rounds: number;
  /** The claims that are judged. @default all */
  readonly claims?: ((claim: Claim) => boolean) | undefined;
}

/** The value that `share` of the others do not exceed (nearest rank). */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]!;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** What half of the values lie within. */
export function quartiles(values: readonly number[]): readonly [number, number] {
  return [quantile(values, 0.25), quantile(values, 0.75)];
}

/** So many operations in so many milliseconds. @param each - what one counts for in the figure: MB, say */
export function rateOf(operations: number, ms: number, each = 1): Round {
  return { figure: (operations * each * 1000) / ms, operations };
}

/**
 * A round of what is told how often: again and again until it has taken long enough.
 *
 * @param run - does so many operations, and answers how many milliseconds they took.
 * @param first - how many at first.
 * @param each - what one counts for in the figure. @param step - how many it can only do at once.
 */
export function counted(
  run: (count: number) => number | Promise<number>,
  first: number,
  each = 1,
  step = 1,
): () => Promise<Round> {
  let perMs = first / (ROUND_MS / 4);
  return async () => {
    let operations = 0;
    let ms = 0;
    while (ms < ROUND_MS) {
      const count = step * Math.ceil((perMs * Math.max(ROUND_MS * 1.05 - ms, ROUND_MS / 10)) / step);
      const took = await run(count);
      perMs = count / took;
      operations += count;
      ms += took;
    }
    return rateOf(operations, ms, each);
  };
}

/** A measure of the same thing comes to the same. @param most - the greatest ratio of the two, either way. */
export function same(again: string, name: string, of?: string, most = 1.4): Control {
  return {
    what: `${again}: at most ${most}× apart`,
    needs: [again, name],
    ...(of === undefined ? {} : { of }),
    holds: (figures) => {
      const ratio = ratioOf(figures, again, name);
      return ratio > 1 / most && ratio < most;
    },
  };
}

/** The median of the ratios of each round. */
function ratioOf(figures: Figures, name: string, base: string): number {
  return median(ratiosOf(figures, name, base));
}

function ratiosOf(figures: Figures, name: string, base: string): readonly number[] {
  return figures.get(name)!.map((figure, round) => figure / figures.get(base)![round]!);
}

/** The measures that can run here, of those that are needed; and why others cannot. */
function select({ measures, claims, controls }: PreparedBench, { claims: wanted }: Extent) {
  const needed = claims.filter((claim) => wanted?.(claim) ?? true);
  const names = new Set(needed.flatMap(({ subject, baseline }) => [subject, baseline]));
  const concerned = ({ of = '' }: Control): boolean => needed.some(({ subject }) => subject.includes(of));
  for (const control of controls) if (concerned(control)) for (const name of control.needs) names.add(name);
  const reasons = new Map<() => string | false, string | false>();
  const missing = new Set<string>();
  const running = measures.filter((measure) => {
    if (wanted !== undefined && !names.has(measure.name)) return false;
    if (measure.missing === undefined) return true;
    if (!reasons.has(measure.missing)) reasons.set(measure.missing, measure.missing());
    const reason = reasons.get(measure.missing)!;
    if (reason !== false) missing.add(reason);
    return reason === false;
  });
  const has = (name: string): boolean => running.some((measure) => measure.name === name);
  return {
    running,
    claims: needed.filter(({ subject, baseline }) => has(subject) && has(baseline)),
    controls: controls.filter((control) => concerned(control) && control.needs.every(has)),
    missing: [...missing].map((reason) => `left out: ${reason}`),
  };
}

/** Runs a bench to its end. */
export async function runBench(bench: Bench, extent: Extent): Promise<BenchResult> {
  const prepared = bench.prepare();
  try {
    const { running, claims, controls, missing } = select(prepared, extent);
    const figures = new Map<string, number[]>(running.map(({ name }) => [name, []]));
    const cpus = new Map<string, number[]>(running.map(({ name }) => [name, []]));
    const places = new Map<string, string>();
    const failures = new Map<string, string>();
    const once = async (measure: Measure, isWarmUp: boolean): Promise<void> => {
      const ends = await measure.ends?.();
      places.set(measure.name, pin(ends, measure.on));
      const { result, cpuUs } = await cpuOf(ends, measure.round);
      if (isWarmUp) return;
      figures.get(measure.name)!.push(result.figure);
      const each = (result.cpuUs ?? cpuUs) / (result.operations ?? NaN);
      if (Number.isFinite(each)) cpus.get(measure.name)!.push(each);
    };
    for (let round = -1; round < extent.rounds; round++) {
      for (const measure of running.filter((each) => !failures.has(each.name) && (!each.isSingle || round === 0))) {
        try {
          await once(measure, round < 0);
        } catch (error) {
          // What breaks takes nothing from the others: it is left out, and the notes say so.
          failures.set(measure.name, String(error).split('\n')[0]!);
        }
      }
    }
    const works = (name: string): boolean => !failures.has(name);
    // A control whose measures broke could not be judged: its rows are not published either.
    const judged = controls.map((control) => ({
      control,
      ok: control.needs.every(works) && control.holds(figures),
    }));
    const distrust = (subject: string): string | undefined =>
      judged.find(({ control, ok }) => !ok && subject.includes(control.of ?? ''))?.control.what;
    return {
      name: bench.name,
      question: bench.question,
      rounds: extent.rounds,
      rows: claims
        .filter(({ subject, baseline }) => works(subject) && works(baseline))
        .map((claim) => ({
          ...judge(claim, figures, cpus),
          unit: running.find(({ name }) => name === claim.subject)!.unit,
          on: places.get(claim.subject)!,
          distrusted: distrust(claim.subject),
        })),
      controls: judged.map(({ control, ok }) => ({ what: control.what, ok })),
      notes: [
        ...missing,
        ...[...failures].map(([name, error]) => `failed: ${name}: ${error}`),
        ...(prepared.notes?.(figures) ?? []),
      ],
      figures: Object.fromEntries(figures),
      broken: running.filter((each) => each.missing === undefined && !works(each.name)).map(({ name }) => name),
      cpuUs: Object.fromEntries(cpus),
    };
  } finally {
    await prepared[Symbol.asyncDispose]?.();
  }
}

function judge({ subject, baseline, goal }: Claim, figures: Figures, cpus: Figures) {
  const figure = median(figures.get(subject)!);
  const ratios = ratiosOf(figures, subject, baseline);
  const ratio = median(ratios);
  const cpuOfOne = (name: string): number | undefined =>
    cpus.get(name)!.length === 0 ? undefined : median(cpus.get(name)!);
  const [cpuUs, baselineCpuUs] = [cpuOfOne(subject), cpuOfOne(baseline)];
  const cpuRatio = cpuUs === undefined || baselineCpuUs === undefined ? undefined : ratioOf(cpus, subject, baseline);
  let text = '';
  let met = true;
  if (goal !== undefined && 'ratio' in goal) [text, met] = [`≥ ${goal.ratio}×`, ratio >= goal.ratio];
  else if (goal !== undefined && 'figure' in goal) [text, met] = [`≥ ${rounded(goal.figure)}`, figure >= goal.figure];
  else if (goal !== undefined) [text, met] = [`CPU ≤ ${goal.cpu}×`, cpuRatio !== undefined && cpuRatio <= goal.cpu];
  return {
    subject,
    figure,
    cpuUs,
    baseline,
    baselineFigure: median(figures.get(baseline)!),
    baselineCpuUs,
    ratio,
    spread: quartiles(ratios),
    cpuRatio,
    goal: text,
    verdict: text === '' ? ('' as const) : met ? ('met' as const) : ('missed' as const),
  };
}

/** A figure with as many digits as mean something. */
export function rounded(figure: number): string {
  if (figure >= 1e6) return `${(figure / 1e6).toFixed(2)} M`;
  if (figure >= 1e4) return `${(figure / 1e3).toFixed(0)} k`;
  return figure.toFixed(figure >= 100 ? 0 : 2);
}
