/**
 * The configuration of `openPeers` as plain data: a JSON object with the same names and units. It is checked as a whole, and every
 * fault is named with its path.
 */

import { describeOption, describeValue } from '../base/checks.ts';
import { parseSocketAddress } from '../base/ip.ts';
import { nearest } from '../base/nearest.ts';
import { isPeerId } from '../core/peer-id.ts';
import { type AttackThreshold, banPolicy, type BanPolicyOptions } from './attack-signals.ts';
import type { RelayBudgets } from '../nat/relay-service.ts';
import type { ReachPolicy } from '../protocols/peers/reach/types.ts';
import { parseTrackerToken } from '../protocols/cell/token.ts';
import type { AttackSignal } from './attack-observations.ts';
import { type ListsData, PeerLists } from './lists.ts';
import type { TurnServer } from './options.ts';

/** How a node takes part in LAN discovery. */
export interface LanConfig {
  /** The UDP port of queries. @default 5483 */
  readonly port?: number | undefined;
  /** An IPv4 broadcast address in place of those of the interfaces. */
  readonly broadcast?: string | undefined;
  /** The names of the interfaces to use. @default all but loopback interfaces */
  readonly interfaces?: readonly string[] | undefined;
  /** @default true */
  readonly ipv6?: boolean | undefined;
  /** Whether multicast DNS is used as well. @default false */
  readonly mdns?: boolean | undefined;
  /** Whether queries of others are answered. @default true */
  readonly answer?: boolean | undefined;
}

/** What can stand in a file. Names, units and defaults are those of the options of `openPeers`. */
export interface PeersConfig {
  /** Only nodes with the same name connect. */
  readonly networkName?: string | undefined;
  /** The file with the private key. */
  readonly keyFile?: string | undefined;
  /** Where to listen: one or several of `ip:port`. */
  readonly bind?: string | readonly string[] | undefined;
  readonly preferredPort?: number | undefined;
  /** The transports, best first. */
  readonly transports?: readonly ('tcp' | 'quic')[] | undefined;
  readonly security?: 'tls' | 'noise' | undefined;
  /** The file with the key that masks what is sent: 64 hexadecimal digits. */
  readonly maskKeyFile?: string | undefined;
  readonly externalAddrs?: readonly string[] | undefined;
  readonly movePortEveryMs?: number | undefined;
  readonly kind?: 'node' | 'client' | undefined;
  readonly acceptBootstrap?: boolean | undefined;
  /** The file of the peer cache. */
  readonly cache?: string | undefined;
  /** Addresses and names to begin with: `PeerID@host:port`. One without a PeerID is taken, but cannot be dialled. */
  readonly contacts?: readonly string[] | undefined;
  readonly fallbackAfterMs?: number | undefined;
  /** Tokens of trackers: URLs with the secret of the network. The file should be readable by its owner only. */
  readonly tracker?: string | readonly string[] | undefined;
  readonly minPeers?: number | undefined;
  /** Whether peers are told of others, and asked for others. @default true */
  readonly exchange?: boolean | undefined;
  /** Whether it takes part in the DHT of its network. @default false */
  readonly dht?: boolean | undefined;
  /** PeerIDs, IPs and addresses that are no place to begin. */
  readonly blacklist?: readonly string[] | undefined;
  readonly dialBack?: boolean | undefined;
  readonly policy?: ReachPolicy | undefined;
  /** Own relays, `PeerID@host:port`; `true`: peers that relay; `false`: none. @default true */
  readonly relays?: boolean | readonly string[] | undefined;
  /** `true`: with the default budgets. */
  readonly serveRelay?: boolean | RelayBudgets | undefined;
  /** TURN servers: `server` is `ip:port`, `transport` how it is reached. */
  readonly turn?: readonly TurnServer[] | undefined;
  /** An HTTP proxy for TCP, `http://[user:password@]host:port`. */
  readonly proxy?: string | undefined;
  readonly coordinate?: boolean | undefined;
  readonly punch?: boolean | undefined;
  /** STUN servers, `ip:port`. */
  readonly observers?: readonly string[] | undefined;
  readonly portMapping?: boolean | undefined;
  readonly lan?: boolean | LanConfig | undefined;
  /** PeerIDs to which a connection is kept. */
  readonly maintain?: readonly string[] | undefined;
  readonly lists?: ListsData | undefined;
  /** `true`: the default policy. */
  readonly banPolicy?: boolean | BanPolicyOptions | undefined;
  readonly attackThresholds?: Partial<Readonly<Record<AttackSignal, AttackThreshold>>> | undefined;
  readonly maxPeers?: number | undefined;
  readonly maxMessageBytes?: number | undefined;
  readonly maxQueueBytes?: number | undefined;
  readonly maxHeldBytes?: number | undefined;
  readonly maxPendingMessages?: number | undefined;
  readonly maxPendingBytes?: number | undefined;
  readonly resumeMs?: number | undefined;
  readonly idleTimeoutMs?: number | undefined;
}

/** A fault of a configuration. */
export interface ConfigFault {
  /** `lists.deny[3].target`; empty for the whole. */
  readonly path: string;
  /** What is expected there, and what was found. Never quotes a value that may be a secret. */
  readonly message: string;
}

/** A configuration that is not valid. Its message lists up to eight faults, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly ConfigFault[];

  /** @param what - the file, for the message. */
  constructor(what: string, faults: readonly ConfigFault[]) {
    const shown = faults
      .slice(0, MAX_SHOWN_FAULTS)
      .map(({ path, message }) => `\n  ${path === '' ? '' : `${path}: `}${message}`);
    const more = faults.length > shown.length ? `\n  and ${faults.length - shown.length} more` : '';
    super(`Cannot use ${what}:${shown.join('')}${more}`);
    this.faults = faults;
  }
}

const MAX_SHOWN_FAULTS = 8;
/** 65 536 entries of a list have some 5 MiB. */
const MAX_CONFIG_CHARACTERS = 16 * 1_048_576;
const MAX_CONTACTS = 1024;
const MAX_ADDRS = 64;
const MAX_MAINTAINED = 65_536;

/** Reports a fault at a path. */
type Report = (path: string, message: string) => void;
type Check = (value: unknown, path: string, report: Report) => void;

const expected = (what: string, value: unknown, path: string): string =>
  `expected ${what}, got ${describeOption(path, value)}`;

const is =
  (what: string, holds: (value: unknown) => boolean): Check =>
  (value, path, report) => {
    if (!holds(value)) report(path, expected(what, value, path));
  };

/** For what may hold a password: the value is not quoted. */
const hidden =
  (what: string, holds: (value: string) => boolean): Check =>
  (value, path, report) => {
    if (typeof value !== 'string' || !holds(value)) report(path, `expected ${what}`);
  };

const secretText = hidden('a text of 1 to 512 characters', ({ length }) => length > 0 && length <= 512);

const flag = is('true or false', (value) => typeof value === 'boolean');

const text = (what: string, max: number): Check =>
  is(
    `${what} of 1 to ${max} characters`,
    (value) => typeof value === 'string' && value.length > 0 && value.length <= max,
  );

const oneOf = (...values: readonly string[]): Check =>
  is(values.map((value) => `'${value}'`).join(' or '), (value) => typeof value === 'string' && values.includes(value));

const whole = (min: number, max: number): Check =>
  is(
    `a whole number from ${min} to ${max}`,
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  );

const list =
  (item: Check, max: number, min = 0): Check =>
  (value, path, report) => {
    if (!Array.isArray(value)) report(path, expected('a list', value, path));
    else if (value.length > max || value.length < min)
      report(path, `expected ${min} to ${max} entries, got ${value.length}`);
    else {
      const seen = new Set<unknown>();
      for (const [i, each] of value.entries()) {
        item(each, `${path}[${i}]`, report);
        if (seen.has(each)) report(`${path}[${i}]`, 'it is in the list twice');
        seen.add(each);
      }
    }
  };

const fields =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value, path, report) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      report(path, expected('an object', value, path));
      return;
    }
    for (const [key, each] of Object.entries(value)) {
      const where = path === '' ? key : `${path}.${key}`;
      if (Object.hasOwn(checks, key)) checks[key]!(each, where, report);
      else {
        const meant = nearest(key, Object.keys(checks));
        const hint = meant === undefined ? `known are ${Object.keys(checks).join(', ')}` : `did you mean ${meant}?`;
        report(path, `${describeValue(key)} is not known; ${hint}`);
      }
    }
  };

/** What a part of the library checks itself: its message names the path. */
const checkedBy =
  (make: (value: never, path: string) => unknown, label: string): Check =>
  (value, path, report) => {
    try {
      make(value as never, path);
    } catch (error) {
      const { message } = error as Error;
      const [, where = '', rest = message] = /^Cannot take ([\w.[\]]+): ([^]*)$/.exec(message) ?? [];
      const inner = where.startsWith(label) ? where.slice(label.length) : where === '' ? '' : `.${where}`;
      report(`${path}${inner}`, rest);
    }
  };

const either =
  (first: (value: unknown) => boolean, others: Check): Check =>
  (value, path, report) => {
    if (!first(value)) others(value, path, report);
  };

const socketAddress = (minPort: number): Check =>
  is(`an IP and a port from ${minPort}, such as 192.0.2.1:5000 or [2001:db8::1]:5000`, (value) => {
    const parsed = typeof value === 'string' ? parseSocketAddress(value) : undefined;
    return parsed !== undefined && parsed.port >= minPort;
  });

/** Loosely: a name is resolved, and an address is parsed by the transports later. */
const contact = is('an address with a port, such as peers.example.org:5000', (value) => {
  if (typeof value !== 'string' || value.length > 512) return false;
  const colon = value.lastIndexOf(':');
  const port = Number(value.slice(colon + 1));
  return colon > 0 && Number.isInteger(port) && port > 0 && port <= 65_535;
});

const peerId = is('a PeerID of 43 characters', isPeerId);
const token = hidden('the URL of a tracker with its secret', (value) => isToken(value));

function isToken(value: unknown): boolean {
  try {
    parseTrackerToken(value as string);
    return true;
  } catch {
    return false;
  }
}

const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const MAX_TIME_MS = 86_400_000;
const MAX_BYTES = 2 ** 40;

const nothing: Check = () => {};

/** Exactly the names of {@link PeersConfig}. */
const CHECKS: Readonly<Record<keyof PeersConfig, Check>> = {
  networkName: text('a text', 255),
  keyFile: text('a path', 4096),
  bind: either(
    (value) => typeof value === 'string' && parseSocketAddress(value) !== undefined,
    list(socketAddress(0), MAX_ADDRS, 1),
  ),
  preferredPort: whole(1, 65_535),
  transports: list(oneOf('tcp', 'quic'), 2, 1),
  security: oneOf('tls', 'noise'),
  maskKeyFile: text('a path', 4096),
  externalAddrs: list(socketAddress(1), MAX_ADDRS),
  movePortEveryMs: whole(1000, 2 ** 31 - 1),
  kind: oneOf('node', 'client'),
  acceptBootstrap: flag,
  cache: text('a path', 4096),
  contacts: list(contact, MAX_CONTACTS),
  fallbackAfterMs: whole(0, MAX_TIME_MS),
  tracker: either((value) => isToken(value), list(token, 16, 1)),
  minPeers: whole(0, 256),
  exchange: flag,
  dht: flag,
  blacklist: list(text('a PeerID, an IP or an address', 512), MAX_CONTACTS),
  dialBack: flag,
  policy: oneOf('any', 'direct', 'no_third_party', 'own_relays', 'relayed'),
  relays: either(isFlag, list(contact, MAX_ADDRS)),
  serveRelay: either(
    isFlag,
    fields({
      maxPeers: whole(0, 2 ** 20),
      maxPeersPerSource: whole(0, 2 ** 20),
      maxMinutes: whole(1, 65_535),
      maxGuests: whole(0, 2 ** 20),
      bytesPerSecond: whole(1300, MAX_BYTES),
      bytesPerSecondPerSource: whole(1300, MAX_BYTES),
      totalBytesPerSecond: whole(1300, MAX_BYTES),
      maxPendingBytes: whole(0, 2 ** 30),
    }),
  ),
  turn: list(
    fields({
      server: socketAddress(1),
      transport: oneOf('udp', 'tcp'),
      username: secretText,
      credential: secretText,
      secret: secretText,
      credentialLifetimeMs: whole(1000, 3.2e10),
      serverRealm: text('a realm', 763),
      family: is('4 or 6', (value) => value === 4 || value === 6),
    }),
    MAX_ADDRS,
  ),
  proxy: hidden('http://[user:password@]host:port', (value) => URL.parse(value)?.protocol === 'http:'),
  coordinate: flag,
  punch: flag,
  observers: list(socketAddress(1), MAX_ADDRS),
  portMapping: flag,
  lan: either(
    isFlag,
    fields({
      port: whole(0, 65_535),
      broadcast: text('an IPv4 address', 15),
      interfaces: list(text('a name', 64), MAX_ADDRS, 1),
      ipv6: flag,
      mdns: flag,
      answer: flag,
    }),
  ),
  maintain: list(peerId, MAX_MAINTAINED),
  lists: checkedBy((value, path) => new PeerLists({ realm: STILL }).replace(value, path), 'lists'),
  banPolicy: either(isFlag, (value, path, report) => {
    const options: Readonly<Record<string, Check>> = {
      forMs: nothing,
      maxForMs: nothing,
      signals: list(oneOf(...SIGNALS), 5),
    };
    fields(options)(value, path, report);
    checkedBy((each) => banPolicy(each), 'banPolicy')(value, path, report);
  }),
  attackThresholds: (value, path, report) => {
    const threshold = fields({ count: whole(1, 2 ** 31), perMs: whole(1, MAX_TIME_MS) });
    fields(Object.fromEntries(SIGNALS.map((signal) => [signal, threshold])))(value, path, report);
  },
  maxPeers: whole(1, 2 ** 20),
  maxMessageBytes: whole(1, 2 ** 30),
  maxQueueBytes: whole(1, MAX_BYTES),
  maxHeldBytes: whole(65_536, MAX_BYTES),
  maxPendingMessages: whole(1, 2 ** 20),
  maxPendingBytes: whole(1, MAX_BYTES),
  resumeMs: whole(0, MAX_TIME_MS),
  idleTimeoutMs: whole(1, 2 ** 31 - 1),
};

const SIGNALS: readonly AttackSignal[] = ['undecryptable', 'malformed', 'handshakes_failed', 'handshakes', 'rate'];
const STILL = { nowMs: (): number => 0, wallMs: (): number => 0 };

/**
 * Checks a configuration that is data already.
 *
 * @param what - for messages: the file, or `config`.
 * @throws {ConfigError} with every fault.
 */
export function checkConfig(value: unknown, what = 'config'): PeersConfig {
  const faults: ConfigFault[] = [];
  fields(CHECKS)(value, '', (path, message) => faults.push({ path, message }));
  if (faults.length > 0) throw new ConfigError(what, faults);
  return value as PeersConfig;
}

/**
 * Reads a configuration from JSON.
 *
 * @param what - for messages: the file, or `config`.
 * @throws {ConfigError} with every fault; for text that is no JSON, with the line, and without what stands there.
 */
export function parseConfig(json: string, what = 'config'): PeersConfig {
  if (json.length > MAX_CONFIG_CHARACTERS) {
    const message = `expected at most ${MAX_CONFIG_CHARACTERS} characters, got ${json.length}`;
    throw new ConfigError(what, [{ path: '', message }]);
  }
  let value: unknown;
  try {
    // An editor may have put a byte order mark before it.
    value = JSON.parse(json.startsWith('\ufeff') ? json.slice(1) : json);
  } catch (error) {
    throw new ConfigError(what, [{ path: '', message: `it is not JSON${whereIn(json, error as Error)}` }]);
  }
  return checkConfig(value, what);
}

/** Where the fault is. The message of `JSON.parse` quotes what it found, which may be a secret: only its position is taken. */
function whereIn(json: string, { message }: Error): string {
  if (message.startsWith('Unexpected end')) return ': it ends too early';
  const [, position] = /at position (\d+)/.exec(message) ?? [];
  if (position !== undefined) {
    const before = json.slice(0, Number(position)).split('\n');
    return `: line ${before.length}, column ${before.at(-1)!.length + 1}`;
  }
  // V8 gives no position for an unexpected token, and quotes ten characters before it.
  const [, quoted] = /, \.\.\."([^]*)"(?:\.\.\.)? is not valid JSON$/.exec(message) ?? [];
  const start = quoted === undefined ? -1 : json.indexOf(quoted);
  return start < 0 ? '' : `: line ${json.slice(0, start + QUOTED_BEFORE).split('\n').length}`;
}

const QUOTED_BEFORE = 10;

/** The names whose values differ between two configurations, in alphabetical order. */
export function configChanges(before: PeersConfig, after: PeersConfig): readonly (keyof PeersConfig)[] {
  const names = Object.keys(CHECKS) as (keyof PeersConfig)[];
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name])).toSorted();
}
