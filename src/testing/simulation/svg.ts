/** A metric of a simulation as a picture. */

import { printableText } from '../../base/reason.ts';
import type { Course } from './metrics.ts';
import type { SimulationResult } from './simulate.ts';

const WIDTH = 720;
const HEIGHT = 360;
const LEFT = 72;
const RIGHT = 24;
const TOP = 48;
const BOTTOM = 44;
const TICKS = 5;
/** Points of a line: more cannot be told apart. */
const MAX_POINTS = 500;

interface Chart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/**
 * An SVG document: of a counter its course over time, of `NAME/s` its rate, of a distribution the share of values up to each
 * value.
 *
 * @param metric - the name of a counter, a counter with `/s`, `running`, or a distribution.
 * @throws {RangeError} for a metric that the result does not have; the message names those that it has.
 */
export function metricSvg(result: SimulationResult, metric: string): string {
  return draw(chartOf(result, metric), `${result.name}, seed ${result.seed}, ${result.nodes} nodes`);
}

function chartOf({ metrics }: SimulationResult, metric: string): Chart {
  const { courses, distributions } = metrics;
  const seconds = 'virtual seconds';
  const courseOf = (name: string): Course | undefined => (Object.hasOwn(courses, name) ? courses[name] : undefined);
  const course = courseOf(metric);
  if (course !== undefined) {
    return { title: metric, x: seconds, y: metric, points: course.map(([atMs, value]) => [atMs / 1000, value]) };
  }
  const counter = metric.endsWith('/s') ? courseOf(metric.slice(0, -2)) : undefined;
  if (counter !== undefined) {
    const points = counter.slice(1).map(([atMs, value], i) => {
      const [beforeMs, before] = counter[i]!;
      return [atMs / 1000, ((value - before) * 1000) / (atMs - beforeMs)] as const;
    });
    return { title: metric, x: seconds, y: metric, points };
  }
  if (!Object.hasOwn(distributions, metric)) {
    const known = [...Object.keys(courses), ...Object.keys(distributions)].join(', ');
    throw new RangeError(`Cannot draw ${metric}: the simulation has ${known}`);
  }
  const values = metrics.values(metric);
  const points = values.map((value, i) => [value, (100 * (i + 1)) / values.length] as const);
  return { title: `${metric}: share of ${values.length} values`, x: metric, y: '%', points };
}

function draw({ title, x, y, points }: Chart, subtitle: string): string {
  const shown = points.filter((_, i) => i === points.length - 1 || i % Math.ceil(points.length / MAX_POINTS) === 0);
  const [xs, ys] = [shown.map(([at]) => at), shown.map(([, value]) => value)];
  const toX = scale(Math.min(...xs, 0), Math.max(...xs, 1e-9), LEFT, WIDTH - RIGHT);
  const toY = scale(Math.min(...ys, 0), Math.max(...ys, 1e-9), HEIGHT - BOTTOM, TOP);
  const line = shown.map(([at, value]) => `${toX.at(at).toFixed(1)},${toY.at(value).toFixed(1)}`).join(' ');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="18" font-size="14" font-weight="bold">${escaped(title)}</text>`,
    `<text x="${LEFT}" y="34" fill="#555">${escaped(subtitle)}</text>`,
    ...toY.ticks.map(
      (value) =>
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${toY.at(value).toFixed(1)}" y2="${toY.at(value).toFixed(1)}" stroke="#ddd"/>` +
        `<text x="${LEFT - 6}" y="${(toY.at(value) + 4).toFixed(1)}" text-anchor="end">${label(value)}</text>`,
    ),
    ...toX.ticks.map(
      (value) =>
        `<text x="${toX.at(value).toFixed(1)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${label(value)}</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(x)}</text>`,
    `<text x="12" y="${TOP - 4}">${escaped(y)}</text>`,
    `<polyline points="${line}" fill="none" stroke="#1565c0" stroke-width="1.5"/>`,
    '</svg>',
    '',
  ].join('\n');
}

/** From values to pixels. */
function scale(min: number, max: number, from: number, to: number): { at: (value: number) => number; ticks: number[] } {
  const step = (max - min) / TICKS;
  return {
    at: (value) => from + ((value - min) / (max - min)) * (to - from),
    ticks: Array.from({ length: TICKS + 1 }, (_, i) => min + i * step),
  };
}

function label(value: number): string {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));
}

/** For the text of an XML document. */
function escaped(text: string): string {
  return printableText(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
