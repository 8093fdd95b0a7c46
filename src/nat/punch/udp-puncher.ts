/** Punches holes for the UDP socket of a swarm. */

import type { Bytes } from '../../base/bytes.ts';
import { assertFunction, describeValue } from '../../base/checks.ts';
import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { Counters } from '../../core/counters.ts';
import { closedError } from '../../core/errors.ts';
import { assertRealm, type Realm } from '../../core/realm.ts';
import type { CallOptions } from '../../core/swarm.ts';
import type { DatagramSocket } from '../../net/network.ts';
import { decodePunchMessage, PunchCodec } from '../../protocols/punch/message.ts';
import type { PunchOffer } from '../../protocols/punch/offer.ts';
import { planPunch } from '../../protocols/punch/plan.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import { rejection } from '../../runtime/promises.ts';
import { systemRealm } from '../../runtime/system-realm.ts';
import { checkCall, Waits } from '../../runtime/waits.ts';
import { StunAsker } from '../stun-asker.ts';
import { makeOffer } from './make-offer.ts';
import type { Seen } from './observe.ts';
import type { PunchedPath, Puncher, PunchOptions } from './puncher.ts';
import type { PunchingNetwork, PunchingSocket } from './punching.ts';
import { localAddresses, punchTargets } from './targets.ts';
import { refused } from './refused.ts';
import { UdpPunch } from './udp-punch.ts';

/** How UDP is punched. */
export interface UdpPuncherOptions {
  /** Made by `punching`; the swarm's socket is bound through it. */
  readonly network: PunchingNetwork;
  /** The port of the swarm's socket. */
  readonly port: number;
  /** Who may be asked for the address of the socket: STUN servers, and peers that observe. Read at each offer; three of them are asked. */
  readonly observers: () => readonly SocketAddress[];
  /** Addresses at which the router forwards to the socket. @default none */
  readonly mapped?: (() => readonly SocketAddress[]) | undefined;
  /** Whether others are known to be able to dial this host; then punching is refused. @default never */
  readonly isReachable?: (() => boolean) | undefined;
  readonly realm?: Realm | undefined;
}

/** Punches holes for a UDP socket. */
export interface UdpPuncher extends Puncher {
  /** Messages of punches; drops: `punch.unknown`, `punch.forged`, `punch.replayed`, `punch.too_many`. */
  readonly counters: Counters;
}

/** As long as STUN's answer may take from nearby, with one repetition lost. */
const OBSERVE_MS = 1500;
/** Time for two repetitions of a question, and for one. */
const PATIENCE_MS: readonly number[] = [700, 250];
const DEFAULT_RTT_MS = 100;
/** Punches of one socket at once. */
const MAX_PUNCHES = 16;
/** Between two punches with random ports: as hyperdht does. */
const RANDOM_REST_MS = 20_000;

/**
 * Makes a puncher for the socket on a port.
 *
 * @throws {TypeError | RangeError} for wrong options, or when the network has no socket on that port.
 */
export function udpPuncher(options: UdpPuncherOptions): UdpPuncher {
  if (typeof options !== 'object' || options === null || typeof options.network?.socketAt !== 'function') {
    throw new TypeError(`Cannot take network: expected one made by punching(), got ${describeValue(options)}`);
  }
  assertFunction(options.observers, 'observers');
  const { realm = systemRealm } = options;
  assertRealm(realm);
  return new OpenUdpPuncher(options, realm, options.network.socketAt(options.port));
}

class OpenUdpPuncher implements UdpPuncher {
  readonly counters: CounterSet = new CounterSet('punch');
  readonly #options: UdpPuncherOptions;
  readonly #realm: Realm;
  readonly #socket: PunchingSocket;
  readonly #asker: StunAsker;
  readonly #waits: Waits;
  readonly #closing: Disposable;
  /** By the name of the punch, those included that only answer the last questions. Bounded by {@link MAX_PUNCHES}. */
  readonly #punches = new Map<string, UdpPunch>();
  /** Until when no other punch with random ports may begin; `Infinity` while one runs. */
  #randomUntilMs = -Infinity;
  #isClosed = false;

  constructor(options: UdpPuncherOptions, realm: Realm, socket: PunchingSocket) {
    if (socket.filter !== undefined) {
      throw new TypeError(`Cannot punch from port ${options.port}: it has a puncher already`);
    }
    this.#options = options;
    this.#realm = realm;
    this.#socket = socket;
    this.#waits = new Waits(realm);
    this.#asker = new StunAsker(realm, ({ to, bytes }) => socket.sendDirectly(bytes, to, undefined), OBSERVE_MS);
    this.#closing = socket.onClose(() => void this[Symbol.asyncDispose]());
    socket.filter = (payload, ip, port) => this.#handle(0, undefined, payload, { ip, port });
  }

  async offer(call?: CallOptions): Promise<PunchOffer> {
    checkCall(call);
    if (this.#isClosed) throw closedError('offer to punch');
    const { isReachable, observers, mapped } = this.#options;
    const timeoutMs = Math.min(call?.timeoutMs ?? OBSERVE_MS, OBSERVE_MS);
    const asking = { timeoutMs, signal: call?.signal };
    const seen = (asker: StunAsker, observer: SocketAddress): Seen =>
      asker.ask(observer, asking).then(
        (answer) => answer.mapped,
        () => undefined,
      );
    const offer = await makeOffer({
      realm: this.#realm,
      isReachable,
      observers,
      mapped,
      local: this.#localAddresses(),
      signal: call?.signal,
      patienceMs: PATIENCE_MS,
      ask: (observer) => seen(this.#asker, observer),
      askFresh: async (observer, count) => {
        const sockets = await Promise.all(Array.from({ length: count }, () => this.#socket.bindAnother()));
        return sockets.map((socket) => {
          const asker = new StunAsker(this.#realm, ({ to, bytes }) => socket.send(bytes, to.ip, to.port));
          socket.sink = { onDatagram: (payload, ip, port) => void asker.handleDatagram({ ip, port }, payload) };
          return seen(asker, observer).finally(() => {
            asker.close();
            void socket.close();
          });
        });
      },
    });
    if (this.#isClosed) throw closedError('offer to punch');
    return offer;
  }

  punch(own: PunchOffer, theirs: PunchOffer, options: PunchOptions): Promise<PunchedPath> {
    checkCall(options);
    if (this.#isClosed) return rejection(closedError('punch'));
    const { side, proven = [], rttMs = DEFAULT_RTT_MS } = options;
    const plan = planPunch({
      own,
      theirs,
      proven,
      ...punchTargets(this.#options.network, this.#localAddresses()),
    });
    if ('why' in plan) return refused('unreachable', plan.why);
    const isRandom = plan.guess !== undefined || plan.openTo !== undefined;
    const restMs = this.#randomUntilMs - this.#realm.nowMs();
    if (isRandom && restMs > 0) {
      const when = restMs === Infinity ? 'runs' : `has ended, and the next may begin in ${Math.ceil(restMs)} ms`;
      return refused('limit_exceeded', `another punch with random ports ${when}`);
    }
    const codec = new PunchCodec(own.token, theirs.token, side);
    if (this.#punches.size >= MAX_PUNCHES) return refused('limit_exceeded', `${MAX_PUNCHES} punches run already`);
    if (this.#punches.has(codec.punch)) return refused('limit_exceeded', 'a punch with these offers runs already');
    const what = (): string =>
      `punch to ${theirs.addrs.map(({ ip, port }) => formatSocketAddress(ip, port)).join(', ')}`;
    return this.#waits.wait<PunchedPath>({ what, call: options, defaultTimeoutMs: Infinity }, (wait) => {
      const punch = new UdpPunch({
        realm: this.#realm,
        socket: this.#socket,
        machine: { codec, plan, side, proven, rttMs, seed: this.#realm.random(32) },
        filter: (socket, via) => (payload, ip, port) => this.#handle(socket, via, payload, { ip, port }),
        random: (isRunning) => (this.#randomUntilMs = isRunning ? Infinity : this.#realm.nowMs() + RANDOM_REST_MS),
        done: wait.resolve,
        failed: wait.reject,
        over: () => {
          if (this.#punches.get(codec.punch) === punch) this.#punches.delete(codec.punch);
        },
      });
      this.#punches.set(codec.punch, punch);
      punch.begin();
      return () => punch.giveUp();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.filter = undefined;
    this.#closing[Symbol.dispose]();
    this.#asker.close();
    this.#waits.close();
    for (const punch of this.#punches.values()) punch.close();
    this.#punches.clear();
  }

  /** @returns whether the datagram was for this layer. */
  #handle(socket: number, via: DatagramSocket | undefined, payload: Bytes, from: SocketAddress): boolean {
    const message = decodePunchMessage(payload);
    if (message === undefined) return via === undefined && this.#asker.handleDatagram(from, payload);
    this.counters.countReceived(payload.length);
    const punch = this.#punches.get(message.punch);
    const verdict = punch === undefined ? 'unknown' : punch.handle(socket, from, message);
    if (verdict !== 'taken') this.counters.countDrop(`punch.${verdict}`);
    return true;
  }

  #localAddresses(): readonly SocketAddress[] {
    return localAddresses(this.#options.network, this.#socket.address);
  }
}
