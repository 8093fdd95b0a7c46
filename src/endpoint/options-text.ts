/** Options of endpoints from JSON and from command lines: for programs that let their users choose. */

import { describeKind, describeOption } from '../base/checks.ts';
import { type UdpAddr } from '../net/socket-address.ts';
import { type OpenEndpointOptions, resolveEndpointOptions } from './options.ts';
import { type Trust } from './trust.ts';

/** The options that text can say: everything that is not an object of the program. Keys are PEM texts. */
export type TextEndpointOptions = Omit<
  OpenEndpointOptions,
  | 'over'
  | 'realm'
  | 'signal'
  | 'onOther'
  | 'onKeyLog'
  | 'fingerprint'
  | 'privateKey'
  | 'identity'
  | 'trust'
  | 'retry'
  | 'accept'
> & {
  readonly identity?: { readonly certificate: string | readonly string[]; readonly key: string } | undefined;
  readonly trust?: Trust | undefined;
  readonly retry?:
    | boolean
    | { readonly maxAttempts?: number; readonly timeoutMs?: number; readonly jitter?: number }
    | undefined;
};

/** How a value is written. */
type Kind = 'text' | 'number' | 'flag' | 'list' | 'json';

const KINDS: Readonly<Record<keyof TextEndpointOptions, Kind>> = {
  bind: 'text',
  identity: 'json',
  trust: 'json',
  listen: 'flag',
  alpn: 'list',
  idleTimeoutMs: 'number',
  keepAliveMs: 'number',
  maxConcurrentUniStreams: 'number',
  maxConcurrentBidiStreams: 'number',
  maxMessageBytes: 'number',
  maxConnectionBytes: 'number',
  maxEndpointBytes: 'number',
  maxPendingMessages: 'number',
  maxPendingBytes: 'number',
  maxQueuedMessages: 'number',
  streamTimeoutMs: 'number',
  connectTimeoutMs: 'number',
  maxConnections: 'number',
  maxConnectionsPerPeer: 'number',
  windows: 'json',
  pool: 'flag',
  retry: 'json',
  compat: 'text',
  addressValidation: 'text',
  transport: 'json',
  recvBufferBytes: 'number',
  sendBufferBytes: 'number',
};
const NAMES = Object.keys(KINDS) as (keyof TextEndpointOptions)[];
const WINDOW_NAMES = ['streamBytes', 'connectionBytes', 'sendBytes'];
const RETRY_NAMES = ['maxAttempts', 'timeoutMs', 'jitter'];

/** Who is asked for an option that does not exist is told of the one that is meant. */
function nearest(name: string, names: readonly string[]): string {
  let best = names[0]!;
  let least = Infinity;
  for (const known of names) {
    const distance = editDistance(name.toLowerCase(), known.toLowerCase());
    if (distance < least) [best, least] = [known, distance];
  }
  return best;
}

/** Insertions, deletions and changes from one text to the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

function unknownOption(
  name: string,
  names: readonly string[],
  write: (name: string) => string = (same) => same,
): never {
  throw new TypeError(`Cannot take option ${write(name)}: there is none; did you mean ${write(nearest(name, names))}?`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkNames(value: unknown, label: string, names: readonly string[]): void {
  if (!isObject(value))
    throw new TypeError(`Cannot take ${label}: expected an object, got ${describeOption(label, value)}`);
  for (const name of Object.keys(value))
    if (!names.includes(name)) unknownOption(name, names, (own) => `${label}.${own}`);
}

function checkKind(name: keyof TextEndpointOptions, value: unknown): void {
  const wrong = (expected: string): never => {
    throw new TypeError(`Cannot take ${name}: expected ${expected}, got ${describeOption(name, value)}`);
  };
  switch (KINDS[name]) {
    case 'text':
      if (typeof value !== 'string') wrong('a text');
      return;
    case 'number':
      if (typeof value !== 'number') wrong('a number');
      return;
    case 'flag':
      if (typeof value !== 'boolean') wrong('true or false');
      return;
    case 'list':
      if (typeof value !== 'string' && !(Array.isArray(value) && value.every((item) => typeof item === 'string'))) {
        wrong('a text or a list of texts');
      }
      return;
    case 'json':
      break;
  }
  if (name === 'windows') checkNames(value, name, WINDOW_NAMES);
  else if (name === 'retry' && typeof value !== 'boolean') checkNames(value, name, RETRY_NAMES);
  else if (name === 'transport' && !isObject(value)) wrong('an object');
  else if (name === 'identity') checkNames(value, name, ['certificate', 'key']);
  else if (name === 'trust' && value !== 'anyone') {
    checkNames(value, name, ['peerIds', 'certificates', 'ca', 'serverName']);
  }
}

/**
 * Options for `openEndpoint` from JSON, as text or parsed.
 *
 * @throws {TypeError | RangeError} for what is not JSON, for options that do not exist (the message names the nearest that
 *   does), and for values out of bounds.
 *
 * @example
 * ```ts
 * const endpoint = await openEndpoint(endpointOptionsFromJson('{ "bind": "127.0.0.1:0", "idleTimeoutMs": 18000 }'));
 * ```
 */
export function endpointOptionsFromJson(json: string | object): TextEndpointOptions {
  const parsed: unknown = typeof json === 'string' ? parseJson(json) : json;
  if (!isObject(parsed)) {
    throw new TypeError(`Cannot take options: expected a JSON object, got ${describeOption('options', parsed)}`);
  }
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (!isName(name)) unknownOption(name, NAMES);
    checkKind(name, value);
    options[name] = value;
  }
  // Checks the bounds, with the same messages as `openEndpoint`.
  resolveEndpointOptions<UdpAddr>(options);
  return options;
}

function isName(name: string): name is keyof TextEndpointOptions {
  return Object.hasOwn(KINDS, name);
}

function parseJson(text: string): unknown {
  let place: string | undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    // What the platform says quotes the text around the fault, which may be a key: only the place is told.
    place = error instanceof Error ? /position \d+/.exec(error.message)?.[0] : undefined;
  }
  throw new TypeError(`Cannot take options: the text is no JSON${place === undefined ? '' : `, from ${place} on`}`);
}

/** What a command line came to. */
export interface EndpointArgs {
  readonly options: TextEndpointOptions;
  /** What is no option, in order; and all after `--`. */
  readonly rest: readonly string[];
}

const dashed = (name: string): string => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
const undashed = (flag: string): string => flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/**
 * Options for `openEndpoint` from the words of a command line: `--idle-timeout-ms 18000`, `--idle-timeout-ms=18000`,
 * `--listen`, `--no-listen`, `--alpn chat/1 --alpn chat/2`, and JSON where there are parts, `--windows '{"streamBytes":65536}'`.
 * Trust in short: `--trust anyone`, `--trust-peer-id ID` as often as needed.
 *
 * @param argv - without the program's own name: `process.argv.slice(2)`.
 * @throws {TypeError | RangeError} as {@link endpointOptionsFromJson}; options are named as they are written here.
 */
export function endpointOptionsFromArgs(argv: readonly string[]): EndpointArgs {
  if (!Array.isArray(argv))
    throw new TypeError(`Cannot take argv: expected a list of texts, got ${describeKind(argv)}`);
  const options: Record<string, unknown> = {};
  const rest: string[] = [];
  const peerIds: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = String(argv[i]);
    if (word === '--') {
      rest.push(...argv.slice(i + 1).map(String));
      break;
    }
    if (!word.startsWith('--')) {
      rest.push(word);
      continue;
    }
    const equals = word.indexOf('=');
    const flag = undashed(word.slice(2, equals < 0 ? undefined : equals));
    const value = (): string => {
      if (equals >= 0) return word.slice(equals + 1);
      const next = argv[++i];
      if (next === undefined) throw new TypeError(`Cannot take ${dashed(flag)}: expected a value after it`);
      return String(next);
    };
    const off = flag.startsWith('no') ? flag.slice(2, 3).toLowerCase() + flag.slice(3) : '';
    if (flag === 'trustPeerId') peerIds.push(value());
    else if (isName(flag)) options[flag] = fromWord(flag, options[flag], value, equals >= 0);
    else if (isName(off) && KINDS[off] === 'flag') options[off] = false;
    else unknownOption(flag, [...NAMES, 'trustPeerId'], dashed);
  }
  if (peerIds.length > 0) {
    if (options['trust'] !== undefined) throw new TypeError('Cannot take --trust-peer-id: --trust is there too');
    options['trust'] = { peerIds };
  }
  return { options: endpointOptionsFromJson(options), rest };
}

function fromWord(name: keyof TextEndpointOptions, before: unknown, value: () => string, attached: boolean): unknown {
  const wrong = (expected: string, got: string): never => {
    throw new TypeError(`Cannot take ${dashed(name)}: expected ${expected}, got ${describeOption(name, got)}`);
  };
  const kind = KINDS[name];
  if (kind === 'flag') {
    if (!attached) return true;
    const word = value();
    return word === 'true' ? true : word === 'false' ? false : wrong('true or false', word);
  }
  const word = value();
  if (kind === 'text') return word;
  if (kind === 'list') return Array.isArray(before) ? [...(before as string[]), word] : [word];
  if (kind === 'number') {
    return /^-?\d+(\.\d+)?$/.test(word) ? Number(word) : wrong('a number', word);
  }
  if (name === 'trust' && word === 'anyone') return word;
  try {
    return JSON.parse(word);
  } catch {
    return wrong('JSON', word);
  }
}
