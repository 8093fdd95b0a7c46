/** The options of `openDht`. */

import { type Bytes, encodeText } from '../../base/bytes.ts';
import { assertFunction, assertString, assertSwitch, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import type { Addr } from '../../core/addr.ts';
import { assertPrivateKey, type PrivateKey } from '../../identity/private-key.ts';
import { MAX_LIFETIME_MS } from '../../discovery/peer-record.ts';
import { MAX_TTL_MS, MAX_VALUE_BYTES } from '../../protocols/kademlia/messages.ts';
import type { NodeOptions } from '../../protocols/kademlia/node-types.ts';

/** Whether others can ask a node. A client asks and stores, and is in nobody's table. */
export type DhtKind = 'server' | 'client';

/** What `openDht` needs and takes. */
export interface DhtOptions<A extends Addr> {
  /**
   * Separates DHTs: nodes with different names refuse each other, and are at different places. Up to 255 bytes of UTF-8. The empty name is
   * the network of go-p2p, in which positions are PeerIDs and keys themselves.
   */
  readonly networkName: string;
  /** Signs the own record, for `announce`. @default none: this node cannot announce */
  readonly privateKey?: PrivateKey | undefined;
  /** Nodes to begin with, up to 256; a text that is no address of the swarm is an error at once. @default none: the first node, or `join` later */
  readonly bootstrap?: readonly (A | string)[] | undefined;
  /**
   * Whether others can reach this node. A function is asked again with every message. A node that says that it is a server is taken into a
   * table only when it answers there. @default 'server'
   */
  readonly kind?: DhtKind | (() => DhtKind) | undefined;
  /** The addresses that the own record names, as texts, best first. @default the swarm's local addresses */
  readonly addrs?: (() => readonly string[]) | undefined;
  /**
   * Whether an address leads to its peer, for swarms that would answer over a connection that they have already.
   * @default asks the peer at the address
   */
  readonly probe?: ((addr: A) => Promise<boolean>) | undefined;
  /** Whether a value may stand under a key; stored and found values that it refuses are dropped. @default every value may */
  readonly validate?: ((key: Bytes, value: Bytes) => boolean) | undefined;
  /** `'json'` speaks only the form of go-p2p; `'auto'` the compact one with nodes that know it. @default 'auto' */
  readonly form?: 'auto' | 'json' | undefined;
  /** Contacts in a bucket, and nodes that store a thing, 2 to 32. @default 16 */
  readonly k?: number | undefined;
  /** Requests of a lookup at the same time, 1 to 16. @default 3, as the Kademlia paper */
  readonly alpha?: number | undefined;
  /** Disjoint paths of a lookup, 1 to 8: no node is on two, so one that lies spoils one path. Each costs as much again. @default 1 */
  readonly paths?: number | undefined;
  /** Requests to one node before it is given up, 1 to 8. @default 4 */
  readonly maxTries?: number | undefined;
  /** Contacts of one network (/24, /64) in the table; only global IPs count. @default 10 */
  readonly maxPerNetwork?: number | undefined;
  /** The same in one bucket. @default 2, as go-libp2p */
  readonly maxPerNetworkInBucket?: number | undefined;
  /** The own neighbourhood is looked up this often; other buckets every five times. @default 600 000, as go-libp2p */
  readonly refreshMs?: number | undefined;
  /** What was put and announced is stored again this often, or at half of its lifetime. @default 3 600 000 */
  readonly republishMs?: number | undefined;
  /** How long a lookup may take. @default 30 000 */
  readonly lookupTimeoutMs?: number | undefined;
  /** How long values and announcements live, up to a day. @default 7 200 000, as the mainline DHT */
  readonly ttlMs?: number | undefined;
  /** Values that are stored for others. @default 4096 */
  readonly maxValues?: number | undefined;
  /** Bytes of one value, up to 16 384. @default 4096 */
  readonly maxValueBytes?: number | undefined;
  /** Bytes of all values. @default 8 388 608 (8 MiB) */
  readonly maxStoredBytes?: number | undefined;
  /** The longest that a value or an announcement of others is kept. @default 86 400 000 */
  readonly maxTtlMs?: number | undefined;
  /** Keys whose providers are stored for others. @default 65 536 */
  readonly maxProvidedKeys?: number | undefined;
  /** @default 32 */
  readonly maxProvidersPerKey?: number | undefined;
  /** Signed records of other peers. @default 4096 */
  readonly maxRecords?: number | undefined;
  /** Keys and values that this node stores again and again. @default 65 536 */
  readonly maxPublished?: number | undefined;
  /** Addresses that others named and that are tried, per minute. @default 4096 */
  readonly maxProbes?: number | undefined;
  /** The same at one IP; loopback is exempt. @default 16 */
  readonly maxProbesPerIp?: number | undefined;
  /** Leaves the swarm open when the DHT closes. @default false */
  readonly keepInner?: boolean | undefined;
}

/** Options with nothing left open. */
export interface ResolvedDhtOptions {
  readonly networkName: string;
  readonly privateKey: PrivateKey | undefined;
  readonly kind: () => DhtKind;
  readonly lookupMs: number;
  readonly ttlMs: number;
  readonly maxRecords: number;
  readonly maxProbes: number;
  readonly maxProbesPerIp: number;
  /** What the machine needs of them as it is. */
  readonly node: Pick<
    NodeOptions,
    | 'networkName'
    | 'k'
    | 'alpha'
    | 'paths'
    | 'maxTries'
    | 'maxPerNetwork'
    | 'maxPerNetworkInBucket'
    | 'refreshMs'
    | 'republishMs'
    | 'lookupMs'
    | 'maxPublished'
    | 'form'
    | 'validate'
    | 'maxValues'
    | 'maxValueBytes'
    | 'maxStoredBytes'
    | 'maxTtlMs'
    | 'maxProvidedKeys'
    | 'maxProvidersPerKey'
  >;
}

const DAY_MS = 86_400_000;
const MAX_BOOTSTRAP = 256;
const MAX_NAME_BYTES = 255;

/** @throws {TypeError | RangeError} for what is out of bounds. */
export function resolveDhtOptions<A extends Addr>(options: DhtOptions<A>): ResolvedDhtOptions {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { networkName, privateKey, bootstrap = [], kind = 'server', form = 'auto', validate = () => true } = options;
  assertString(networkName, 'networkName');
  const nameBytes = encodeText(networkName).length;
  if (nameBytes > MAX_NAME_BYTES) {
    throw new RangeError(`Cannot take networkName: expected up to ${MAX_NAME_BYTES} bytes, got ${nameBytes}`);
  }
  if (privateKey !== undefined) assertPrivateKey(privateKey);
  if (!Array.isArray(bootstrap) || bootstrap.length > MAX_BOOTSTRAP) {
    throw new TypeError(
      `Cannot take bootstrap: expected up to ${MAX_BOOTSTRAP} addresses, got ${describeValue(bootstrap)}`,
    );
  }
  if (form !== 'auto' && form !== 'json') {
    throw new TypeError(`Cannot take form: expected 'auto' or 'json', got ${describeValue(form)}`);
  }
  for (const name of ['addrs', 'probe', 'validate'] as const) {
    if (options[name] !== undefined) assertFunction(options[name], name);
  }
  assertSwitch(options.keepInner, 'keepInner');
  const maxTtlMs = wholeNumber(options.maxTtlMs, 'maxTtlMs', DAY_MS, 1000, MAX_TTL_MS);
  const lookupMs = quantity(options.lookupTimeoutMs, 'lookupTimeoutMs', 30_000, 1, 600_000);
  const node: ResolvedDhtOptions['node'] = {
    networkName,
    k: wholeNumber(options.k, 'k', 16, 2, 32),
    alpha: wholeNumber(options.alpha, 'alpha', 3, 1, 16),
    paths: wholeNumber(options.paths, 'paths', 1, 1, 8),
    maxTries: wholeNumber(options.maxTries, 'maxTries', 4, 1, 8),
    maxPerNetwork: quantity(options.maxPerNetwork, 'maxPerNetwork', 10, 1, Infinity),
    maxPerNetworkInBucket: quantity(options.maxPerNetworkInBucket, 'maxPerNetworkInBucket', 2, 1, Infinity),
    refreshMs: quantity(options.refreshMs, 'refreshMs', 600_000, 1000, Infinity),
    republishMs: quantity(options.republishMs, 'republishMs', 3_600_000, 1000, Infinity),
    lookupMs,
    maxPublished: wholeNumber(options.maxPublished, 'maxPublished', 65_536, 0, 2 ** 20),
    form,
    validate,
    maxValues: wholeNumber(options.maxValues, 'maxValues', 4096, 0, 2 ** 20),
    maxValueBytes: wholeNumber(options.maxValueBytes, 'maxValueBytes', 4096, 0, MAX_VALUE_BYTES),
    maxStoredBytes: wholeNumber(options.maxStoredBytes, 'maxStoredBytes', 8 << 20, 0, 2 ** 32),
    maxTtlMs,
    maxProvidedKeys: wholeNumber(options.maxProvidedKeys, 'maxProvidedKeys', 65_536, 0, 2 ** 22),
    maxProvidersPerKey: wholeNumber(options.maxProvidersPerKey, 'maxProvidersPerKey', 32, 1, 1024),
  };
  return {
    networkName,
    privateKey,
    kind: kindOf(kind),
    lookupMs,
    ttlMs: wholeNumber(options.ttlMs, 'ttlMs', 7_200_000, 1000, MAX_LIFETIME_MS),
    maxRecords: wholeNumber(options.maxRecords, 'maxRecords', 4096, 1, 2 ** 20),
    maxProbes: wholeNumber(options.maxProbes, 'maxProbes', 4096, 1, 65_536),
    maxProbesPerIp: wholeNumber(options.maxProbesPerIp, 'maxProbesPerIp', 16, 1, 65_536),
    node,
  };
}

function kindOf(kind: unknown): () => DhtKind {
  if (typeof kind === 'function') return () => ((kind as () => unknown)() === 'server' ? 'server' : 'client');
  if (kind === 'server' || kind === 'client') return () => kind;
  throw new TypeError(`Cannot take kind: expected 'server', 'client' or a function, got ${describeValue(kind)}`);
}
