/**
 * One punch over TCP. Both sides dial each other from ports that their NATs know by now; where the two dials meet, or one is let in,
 * there is a connection. The initiator chooses one. Source: docs/wire/punch.md §5.
 */

import { formatSocketAddress, ipVersion, type SocketAddress } from '../../base/ip.ts';
import type { Side } from '../../core/accept.ts';
import { P2PError } from '../../core/errors.ts';
import type { Realm, Timer } from '../../core/realm.ts';
import type { Listener, Network, RawConnection } from '../../net/network.ts';
import type { PunchCodec } from '../../protocols/punch/message.ts';
import type { PunchPorts } from '../../protocols/punch/offer.ts';
import type { PunchTarget } from '../../protocols/punch/plan.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { PunchStream } from './punch-stream.ts';
import type { PunchedConnection } from './puncher.ts';

/** What a punch over TCP is made with. */
export interface TcpPunchOptions {
  readonly realm: Realm;
  readonly network: Network;
  /** The local port, from which observers were asked. */
  readonly port: number;
  readonly codec: PunchCodec;
  readonly targets: readonly PunchTarget[];
  readonly side: Side;
  readonly own: PunchPorts;
  readonly theirs: PunchPorts;
  readonly proven: readonly string[];
  readonly rttMs: number;
  readonly done: (path: PunchedConnection) => void;
  readonly failed: (error: unknown) => void;
}

/** Crust waits 10 s; connections whose packets get lost need more. */
const PUNCH_MS = 20_000;
/** To an IP that nobody has proven one SYN for each dial: the system sends the next one after a second, and then after two more. */
const UNPROVEN_DIAL_MS = 900;
const DIAL_MS = 2900;
/** Dials to an IP that nobody has proven. */
const MAX_DIALS_PER_UNPROVEN_IP = 10;
const MAX_DIALS_PER_ADDRESS = 40;
/** After a refusal: at random, so that two sides do not miss each other again and again. */
const RETRY_MS = [20, 100] as const;
/** After so many the pauses are five times as long. */
const QUICK_TRIES = 10;
/** A side that others can come to, when they cannot be dialled: after its own SYN has left. */
const LISTEN_SOON_MS = 150;
/** Two that dial each other on a LAN miss each other, since a refusal comes back at once. */
const LISTEN_NEAR_MS = 50;
/** Its SYNs have opened its NAT by then, and those under way are still repeated. */
const LISTEN_LATE_MS = 500;
const LISTEN_AGAIN_MS = 500;
/** Connections that are looked at; strangers can connect while it listens. */
const MAX_STREAMS = 16;

export class TcpPunch {
  readonly #options: TcpPunchOptions;
  readonly #startedMs: number;
  readonly #over = new AbortController();
  /** Bounded by {@link MAX_STREAMS}; in the order of their making. */
  readonly #streams: PunchStream[] = [];
  /** Dials by IP. Bounded by the targets. */
  readonly #dials = new Map<string, number>();
  /** What became of the dials. Bounded by the outcomes: refused, silent, connected. */
  readonly #outcomes = new Map<string, number>();
  /** Bounded by the targets, and three. */
  readonly #timers = new Set<Timer>();
  #listener: Listener | undefined;
  #isListening = false;
  #tried = 0;

  constructor(options: TcpPunchOptions) {
    this.#options = options;
    this.#startedMs = options.realm.nowMs();
  }

  begin(): void {
    const { side, rttMs, targets } = this.#options;
    // Then both begin at the same time, and a NAT that answers unknown SYNs with an RST gets none.
    this.#after(side === 'responder' ? Math.min(rttMs, 1000) / 2 : 0, () => {
      for (const target of targets) this.#dial(target, 0);
    });
    const listenMs = this.#listenMs();
    if (listenMs !== undefined) this.#after(listenMs, () => this.#listen());
    this.#after(PUNCH_MS, () => this.#options.failed(this.#failure()));
  }

  /** When this side listens: the one whose port the other can know, or the responder. */
  #listenMs(): number | undefined {
    const { side, rttMs, own, theirs, targets } = this.#options;
    const [isHidden, isTheirsHidden] = [own, theirs].map((ports) => ports === 'random' || ports === 'sequential');
    if (isHidden === isTheirsHidden ? side === 'initiator' : isHidden) return undefined;
    if (targets.some(({ isNear }) => isNear)) return LISTEN_NEAR_MS;
    return theirs === 'random' ? LISTEN_SOON_MS + rttMs : LISTEN_LATE_MS + 2 * rttMs;
  }

  /** Ends what still runs. A connection that was handed on stays. */
  close(): void {
    this.#over.abort(new P2PError('closed', 'local', 'The punch is over'));
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    void this.#listener?.close();
    for (const stream of this.#streams) stream.close();
    this.#streams.length = 0;
  }

  #after(ms: number, act: () => void): void {
    const { realm } = this.#options;
    const timer = clockOf(realm).setTimer(realm.nowMs() + ms, () => {
      this.#timers.delete(timer);
      act();
    });
    this.#timers.add(timer);
  }

  #dial(target: PunchTarget, tries: number): void {
    const { network, port, proven } = this.#options;
    const { ip } = target.to;
    const toIp = this.#dials.get(ip) ?? 0;
    const isProven = target.isNear || proven.includes(ip);
    const max = isProven ? MAX_DIALS_PER_ADDRESS : MAX_DIALS_PER_UNPROVEN_IP;
    if (this.#isOver || this.#isListening || tries >= max || (!isProven && toIp >= max)) return;
    this.#dials.set(ip, toIp + 1);
    this.#tried++;
    const late = new AbortController();
    const stop = (): void => late.abort(new P2PError('timeout', 'path', 'No answer to a SYN'));
    const timer = clockOf(this.#options.realm).setTimer(
      this.#options.realm.nowMs() + (isProven ? DIAL_MS : UNPROVEN_DIAL_MS),
      stop,
    );
    this.#over.signal.addEventListener('abort', stop);
    const bind = { ip: ipVersion(ip) === 4 ? '0.0.0.0' : '::', port };
    network
      .dial({ remote: target.to, bind, noDelay: true, signal: late.signal })
      .then(
        (connection) => this.#connected(connection),
        (error: unknown) => {
          const isSilent = late.signal.aborted || P2PError.is(error, 'timeout');
          this.#count(isSilent ? 'silent' : 'refused');
          this.#after(isSilent ? 0 : this.#pauseMs(tries), () => this.#dial(target, tries + 1));
        },
      )
      .finally(() => {
        timer.cancel();
        this.#over.signal.removeEventListener('abort', stop);
      });
  }

  #pauseMs(tries: number): number {
    const [least, most] = RETRY_MS;
    const ms = least + ((most - least) * this.#options.realm.random(1)[0]!) / 255;
    return tries < QUICK_TRIES ? ms : 5 * ms;
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Nothing can be dialled from a port on which somebody listens. */
  #listen(): void {
    const { network, port } = this.#options;
    if (this.#isOver) return;
    if (this.#streams.length > 0) {
      // A connection waits for its first message.
      this.#after(LISTEN_AGAIN_MS, () => this.#listen());
      return;
    }
    this.#isListening = true;
    const ip = network.interfaces().some((each) => ipVersion(each.ip) === 6) ? '::' : '0.0.0.0';
    network
      .listen({
        bind: { ip, port },
        backlog: MAX_STREAMS,
        reusePort: false,
        noDelay: true,
        onConnection: (connection) => this.#connected(connection),
        onError: () => undefined,
      })
      .then(
        (listener) => {
          if (this.#isOver) void listener.close();
          else this.#listener = listener;
        },
        // Another program has got the port: what was dialled may still be answered.
        () => this.#count('port_taken'),
      );
  }

  #connected(connection: RawConnection): void {
    const { local, remote, pipe } = connection;
    const isSelf = local.ip === remote.ip && local.port === remote.port;
    if (this.#isOver || isSelf || this.#streams.length >= MAX_STREAMS) {
      pipe.destroy();
      return;
    }
    this.#count('connected');
    const { codec, side, realm } = this.#options;
    const stream = new PunchStream(connection, codec, side, realm, {
      chosen: (rttMs) => this.#done(stream, rttMs),
      closed: () => this.#lost(stream),
    });
    this.#streams.push(stream);
    // The responder takes the first choice that arrives, and confirms no other.
    stream.choose();
  }

  #lost(stream: PunchStream): void {
    this.#forget(stream);
    const target = this.#options.targets.find(({ to }) => isSame(to, stream.connection.remote));
    if (target !== undefined && !this.#isOver) this.#after(this.#pauseMs(0), () => this.#dial(target, 1));
  }

  #done(stream: PunchStream, rttMs: number): void {
    const { realm, done } = this.#options;
    this.#forget(stream);
    const connection = stream.release();
    const tookMs = realm.nowMs() - this.#startedMs;
    done({ connection, remote: connection.remote, rttMs, probes: this.#tried, tookMs });
  }

  #forget(stream: PunchStream): void {
    const at = this.#streams.indexOf(stream);
    if (at >= 0) this.#streams.splice(at, 1);
  }

  #count(outcome: string): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  #failure(): P2PError {
    const { targets, own, theirs } = this.#options;
    const tried = targets.map(({ to }) => formatSocketAddress(to.ip, to.port)).join(', ');
    const outcomes = Array.from(this.#outcomes, ([outcome, count]) => `${count} ${outcome}`).join(', ');
    const hidden = own === 'random' ? 'here' : theirs === 'random' ? 'there' : undefined;
    const why =
      hidden === undefined
        ? ''
        : `; the NAT ${hidden} gives random ports, so that only a peer that lets everybody in can be reached over TCP`;
    const message = `Cannot punch over TCP: ${this.#tried} dials to ${tried}: ${outcomes === '' ? 'none ended' : outcomes}${why}`;
    return new P2PError('timeout', 'path', message);
  }
}

const isSame = (a: SocketAddress, b: SocketAddress): boolean => a.ip === b.ip && a.port === b.port;
