/** How a node is made. */

import { type Endpoint } from '../base/ip.ts';
import { assertString, quantity, wholeNumber } from '../base/checks.ts';
import { type Realm } from '../core/realm.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { parseIpEndpoint } from '../net/socket-address.ts';
import { type ConnectionLimits } from './limits.ts';
import { NodeMemory } from './memory.ts';
import { type Network } from '../net/network.ts';
import { systemNetwork } from '../net/system-network.ts';

/** How a node is made. Nothing is opened: `listen` and `connect` do that. */
export interface NodeOptions extends ConnectionLimits {
  /** For logs. @default a number, counted up in this process */
  readonly name?: string | undefined;
  /** Where `listen` binds to, port 0 for any. `[::]` takes IPv6 and IPv4. @default '0.0.0.0:0' */
  readonly bind?: string | undefined;
  /** Connections that the system holds until they are accepted; it may allow fewer. @default 511, Node's own */
  readonly backlog?: number | undefined;
  /**
   * Several listeners, of this or other processes, on one port. Where the system cannot, `listen` rejects with
   * `unsupported`.
   * @default false
   */
  readonly reusePort?: boolean | undefined;
  /** How long connecting may take, without the handshake. @default 5000: three tries of TCP */
  readonly connectTimeoutMs?: number | undefined;
  /** Whether small messages go at once (TCP_NODELAY). @default true */
  readonly noDelay?: boolean | undefined;
  /** How long a connection may be silent before TCP asks whether the peer is still there; Infinity: never. @default 60 000 */
  readonly keepAliveMs?: number | undefined;
  /** Bans that are kept at one time; the one that ends soonest makes room. @default 10 000 */
  readonly maxBans?: number | undefined;
  /**
   * What all peers together may make the node hold of messages that are unfinished, wait for handlers or are in them, and, apart
   * from these, what may wait to be sent to all; in bytes. A network (/24, /64) may have three quarters of it beside others, each peer
   * 8 KiB (64 KiB to be sent) in any case. Connections that would take more are not read meanwhile, `send` throws
   * `limit_exceeded`; a peer that leaves its message unfinished for 5 s makes room (`over_budget`). Not less than one of the
   * largest messages. @default 33_554_432 (32 MiB)
   */
  readonly maxNodeBytes?: number | undefined;
  /** Whose time. @default the system's */
  readonly realm?: Realm | undefined;
  /** What connects nodes: a host of `createMemoryNetwork`, for tests. @default this system's TCP */
  readonly network?: Network | undefined;
}

/** The options with nothing left open. */
export interface ResolvedNodeOptions {
  readonly name: string;
  readonly bind: Endpoint;
  readonly backlog: number;
  readonly reusePort: boolean;
  readonly connectTimeoutMs: number;
  readonly maxBans: number;
  readonly groupIpv6: boolean;
  readonly memory: NodeMemory;
  readonly realm: Realm;
  readonly network: Network;
}

const DEFAULTS = {
  backlog: 511,
  connectTimeoutMs: 5000,
  keepAliveMs: 60_000,
  maxBans: 10_000,
  maxNodeBytes: 33_554_432,
} as const;

/** The next name. All of the process share it, because names are for its log; nothing depends on it. */
let unnamed = 0;

/** @throws {TypeError | RangeError} for wrong options. */
export function resolveNodeOptions(options: NodeOptions): ResolvedNodeOptions {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { realm = systemRealm } = options;
  if (options.name !== undefined) assertString(options.name, 'name');
  const keepAliveMs = quantity(options.keepAliveMs, 'keepAliveMs', DEFAULTS.keepAliveMs, 1, Infinity);
  const noDelay = options.noDelay ?? true;
  return {
    bind: parseIpEndpoint(options.bind ?? '0.0.0.0:0', 'bind'),
    backlog: wholeNumber(options.backlog, 'backlog', DEFAULTS.backlog, 1, 0x7fff_ffff),
    reusePort: options.reusePort ?? false,
    connectTimeoutMs: quantity(options.connectTimeoutMs, 'connectTimeoutMs', DEFAULTS.connectTimeoutMs, 1, Infinity),
    maxBans: wholeNumber(options.maxBans, 'maxBans', DEFAULTS.maxBans, 1, Number.MAX_SAFE_INTEGER),
    groupIpv6: options.groupIpv6 ?? false,
    memory: new NodeMemory(wholeNumber(options.maxNodeBytes, 'maxNodeBytes', DEFAULTS.maxNodeBytes, 1, 2 ** 50), realm),
    realm,
    network:
      options.network ?? systemNetwork({ noDelay, keepAliveMs: keepAliveMs === Infinity ? undefined : keepAliveMs }),
    name: options.name ?? String(unnamed++),
  };
}
