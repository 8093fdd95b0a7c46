/** Punches holes for TCP: each punch has a local port of its own, from which observers are asked and the peer is dialled. */

import { toHex } from '../../base/bytes.ts';
import { assertFunction } from '../../base/checks.ts';
import { formatSocketAddress, ipVersion, type SocketAddress } from '../../base/ip.ts';
import { closedError } from '../../core/errors.ts';
import { assertRealm, type Realm } from '../../core/realm.ts';
import type { CallOptions } from '../../core/swarm.ts';
import { assertNetwork, type Network } from '../../net/network.ts';
import { systemNetwork } from '../../net/system-network.ts';
import { PunchCodec } from '../../protocols/punch/message.ts';
import type { PunchOffer } from '../../protocols/punch/offer.ts';
import { planPunch } from '../../protocols/punch/plan.ts';
import { rejection } from '../../runtime/promises.ts';
import { systemRealm } from '../../runtime/system-realm.ts';
import { checkCall, Waits } from '../../runtime/waits.ts';
import { askStunOverTcp } from '../stun-tcp.ts';
import { makeOffer } from './make-offer.ts';
import type { Seen } from './observe.ts';
import type { PunchedConnection, Puncher, PunchOptions } from './puncher.ts';
import { refused } from './refused.ts';
import { localAddresses, punchTargets } from './targets.ts';
import { TcpPunch } from './tcp-punch.ts';

/** How TCP is punched. */
export interface TcpPuncherOptions {
  /** @default this system's */
  readonly network?: Network | undefined;
  /** Who may be asked for the address of a port over TCP: STUN servers, and listeners that observe. Read at each offer; three are asked. */
  readonly observers: () => readonly SocketAddress[];
  /** Whether others are known to be able to dial this host; then punching is refused. @default never */
  readonly isReachable?: (() => boolean) | undefined;
  readonly realm?: Realm | undefined;
}

/** Over TCP: a handshake, and a question. */
const OBSERVE_MS = 3000;
/** Time for a second SYN, which the system sends after a second. */
const PATIENCE_MS: readonly number[] = [2000, 1200];
const DEFAULT_RTT_MS = 100;
/** Offers whose punch has not begun; the oldest makes room. */
const MAX_OFFERS = 16;
const MAX_PUNCHES = 16;

/**
 * Makes a puncher for TCP. `punch` takes an offer that this puncher has made, once.
 *
 * @throws {TypeError} for wrong options.
 */
export function tcpPuncher(options: TcpPuncherOptions): Puncher<PunchedConnection> {
  assertFunction(options.observers, 'observers');
  const { network = systemNetwork, realm = systemRealm } = options;
  assertNetwork(network);
  assertRealm(realm);
  return new OpenTcpPuncher(options, network, realm);
}

class OpenTcpPuncher implements Puncher<PunchedConnection> {
  readonly #options: TcpPuncherOptions;
  readonly #network: Network;
  readonly #realm: Realm;
  readonly #waits: Waits;
  /** Local ports by token. Bounded by {@link MAX_OFFERS}. */
  readonly #ports = new Map<string, number>();
  /** Bounded by {@link MAX_PUNCHES}. */
  readonly #punches = new Set<TcpPunch>();
  #isClosed = false;

  constructor(options: TcpPuncherOptions, network: Network, realm: Realm) {
    this.#options = options;
    this.#network = network;
    this.#realm = realm;
    this.#waits = new Waits(realm);
  }

  async offer(call?: CallOptions): Promise<PunchOffer> {
    checkCall(call);
    if (this.#isClosed) throw closedError('offer to punch');
    const { observers, isReachable } = this.#options;
    const port = await this.#freePort();
    const timeoutMs = Math.min(call?.timeoutMs ?? OBSERVE_MS, OBSERVE_MS);
    const [network, realm] = [this.#network, this.#realm];
    const ask = (server: SocketAddress, from: number): Seen => {
      const bind = { ip: ipVersion(server.ip) === 4 ? '0.0.0.0' : '::', port: from };
      return askStunOverTcp({ network, realm, server, bind, timeoutMs, signal: call?.signal }).then(
        ({ mapped }) => mapped,
        () => undefined,
      );
    };
    const offer = await makeOffer({
      realm,
      isReachable,
      observers,
      mapped: undefined,
      local: localAddresses(network, { ip: hasIpv6(network) ? '::' : '0.0.0.0', port }),
      signal: call?.signal,
      patienceMs: PATIENCE_MS,
      ask: (observer) => ask(observer, port),
      askFresh: (observer, count) => Promise.resolve(Array.from({ length: count }, () => ask(observer, 0))),
    });
    if (this.#isClosed) throw closedError('offer to punch');
    if (this.#ports.size >= MAX_OFFERS) this.#ports.delete(this.#ports.keys().next().value!);
    this.#ports.set(toHex(offer.token), port);
    return offer;
  }

  punch(own: PunchOffer, theirs: PunchOffer, options: PunchOptions): Promise<PunchedConnection> {
    checkCall(options);
    if (this.#isClosed) return rejection(closedError('punch'));
    const { side, proven = [], rttMs = DEFAULT_RTT_MS } = options;
    const token = toHex(own.token);
    const port = this.#ports.get(token);
    if (port === undefined) return refused('unsupported', 'the offer is not one of this puncher, or was used before');
    if (this.#punches.size >= MAX_PUNCHES) return refused('limit_exceeded', `${MAX_PUNCHES} punches run already`);
    this.#ports.delete(token);
    const local = localAddresses(this.#network, { ip: hasIpv6(this.#network) ? '::' : '0.0.0.0', port });
    // Ports are never guessed over TCP, so what is said of IPs does not matter for the plan.
    const plan = planPunch({ own, theirs, proven: [], ...punchTargets(this.#network, local) });
    if ('why' in plan) return refused('unreachable', plan.why);
    const what = (): string =>
      `punch over TCP to ${theirs.addrs.map(({ ip, port: to }) => formatSocketAddress(ip, to)).join(', ')}`;
    return this.#waits.wait<PunchedConnection>({ what, call: options, defaultTimeoutMs: Infinity }, (wait) => {
      const punch = new TcpPunch({
        realm: this.#realm,
        network: this.#network,
        port,
        codec: new PunchCodec(own.token, theirs.token, side),
        targets: plan.targets,
        side,
        own: own.ports,
        theirs: theirs.ports,
        proven,
        rttMs,
        done: wait.resolve,
        failed: wait.reject,
      });
      this.#punches.add(punch);
      punch.begin();
      return () => {
        this.#punches.delete(punch);
        punch.close();
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#ports.clear();
    this.#waits.close();
  }

  /** A port that nothing uses. */
  async #freePort(): Promise<number> {
    const listener = await this.#network.listen({
      bind: { ip: '0.0.0.0', port: 0 },
      backlog: 1,
      reusePort: false,
      onConnection: ({ pipe }) => pipe.destroy(),
      onError: () => undefined,
    });
    const { port } = listener.address;
    await listener.close();
    return port;
  }
}

const hasIpv6 = (network: Network): boolean => network.interfaces().some(({ ip }) => ipVersion(ip) === 6);
