/** Memory realms: swarms in one process, with their own clock, seed and network. */

import type { Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { assertFunction, describeValue, wholeNumber } from '../../base/checks.ts';
import type { Clock, ClockedRealm, TraceEvent } from '../../core/realm.ts';
import type { AskSwarm } from '../../core/ask.ts';
import type { PublicKey, SecureAskSwarm } from '../../core/secure.ts';
import { type Seed, createSeededRandom } from '../../base/seeded-random.ts';
import { systemClock } from '../../runtime/system-clock.ts';
import { isClock, systemRealm } from '../../runtime/system-realm.ts';
import { type VirtualClock, createVirtualClock } from '../../runtime/virtual-clock.ts';
import { composeSecure } from '../../swarm-kit/compose.ts';
import type { PendingLimits } from '../../swarm-kit/pending-budget.ts';
import { type VirtualInternet, createVirtualInternet } from '../../net/virtual/internet.ts';
import { type MemoryAddr, assertMemoryAddr, memoryAddr, parseMemoryAddr } from '../../net/memory/address.ts';
import { MemoryRouter, type MessageTransform } from '../../net/memory/router.ts';
import type { PacketEvent } from '../../net/packet-event.ts';
import type { LinkConfig } from '../../net/memory/links.ts';
import { MemorySecure, assertPublicKey } from './secure.ts';
import { MemorySwarm } from './swarm.ts';

/** Options of a memory realm. */
export interface MemoryRealmOptions {
  /**
   * `'system'` runs in real time; `'virtual'` stands still until `realm.clock` is advanced; or your own clock.
   * @default 'system'
   */
  readonly clock?: 'system' | 'virtual' | Clock | undefined;
  /**
   * Two realms with the same seed run identically in virtual time, byte for byte.
   * @default 0 in virtual time; in real time random numbers are the system's
   */
  readonly seed?: Seed | undefined;
  /** The maximum bytes of a message. @default 65 536, as go-p2p's vswarm */
  readonly mtu?: number | undefined;
  /** The properties of links. @default 'perfect': nothing is lost, everything arrives immediately */
  readonly netem?: LinkConfig | undefined;
  /**
   * Messages that may be in transit to one swarm; further ones are dropped there (`queue_full`), as in a datagram
   * network. @default 4096
   */
  readonly maxQueuedMessages?: number | undefined;
  /** Called with every tell before it is sent. Must not throw. */
  readonly transform?: MessageTransform | undefined;
  /** Told of each packet of a memory swarm, asks and answers included. Must not throw. */
  readonly onPacket?: ((event: PacketEvent) => void) | undefined;
  /** Receives every event of every layer. */
  readonly trace?: ((event: TraceEvent) => void) | undefined;
}

/** A realm in memory. */
export interface MemoryRealm<C extends Clock = Clock> extends ClockedRealm {
  readonly clock: C;
  /** Hosts, LANs and NATs for swarms over UDP and TCP, from the same seed; created on first access. */
  readonly network: VirtualInternet;
  readonly mtu: number;
  /** The number of open swarms. */
  readonly size: number;
  /**
   * Creates a swarm.
   *
   * @param addr - an unused number; by default the lowest that was never used.
   * @throws {P2PError} (at once) `in_use` when another swarm has it.
   */
  swarm(addr?: number | string, limits?: PendingLimits): AskSwarm<MemoryAddr>;
  /** Creates a swarm with this key, which is known to the whole realm. Does not verify the key. */
  secureSwarm(publicKey: PublicKey, addr?: number | string, limits?: PendingLimits): SecureAskSwarm<MemoryAddr>;
  /** Ends the swarm at `addr` like a crash: its peers are not notified, and its address is free again. */
  drop(addr: MemoryAddr | number | string): void;
  /** Sets the properties of all links that are not set individually. Packets in transit are not affected. */
  setNetem(config: LinkConfig): void;
  /**
   * Sets the properties of the link between two addresses, in both directions; `undefined`: those of all other links.
   */
  setLink(a: MemoryAddr, b: MemoryAddr, config: LinkConfig | undefined): void;
  /** Cuts the link between two addresses; without addresses, all links. */
  cut(a?: MemoryAddr, b?: MemoryAddr): void;
  /**
   * Cuts all links between addresses of different parts. Addresses that are in no part keep their links; a further call
   * replaces the parts. {@link MemoryRealm.heal} without addresses joins them again.
   */
  partition(...parts: readonly (readonly MemoryAddr[])[]): void;
  /** Undoes {@link MemoryRealm.cut}; without addresses, all cuts and partitions. */
  heal(a?: MemoryAddr, b?: MemoryAddr): void;
}

/** go-p2p's vswarm. */
const DEFAULT_MTU = 65_536;
/** Limits the largest messages to 256 MiB in total; ordinary bursts stay far below. */
const DEFAULT_MAX_QUEUED_MESSAGES = 4096;
/** The start of virtual wall clocks: 2023-11-14T22:13:20Z, the time of the golden vectors. */
const VIRTUAL_EPOCH_MS = 1_700_000_000_000;

/** @throws {TypeError | RangeError} for invalid options. */
export function createMemoryRealm(
  options: MemoryRealmOptions & { readonly clock: 'virtual' },
): MemoryRealm<VirtualClock>;
export function createMemoryRealm<C extends Clock>(options: MemoryRealmOptions & { readonly clock: C }): MemoryRealm<C>;
export function createMemoryRealm(options?: MemoryRealmOptions): MemoryRealm;
export function createMemoryRealm(options: MemoryRealmOptions = {}): MemoryRealm {
  const { clock: kind = 'system', transform, trace } = options;
  if (kind !== 'system' && kind !== 'virtual' && !isClock(kind)) {
    throw new TypeError(`Cannot take clock: expected 'system', 'virtual' or a clock, got ${describeValue(kind)}`);
  }
  if (transform !== undefined) assertFunction(transform, 'transform');
  if (trace !== undefined) assertFunction(trace, 'trace');
  if (options.onPacket !== undefined) assertFunction(options.onPacket, 'onPacket');
  const real = kind === 'system';
  const clock = kind === 'system' ? systemClock : kind === 'virtual' ? createVirtualClock() : kind;
  const seeded = !real || options.seed !== undefined;
  // Two streams, so that the randomness of the network does not depend on the keys and nonces of the layers.
  const seed = options.seed ?? (real ? systemSeed() : 0);
  const keys = createSeededRandom(seed);
  const network = createSeededRandom(`network of ${typeof seed} ${seed}`);
  const mtu = wholeNumber(options.mtu, 'mtu', DEFAULT_MTU, 1, Number.MAX_SAFE_INTEGER);
  const maxQueued = wholeNumber(
    options.maxQueuedMessages,
    'maxQueuedMessages',
    DEFAULT_MAX_QUEUED_MESSAGES,
    1,
    Number.MAX_SAFE_INTEGER,
  );

  const open = (swarm: MemorySwarm): MemorySwarm => {
    router.add(swarm);
    trace?.({ layer: 'memory', type: 'opened', atMs: clock.nowMs(), addr: swarm.own });
    return swarm;
  };
  const take = (addr: number | string | undefined): MemoryAddr => {
    if (addr === undefined) return router.nextAddr();
    const taken = typeof addr === 'string' ? parseMemoryAddr(addr) : memoryAddr(addr);
    if (router.has(taken)) {
      throw new P2PError('in_use', 'local', `Cannot open memory swarm: address ${taken.text} is taken`, { sent: 'no' });
    }
    return taken;
  };
  let internet: VirtualInternet | undefined;
  const realm: MemoryRealm = {
    clock,
    mtu,
    trace,
    get size() {
      return router.size;
    },
    get network() {
      return (internet ??= createVirtualInternet({ realm, seed, onPacket: options.onPacket }));
    },
    nowMs: () => clock.nowMs(),
    wallMs: real ? () => systemRealm.wallMs() : () => VIRTUAL_EPOCH_MS + clock.nowMs(),
    random: seeded ? (length: number): Bytes => keys.bytes(length) : (length) => systemRealm.random(length),
    swarm: (addr, limits) => open(new MemorySwarm(router, take(addr), limits)),
    secureSwarm: (publicKey, addr, limits) => {
      assertPublicKey(publicKey);
      const swarm = open(new MemorySwarm(router, take(addr), limits));
      return composeSecure<MemoryAddr, AskSwarm<MemoryAddr>>(swarm, new MemorySecure(router, swarm, publicKey));
    },
    drop: (addr) => {
      if (typeof addr === 'object') assertMemoryAddr(addr);
      router.drop(
        typeof addr === 'object' ? addr : typeof addr === 'string' ? parseMemoryAddr(addr) : memoryAddr(addr),
      );
    },
    setNetem: (config) => router.links.setDefault(config),
    setLink: (a, b, config) => router.links.set(a, b, config),
    cut: (a, b) => router.links.cut(a, b),
    partition: (...parts) => router.links.partition(parts),
    heal: (a, b) => router.links.heal(a, b),
  };
  const router = new MemoryRouter<MemorySwarm>({
    realm,
    netem: options.netem,
    random: network,
    mtu,
    maxQueued,
    transform,
    onPacket: options.onPacket,
  });
  return realm;
}

function systemSeed(): string {
  return systemRealm.random(16).join('.');
}
