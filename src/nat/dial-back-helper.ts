/**
 * Helps others find out whether they can be reached: sends a nonce to the address that a peer names, from a socket that the peer has
 * not talked to. A request must be a third as long as what is sent because of it; unsafe targets are refused; and each network of
 * askers and each target has its rate.
 */

import { type Addr, ipOf } from '../core/addr.ts';
import type { AskSwarm } from '../core/ask.ts';
import { assertFunction, quantity } from '../base/checks.ts';
import { formatSocketAddress, ipVersion, isLoopbackIp, isUnspecifiedIp, type SocketAddress } from '../base/ip.ts';
import { sourceOf } from '../base/source-shares.ts';
import { SourceBuckets, TokenBucket } from '../base/token-bucket.ts';
import type { Counters } from '../core/counters.ts';
import { Refusal } from '../core/errors.ts';
import type { Request } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import { assertNetwork, type Network } from '../net/network.ts';
import { mayBeTried } from '../net/probe-targets.ts';
import { parseIpSocketAddress, udpAddr } from '../net/socket-address.ts';
import { systemNetwork } from '../net/system-network.ts';
import {
  decodeDialBackRequest,
  decodeDialBackStatus,
  type DialBackRequest,
  type DialBackStatus,
  encodeDialBackNonce,
  encodeDialBackRequest,
  encodeDialBackStatus,
} from '../protocols/reachability/dial-back.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';

/** How a helper works. */
export interface DialBackHelperOptions<A extends Addr> {
  /** Whose sockets dial. @default this system's */
  readonly network?: Network | undefined;
  /**
   * IPs of this host to dial from, best one that askers do not talk to: then an answer proves more, since many NATs let in every port of
   * an IP that was talked to. @default the system's choice
   */
  readonly dialFrom?: readonly string[] | undefined;
  /**
   * Other helpers on the same swarm, that get a request once, so that another IP dials. Called for each request; the
   * first that is not the asker is taken. @default none
   */
  readonly partners?: (() => readonly A[]) | undefined;
  /** Requests a minute from one network (/24, /64). @default 6 */
  readonly maxPerSourcePerMinute?: number | undefined;
  /** Requests a minute in all. @default 600 */
  readonly maxPerMinute?: number | undefined;
}

/** A helper that serves. */
export interface DialBackHelper extends Disposable {
  /**
   * `received` requests, `sent` nonces; drops: `dialback.malformed`, `dialback.refused_target`, `dialback.rate_limited`.
   */
  readonly counters: Counters;
}

/** How often one IP is dialled for others than itself: one small probe in a minute. */
const FOREIGN_PER_SECOND = 1 / 60;
const MAX_SOURCES = 4096;
/** A datagram may be lost: it is sent again after this long. */
const REPEAT_MS = 500;
/** How long a TCP connection may take. */
const CONNECT_MS = 5000;
/** How long the partner may take, longer than its own connection. */
const PARTNER_MS = 7000;

/**
 * Serves dial-back requests on a swarm; takes its serve slot, so give it a channel of its own (`mux`).
 *
 * @throws {TypeError | RangeError} for options out of bounds, and when the swarm has a serve handler.
 */
export function serveDialBack<A extends Addr>(
  swarm: AskSwarm<A>,
  options: DialBackHelperOptions<A> = {},
): DialBackHelper {
  const { network = systemNetwork, dialFrom = [], partners } = options;
  assertNetwork(network);
  if (partners !== undefined) assertFunction(partners, 'partners');
  for (const ip of dialFrom) parseIpSocketAddress(formatSocketAddress(ip, 0), 'dialFrom');
  return new Helper(swarm, { network, dialFrom, partners }, options);
}

interface Parts<A extends Addr> {
  readonly network: Network;
  readonly dialFrom: readonly string[];
  readonly partners: (() => readonly A[]) | undefined;
}

class Helper<A extends Addr> implements DialBackHelper {
  readonly counters: CounterSet;
  readonly #swarm: AskSwarm<A>;
  readonly #realm: Realm;
  readonly #parts: Parts<A>;
  readonly #serving: Disposable;
  readonly #all: TokenBucket;
  readonly #askers: SourceBuckets;
  readonly #foreign = new SourceBuckets(FOREIGN_PER_SECOND, 1, MAX_SOURCES);
  readonly #stopped = new AbortController();
  /** What closes sockets that are still open. Bounded by `maxPerMinute`, for each of which one lives 5 s at most. */
  readonly #closing = new Set<() => void>();

  constructor(swarm: AskSwarm<A>, parts: Parts<A>, options: DialBackHelperOptions<A>) {
    const perSource = quantity(options.maxPerSourcePerMinute, 'maxPerSourcePerMinute', 6, 0.01, Infinity);
    const inAll = quantity(options.maxPerMinute, 'maxPerMinute', 600, 0.01, Infinity);
    this.#swarm = swarm;
    this.#realm = swarm.realm;
    this.#parts = parts;
    this.#all = new TokenBucket(inAll / 60, inAll / 10, this.#realm.nowMs());
    this.#askers = new SourceBuckets(perSource / 60, perSource / 2, MAX_SOURCES);
    this.counters = new CounterSet('dialback', swarm.counters);
    this.#serving = swarm.serve((request) => this.#serve(request));
  }

  [Symbol.dispose](): void {
    this.#serving[Symbol.dispose]();
    this.#stopped.abort(new Error('The helper has stopped'));
    for (const close of this.#closing) close();
  }

  async #serve({ src, payload }: Request<A>): Promise<Uint8Array> {
    this.counters.countReceived(payload.length);
    const request = decodeDialBackRequest(payload);
    if (request === undefined) {
      this.counters.countDrop('dialback.malformed');
      throw new Refusal('that is no dial-back request, or it is too short');
    }
    return encodeDialBackStatus(await this.#help(src, request));
  }

  async #help(src: A, request: DialBackRequest): Promise<DialBackStatus> {
    const { target, transport } = request;
    const asker = ipOf(src);
    // Only a host whose address is known can be told to pay, and have a rate.
    if (asker === undefined || !this.#mayBeAimedAt(target, asker)) {
      this.counters.countDrop('dialback.refused_target');
      return 'refused';
    }
    const nowMs = this.#realm.nowMs();
    // The target's rate comes last, so that requests without a place empty no other target's, and displace none in the table.
    const hasPlace = this.#askers.take(nowMs, sourceOf(asker)) && this.#all.take(nowMs);
    if (!hasPlace || (target.ip !== asker && !this.#foreign.take(nowMs, target.ip))) {
      this.counters.countDrop('dialback.rate_limited');
      return 'busy';
    }
    const partner = request.forwarded ? undefined : this.#partnerFor(src);
    if (partner !== undefined) {
      const handedOn = await this.#handOn(partner, request);
      if (handedOn !== undefined) return handedOn;
    }
    this.counters.countSent(request.nonce.length);
    return transport === 'udp' ? this.#sendDatagrams(request) : this.#connect(request);
  }

  /**
   * What is private, link-local or loopback has to be so for this host and for the asker: strangers look through no network behind us,
   * nor at our own ports.
   */
  #mayBeAimedAt(target: SocketAddress, asker: string): boolean {
    const addr = udpAddr(target);
    const own = this.#parts.network.interfaces().map(({ ip }) => udpAddr({ ip, port: 1 }));
    const isOurs = target.ip !== asker && own.some(({ ip }) => ip === target.ip);
    // Loopback is tried by who is nowhere else: by this host only for askers on it.
    const here = isLoopbackIp(asker) ? own.filter(({ ip }) => isLoopbackIp(ip)) : own;
    return !isOurs && mayBeTried(addr, here) && mayBeTried(addr, [udpAddr({ ip: asker, port: 1 })]);
  }

  #partnerFor(src: A): A | undefined {
    return this.#parts.partners?.().find((partner) => ipOf(partner) !== ipOf(src));
  }

  async #handOn(partner: A, request: DialBackRequest): Promise<DialBackStatus | undefined> {
    try {
      const call = { timeoutMs: PARTNER_MS, signal: this.#stopped.signal };
      const answer = await this.#swarm.ask(partner, encodeDialBackRequest({ ...request, forwarded: true }), call);
      const status = decodeDialBackStatus(answer);
      // It refuses what is private to this network, among others, of which it knows nothing.
      return status === 'sent' || status === 'unreachable' ? status : undefined;
    } catch {
      return undefined; // Then this host dials itself.
    }
  }

  /** Where to dial from: an IP of the target's family, if one was named. */
  #bindFor(target: SocketAddress): SocketAddress {
    const family = ipVersion(target.ip);
    const named = this.#parts.dialFrom.find((ip) => ipVersion(ip) === family && !isUnspecifiedIp(ip));
    return { ip: named ?? (family === 4 ? '0.0.0.0' : '::'), port: 0 };
  }

  /** Does the last thing with a socket after a while, and closes it then, or when the helper stops. @returns closes it now. */
  #closeAfter(ms: number, last: () => void, close: () => void): () => void {
    const closeNow = (): void => {
      timer.cancel();
      if (this.#closing.delete(closeNow)) close();
    };
    const timer = clockOf(this.#realm).setTimer(this.#realm.nowMs() + ms, () => {
      last();
      closeNow();
    });
    this.#closing.add(closeNow);
    return closeNow;
  }

  async #sendDatagrams({ target, nonce }: DialBackRequest): Promise<DialBackStatus> {
    try {
      // A socket of its own: from the swarm's one, which the peer has talked to, nothing would be proven.
      const socket = await this.#parts.network.bindUdp({ bind: this.#bindFor(target), signal: this.#stopped.signal });
      socket.sink = { onDatagram: () => undefined };
      const bytes = encodeDialBackNonce(nonce);
      const send = (): void => socket.send(bytes, target.ip, target.port);
      send();
      this.#closeAfter(REPEAT_MS, send, () => void socket.close());
      return 'sent';
    } catch {
      return 'unsupported';
    }
  }

  async #connect({ target, nonce }: DialBackRequest): Promise<DialBackStatus> {
    const late = new AbortController();
    const timer = clockOf(this.#realm).setTimer(this.#realm.nowMs() + CONNECT_MS, () => late.abort());
    const signal = AbortSignal.any([late.signal, this.#stopped.signal]);
    try {
      const bind = this.#bindFor(target);
      const { pipe } = await this.#parts.network.dial({ remote: target, bind, signal });
      const close = this.#closeAfter(
        CONNECT_MS,
        () => undefined,
        () => pipe.destroy(),
      );
      pipe.sink = { onData: () => undefined, onEnd: () => undefined, onClose: close };
      pipe.write([encodeDialBackNonce(nonce)], () => pipe.end());
      return 'sent';
    } catch {
      return 'unreachable';
    } finally {
      timer.cancel();
    }
  }
}
