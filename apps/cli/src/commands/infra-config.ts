/** The configuration of `shoal infra`: one JSON file, checked as a whole. */

import { readFile } from 'node:fs/promises';
import { checkConfig, type PeersConfig } from 'shoal/peers';
import type { MetricsAccess, TrackerLimits } from 'shoal/tracker';
import { Failure } from '../failure.ts';
import { nearest } from '../nearest.ts';

/** How the tracker serves. */
export interface InfraTracker extends Omit<TrackerLimits, 'http'> {
  /** As `--store` of `shoal tracker`. @default SQLite in the data folder */
  readonly store?: string | undefined;
  readonly trustProxy?: boolean | undefined;
  readonly metrics?: MetricsAccess | undefined;
  /** Where others reach it, if not at `host` and the port: `https://tracker.example.org`. */
  readonly url?: string | undefined;
}

/** What can stand in the file. */
export interface InfraConfig {
  /** The folder with the key, the cells and the cache of peers. */
  readonly data?: string | undefined;
  /** The port pair, TCP and UDP: `0.0.0.0:4433`. */
  readonly bind?: string | undefined;
  /** A name or IP under which others reach this machine. */
  readonly host?: string | undefined;
  readonly networkName?: string | undefined;
  readonly tracker?: InfraTracker | undefined;
  /** HTTPS for the tracker on a port of its own. */
  readonly https?: { readonly bind: string; readonly certFile: string; readonly keyFile: string } | undefined;
  /** More options of the node, as in the file of `shoal peers --config`: `serveRelay` with budgets, `lists`, `contacts` … */
  readonly node?: PeersConfig | undefined;
}

const TEXT = { data: 4096, bind: 64, host: 255, networkName: 255 } as const;
const TRACKER: readonly (keyof InfraTracker)[] = [
  'store',
  'trustProxy',
  'metrics',
  'url',
  'maxCells',
  'maxCellsPerSource',
  'cellTtlMs',
  'maxCellBytes',
  'requestsPerSecond',
  'cellsPerMinute',
];
const HTTPS = ['bind', 'certFile', 'keyFile'] as const;
/** What the command decides itself. */
const OWN = ['keyFile', 'bind', 'networkName', 'cache', 'kind'] as const;
const MAX_BYTES = 16_777_216;

/** @throws {Failure} with every fault, one line each. */
export async function readInfraConfig(path: string): Promise<InfraConfig> {
  let value: unknown;
  try {
    const text = await readFile(path, 'utf8');
    if (text.length > MAX_BYTES) throw new Error(`expected at most ${MAX_BYTES} characters`);
    value = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    // The message of JSON.parse quotes what it found, which may be a secret.
    const why = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message;
    throw new Failure(`Cannot use ${path}: ${why}`, { cause: error });
  }
  const faults = faultsOf(value);
  if (faults.length > 0) throw new Failure(`Cannot use ${path}: ${faults.join('; ')}`);
  return value as InfraConfig;
}

/** What is wrong with a configuration. */
export function faultsOf(value: unknown): readonly string[] {
  const faults: string[] = [];
  const top = fieldsOf(value, '', [...Object.keys(TEXT), 'tracker', 'https', 'node'], faults);
  for (const [name, max] of Object.entries(TEXT)) {
    const text = top[name];
    if (text !== undefined && (typeof text !== 'string' || text === '' || text.length > max)) {
      faults.push(`${name}: expected a text of 1 to ${max} characters`);
    }
  }
  if (top['tracker'] !== undefined) fieldsOf(top['tracker'], 'tracker.', TRACKER, faults);
  if (top['https'] !== undefined) {
    const https = fieldsOf(top['https'], 'https.', HTTPS, faults);
    for (const name of HTTPS) if (typeof https[name] !== 'string') faults.push(`https.${name}: expected a text`);
  }
  const { node } = top;
  if (node !== undefined) {
    for (const name of OWN) if (Object.hasOwn(Object(node), name)) faults.push(`node.${name}: it does not belong here`);
    try {
      checkConfig(node, 'node');
    } catch (error) {
      faults.push((error as Error).message.replaceAll(/\s*\n\s*/g, ' '));
    }
  }
  return faults;
}

function fieldsOf(
  value: unknown,
  prefix: string,
  known: readonly string[],
  faults: string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push(`${prefix.slice(0, -1) || 'the file'}: expected an object`);
    return {};
  }
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const meant = nearest(name, known);
    faults.push(
      `${prefix}${name} is not known; ${meant === undefined ? `known are ${known.join(', ')}` : `did you mean ${meant}?`}`,
    );
  }
  return value as Readonly<Record<string, unknown>>;
}
