/** Metrics as plain data, and the text in which Prometheus reads them (exposition format 0.0.4). */

import { assertString, describeValue } from '../base/checks.ts';

/** One value of a metric. */
export interface MetricSample {
  readonly value: number;
  /** @default none */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** A metric with all its values. */
export interface Metric {
  /** Letters, digits and `_`; a counter ends in `_total`. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly samples: readonly MetricSample[];
}

/** The media type of {@link prometheusText}. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** A metric with one value. */
export function metric(type: Metric['type'], name: string, help: string, value: number): Metric {
  return { name, help, type, samples: [{ value }] };
}

/**
 * The text that a scrape of Prometheus gets. Metrics of one name become one.
 *
 * @throws {TypeError} for a name that Prometheus does not take, and for metrics of one name with different types.
 */
export function prometheusText(metrics: readonly Metric[]): string {
  const byName = new Map<string, Metric>();
  for (const each of metrics) {
    assertName(each.name);
    const before = byName.get(each.name);
    if (before !== undefined && before.type !== each.type) {
      throw new TypeError(`Cannot write metric ${each.name}: it is a ${before.type} and a ${each.type}`);
    }
    byName.set(each.name, before === undefined ? each : { ...before, samples: [...before.samples, ...each.samples] });
  }
  return [...byName.values()].map(linesOf).join('');
}

function linesOf({ name, help, type, samples }: Metric): string {
  const lines = samples.map(({ value, labels = {} }) => `${name}${labelsOf(labels)} ${numberOf(value)}\n`);
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelsOf(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    assertName(name);
    const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
    return `${name}="${escaped}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function numberOf(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}

function assertName(name: unknown): void {
  assertString(name, 'name');
  if (!NAME.test(name))
    throw new TypeError(`Cannot write metric: expected a name of letters, digits and _, got ${describeValue(name)}`);
}
