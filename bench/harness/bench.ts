/**
 * How everything is measured: all measures of a bench take turns in every round, so that what else the machine does meets
 * all of them alike; the first round warms up; medians count, and a ratio is the median of the ratios of each round.
 */

/** One thing whose speed is measured. More is better. */
export interface Measure {
  readonly name: string;
  /** What is counted a second, or a CPU second: `messages/s`. */
  readonly unit: string;
  /** Measures once and answers the figure. */
  readonly round: () => number | Promise<number>;
}

/** What is claimed of a measure. */
export interface Claim {
  /** The name of a measure. */
  readonly subject: string;
  /** The name of the measure of the same run that it is compared with. */
  readonly baseline: string;
  /** The least ratio to the baseline, or the least figure. @default none: it is reported only */
  readonly goal?: { readonly ratio: number } | { readonly figure: number } | undefined;
}

/** Something that must come out as expected, or the run means nothing. */
export interface Control {
  readonly what: string;
  readonly ok: boolean;
}

/** The figures of a measure, one a round. */
export type Figures = ReadonlyMap<string, readonly number[]>;

/** A bench that is ready to run. */
export interface PreparedBench extends Partial<AsyncDisposable> {
  readonly measures: readonly Measure[];
  readonly claims: readonly Claim[];
  readonly controls: (figures: Figures) => readonly Control[];
  /** What a reader has to know beside the figures: drops, sizes. */
  readonly notes?: (() => readonly string[]) | undefined;
}

/** A question that is answered by measuring. */
export interface Bench {
  readonly name: string;
  readonly question: string;
  /** @param quick - shorter rounds, for a first impression. */
  readonly prepare: (quick: boolean) => PreparedBench | Promise<PreparedBench>;
}

/** A claim with its figures. */
export interface Row {
  readonly subject: string;
  readonly unit: string;
  readonly figure: number;
  readonly baseline: string;
  readonly baselineFigure: number;
  readonly ratio: number;
  /** Of the ratios: what half of the rounds lie within. */
  readonly spread: readonly [number, number];
  readonly goal: string;
  readonly verdict: 'met' | 'missed' | '';
}

/** What a bench came to. */
export interface BenchResult {
  readonly name: string;
  readonly question: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly controls: readonly Control[];
  readonly notes: readonly string[];
  readonly figures: Readonly<Record<string, readonly number[]>>;
}

const ROUNDS = 9;
/** For a first impression; a figure that is published comes of more. */
const QUICK_ROUNDS = 3;

/** The value that `share` of the others do not exceed (nearest rank). */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]!;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Runs a bench to its end. */
export async function runBench(bench: Bench, quick: boolean): Promise<BenchResult> {
  const prepared = await bench.prepare(quick);
  try {
    const rounds = quick ? QUICK_ROUNDS : ROUNDS;
    const figures = new Map<string, number[]>(prepared.measures.map(({ name }) => [name, []]));
    for (let round = -1; round < rounds; round++) {
      for (const measure of prepared.measures) {
        const figure = await measure.round();
        if (round >= 0) figures.get(measure.name)!.push(figure);
      }
    }
    return {
      name: bench.name,
      question: bench.question,
      rounds,
      rows: prepared.claims.map((claim) => judge(claim, prepared.measures, figures)),
      controls: prepared.controls(figures),
      notes: prepared.notes?.() ?? [],
      figures: Object.fromEntries(figures),
    };
  } finally {
    await prepared[Symbol.asyncDispose]?.();
  }
}

function judge({ subject, baseline, goal }: Claim, measures: readonly Measure[], figures: Figures): Row {
  const [own, base] = [figures.get(subject)!, figures.get(baseline)!];
  const ratios = own.map((figure, round) => figure / base[round]!);
  const [figure, ratio] = [median(own), median(ratios)];
  const met = goal === undefined || ('ratio' in goal ? ratio >= goal.ratio : figure >= goal.figure);
  return {
    subject,
    unit: measures.find(({ name }) => name === subject)!.unit,
    figure,
    baseline,
    baselineFigure: median(base),
    ratio,
    spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    goal: goal === undefined ? '' : 'ratio' in goal ? `≥ ${goal.ratio}×` : `≥ ${rounded(goal.figure)}`,
    verdict: goal === undefined ? '' : met ? 'met' : 'missed',
  };
}

/** A figure with as many digits as mean something. */
export function rounded(figure: number): string {
  if (figure >= 1e6) return `${(figure / 1e6).toFixed(2)} M`;
  if (figure >= 1e4) return `${(figure / 1e3).toFixed(0)} k`;
  return figure.toFixed(figure >= 100 ? 0 : 2);
}
