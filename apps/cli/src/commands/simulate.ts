/** `shoal simulate`: runs a simulation that a module defines, many seeds of it, or one of them twice. */

import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type SimulationEvent,
  type SimulationOptions,
  type SimulationProgress,
  type SimulationResult,
  checkReplay,
  findFailure,
  metricSvg,
  simulate,
} from 'shoal/testing';
import type { CommandContext, CommonOptions } from '../context.ts';
import { Failure, UsageError, asUsage } from '../failure.ts';

/** Options of `shoal simulate`. */
export interface SimulateOptions extends CommonOptions {
  readonly seed?: string | undefined;
  readonly nodes?: number | undefined;
  readonly duration?: number | undefined;
  readonly untilFailure?: boolean | undefined;
  readonly seeds: number;
  readonly shrink: boolean;
  readonly twice?: boolean | undefined;
  readonly trace?: string | undefined;
  readonly svg?: readonly string[] | undefined;
}

/** Real milliseconds between two lines of progress. */
const PROGRESS_EVERY_MS = 1000;
/** Bytes of the trace that wait for the disk before the simulation waits. */
const TRACE_PART_BYTES = 1 << 20;

/** Runs until the end of the simulation, or Ctrl-C. */
export async function runSimulation(context: CommandContext, file: string, options: SimulateOptions): Promise<void> {
  if (options.untilFailure === true && options.twice === true) {
    throw new UsageError('--until-failure and --twice exclude each other');
  }
  if (options.untilFailure === true && options.seed !== undefined && !/^\d+$/.test(options.seed)) {
    throw new UsageError('--until-failure counts seeds: --seed has to be a number');
  }
  const pictures = (options.svg ?? []).map(pictureOf);
  const defined = await load(file);
  const trace = options.trace === undefined ? undefined : new TraceFile(options.trace);
  const simulation: SimulationOptions<unknown> = {
    name: path.basename(file).replace(/\.\w+$/, ''),
    ...defined,
    nodes: options.nodes ?? defined.nodes,
    durationMs: options.duration === undefined ? defined.durationMs : options.duration * 1000,
    seed: options.seed === undefined ? defined.seed : seedOf(options.seed),
    signal: context.interrupt.signal,
    onProgress: progressOf(context),
    onEvent: trace === undefined ? defined.onEvent : (event) => trace.add(event),
  };
  const { result, failed } = await asUsage(`Cannot simulate ${file}`, () => runs(context, simulation, options));
  await trace?.end();
  for (const { metric, to } of pictures) {
    const svg = await asUsage('Cannot draw', () => Promise.resolve(metricSvg(result, metric)));
    await writeFile(to, svg).catch((cause: unknown) => {
      throw new Failure(`Cannot write ${to}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    });
  }
  if (failed !== undefined) throw new Failure(failed);
}

async function runs(
  context: CommandContext,
  simulation: SimulationOptions<unknown>,
  options: SimulateOptions,
): Promise<{ readonly result: SimulationResult; readonly failed?: string | undefined }> {
  const { output } = context;
  if (options.twice === true) {
    const { isSame, first, second, partBetweenMs } = await checkReplay(simulation);
    show(context, first);
    output.show(
      { event: 'replay', isSame, traceHash: first.traceHash, otherTraceHash: second.traceHash, partBetweenMs },
      isSame ? `Both runs are the same: ${first.traceHash}` : `The two runs differ`,
    );
    const [after, before] = partBetweenMs ?? [];
    const parted = `The same seed gave another run: they part between ${after} and ${before} ms`;
    return { result: first, failed: isSame ? failureOf(first) : parted };
  }
  if (options.untilFailure !== true) {
    const result = await simulate(simulation);
    show(context, result);
    return { result, failed: failureOf(result) };
  }
  const from = simulation.seed === undefined ? 0 : Number(simulation.seed);
  let last: SimulationResult | undefined;
  const found = await findFailure(simulation, {
    seeds: options.seeds,
    from,
    shrink: options.shrink,
    onRun: (result) => {
      last = result;
      const { seed, nodes, durationMs, isOk } = result;
      const words = isOk ? 'passes' : `fails: ${result.failure?.message}`;
      output.show(
        { event: 'simulation_run', seed: String(seed), nodes, durationMs, isOk, failure: result.failure?.message },
        `seed ${seed}, ${nodes} nodes, ${durationMs / 1000} s: ${words}`,
      );
    },
  });
  if (found === undefined) {
    output.show({ event: 'seeds_passed', from, seeds: options.seeds }, `${options.seeds} seeds pass, from ${from} on`);
    return { result: last! };
  }
  const { seed, nodes, durationMs } = found.result;
  show(context, found.result);
  const again = `--seed ${seed} --nodes ${nodes} --duration ${durationMs / 1000}`;
  return { result: found.result, failed: `${failureOf(found.result)}. Again with ${again}` };
}

function failureOf({ failure }: SimulationResult): string | undefined {
  return failure && `The simulation failed after ${failure.atMs} ms (${failure.phase}): ${failure.message}`;
}

function show({ output }: CommandContext, result: SimulationResult): void {
  const { name, seed, nodes, durationMs, isOk, traceHash, virtualMs, realMs, metrics, failure } = result;
  const { counts, attempts, distributions } = metrics;
  const { messages = 0, bytes = 0, lost = 0, ...others } = counts;
  output.show(
    {
      event: 'simulation',
      name,
      seed: String(seed),
      nodes,
      durationMs,
      isOk,
      failure: failure && { phase: failure.phase, atMs: failure.atMs, message: failure.message },
      traceHash,
      virtualMs,
      realMs,
      counts,
      attempts,
      distributions,
    },
    [
      `${name}: ${nodes} nodes, seed ${seed}, ${(virtualMs / 1000).toFixed(1)} virtual s in ${(realMs / 1000).toFixed(1)} s`,
      `${messages} messages, ${bytes} bytes, ${lost} lost; trace ${traceHash}`,
      ...Object.entries(others).map(([what, count]) => `${what}: ${count}`),
      ...Object.entries(attempts).map(
        ([what, { ok, all, share }]) => `${what}: ${ok} of ${all} (${(100 * share).toFixed(2)} %)`,
      ),
      ...Object.entries(distributions).map(
        ([what, { count, p50, p90, p99, max }]) =>
          `${what}: median ${round(p50)}, 90 % ${round(p90)}, 99 % ${round(p99)}, most ${round(max)}, of ${count}`,
      ),
    ],
  );
}

const round = (value: number): number => Number(value.toPrecision(4));

/** A line a second, for people who watch a terminal, and with `--json`. */
function progressOf({ output }: CommandContext): (progress: SimulationProgress) => void {
  let shownAtMs = 0;
  return ({ virtualMs, durationMs, realMs, running, phase }) => {
    if (!output.json && !process.stderr.isTTY) return;
    if (realMs - shownAtMs < PROGRESS_EVERY_MS && realMs >= shownAtMs) return;
    shownAtMs = realMs;
    if (output.json) output.show({ event: 'simulating', virtualMs, durationMs, realMs, running, phase });
    else {
      const times = `${(virtualMs / 1000).toFixed(1)} of ${durationMs / 1000} virtual s, ${(realMs / 1000).toFixed(1)} s`;
      output.note(`${phase}: ${times}, ${running} nodes run`);
    }
  };
}

/** `--svg METRIC=FILE`. */
function pictureOf(text: string): { readonly metric: string; readonly to: string } {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1) throw new UsageError(`Cannot take --svg ${text}: expected METRIC=FILE`);
  return { metric: text.slice(0, at), to: text.slice(at + 1) };
}

/** Digits are a number, so that `--seed 7` is the seed 7 of a program. */
function seedOf(text: string): number | string {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}

async function load(file: string): Promise<SimulationOptions<unknown>> {
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(path.resolve(file)).href)) as { readonly default?: unknown };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Failure(`Cannot load ${file}: ${why}`, { cause });
  }
  const { default: defined } = module;
  if (typeof defined !== 'object' || defined === null) {
    throw new UsageError(`Cannot simulate ${file}: it has to export the options of simulate() as default`);
  }
  return defined as SimulationOptions<unknown>;
}

/** Writes events to a file, one JSON object a line. */
class TraceFile {
  readonly #file: string;
  readonly #stream;
  #lines: string[] = []; // Bounded by TRACE_PART_BYTES, about.
  #bytes = 0;
  #fault: Error | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#stream = createWriteStream(file);
    this.#stream.on('error', (error) => (this.#fault = error));
  }

  add(event: SimulationEvent): void {
    const line = JSON.stringify(event);
    this.#lines.push(line);
    this.#bytes += line.length;
    if (this.#bytes >= TRACE_PART_BYTES) this.#flush();
  }

  /** @throws {Failure} when the file could not be written. */
  async end(): Promise<void> {
    this.#flush();
    this.#stream.end();
    if (this.#fault === undefined) await Promise.race([once(this.#stream, 'finish'), once(this.#stream, 'error')]);
    if (this.#fault !== undefined) throw new Failure(`Cannot write ${this.#file}: ${this.#fault.message}`);
  }

  #flush(): void {
    if (this.#lines.length > 0) this.#stream.write(`${this.#lines.join('\n')}\n`);
    this.#lines = [];
    this.#bytes = 0;
  }
}
