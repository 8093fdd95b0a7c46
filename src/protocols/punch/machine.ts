/**
 * One punch of one side, without I/O: what is sent from which socket to which address and when, until a pair of addresses has been
 * proven in both directions and both sides know which one it is. Source: docs/wire/punch.md.
 */

import { type Bytes, toHex } from '../../base/bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import type { Side } from '../../core/accept.ts';
import { type Check, Checks } from './checks.ts';
import { PUNCH_ID_BYTES, type PunchCodec, type PunchMessage } from './message.ts';
import { MAX_PROBES_PER_ADDRESS, type PunchPlan } from './plan.ts';
import { PortOrder } from './port-order.ts';
import { SeedStream } from './seed-stream.ts';

/** A datagram to send. */
export interface PunchTransmit {
  /** 0: the socket of the swarm; others were opened for this punch. */
  readonly socket: number;
  readonly to: SocketAddress;
  readonly bytes: Bytes;
  /** The hop limit, where the socket can set it. @default the socket's */
  readonly ttl: number | undefined;
}

/** What happens. */
export type PunchEvent =
  /** A socket is to be opened, and `socketOpened` called. */
  | { readonly type: 'open' | 'close'; readonly socket: number }
  /** Ports are guessed, or many sockets opened, from now on. */
  | { readonly type: 'random' }
  | { readonly type: 'done'; readonly socket: number; readonly remote: SocketAddress; readonly rttMs: number }
  | { readonly type: 'failed' }
  /** Nothing more comes: the other side has had time for its last questions. */
  | { readonly type: 'over' };

/** What became of a message. */
export type PunchVerdict = 'taken' | 'forged' | 'replayed' | 'too_many';

/** What a punch is made with. */
export interface PunchMachineOptions {
  readonly codec: PunchCodec;
  readonly plan: PunchPlan;
  readonly side: Side;
  readonly proven: readonly string[];
  /** The round trip of the path over which the offers went. */
  readonly rttMs: number;
  /** 32 random bytes. */
  readonly seed: Bytes;
}

/** It passes the own NAT and, on the way between two networks, not the other one: as hyperdht does. */
const LOW_TTL = 5;
const BASIC_MS = 4500;
const RANDOM_MS = 12_000;
/** Guesses: 100 a second. */
const GUESS_PAUSE_MS = 10;
const MAX_GUESSES = 1000;
/** Sockets that are open at once for random ports of the own NAT. */
export const RANDOM_SOCKETS = 256;
const OPEN_BATCH = 32;
const OPEN_PAUSE_MS = 10;
/** Ports are not searched before what needs no search had a round trip. */
const SEARCH_AFTER_MS = 50;
/** A socket that was opened late hits one of the many ports that have been guessed by then. */
const RENEW_AFTER_MS = 500;
const RENEW_PAUSE_MS = 10;
const MAX_RENEWED = 700;
/** Choices of one pair before another one is chosen, where there is one. */
const MAX_CHOICES_IN_A_ROW = 12;
const CHOICE_PAUSES_MS: readonly number[] = [40, 40, 80, 80, 160, 160];
const CHOICE_PAUSE_MS = 320;
const LINGER_MS = 3000;
/** Ids of theirs that are remembered: all that a peer which keeps to the rules can send. */
const MAX_SEEN = 4096;
const KNOWN_PER_SECOND = 2000;
const UNKNOWN_PER_SECOND = 500;

type Timer = 'checks' | 'guess' | 'open' | 'choice' | 'end' | 'linger';

interface Asked {
  readonly socket: number;
  readonly text: string;
  readonly to: SocketAddress;
  readonly atMs: Millis;
}

export class PunchMachine implements Machine<PunchTransmit, PunchEvent> {
  readonly #outbox = new Outbox<PunchTransmit, PunchEvent, Timer>();
  readonly #options: PunchMachineOptions;
  readonly #checks: Checks;
  readonly #stream: SeedStream;
  /** Probes and choices without an answer, by id. Bounded by what is sent: about 2000 probes, and choices until the end. */
  readonly #asked = new Map<string, Asked>();
  /** Kinds and ids of theirs. Bounded by {@link MAX_SEEN}. */
  readonly #seen = new Set<string>();
  /** Pairs that have answered, for the initiator. Bounded by the checks. */
  readonly #answered: Check[] = [];
  readonly #knownRate: TokenBucket;
  readonly #unknownRate: TokenBucket;
  readonly #ports: PortOrder | undefined;
  /** Open sockets beside the first, the oldest first. Bounded by {@link RANDOM_SOCKETS}. */
  readonly #sockets: number[] = [];
  /** Those of them on which a valid message came. Bounded as they are. */
  readonly #hit = new Set<number>();
  #lastSocket = 0;
  #renewFromMs = Infinity;
  #guesses = 0;
  #choices = 0;
  /** The choice of theirs that waits for an answer of the pair. */
  #wanted: { readonly socket: number; readonly text: string; readonly id: Bytes } | undefined;
  #won: Check | undefined;
  #state: 'probing' | 'done' | 'ended' = 'probing';
  /** Datagrams that were sent to find the other side, answers not included. */
  probes = 0;
  /** Valid messages of the other side. */
  heard = 0;

  constructor(now: Millis, options: PunchMachineOptions) {
    this.#options = options;
    const { plan, side, rttMs } = options;
    this.#checks = new Checks(options.proven);
    this.#stream = new SeedStream(options.seed);
    this.#knownRate = new TokenBucket(KNOWN_PER_SECOND, KNOWN_PER_SECOND, now);
    this.#unknownRate = new TokenBucket(UNKNOWN_PER_SECOND, UNKNOWN_PER_SECOND, now);
    this.#ports = plan.guess === undefined ? undefined : new PortOrder(plan.guess.likely, this.#stream);
    for (const target of plan.targets) {
      const check = this.#checks.add(0, target, now);
      // The responder begins half a round trip earlier, so its first probe must not get to the other NAT.
      const isEarly = side === 'responder' && !check.isNear;
      if (this.#probe(now, check, isEarly ? LOW_TTL : undefined) && isEarly) {
        check.nextMs = Math.max(check.nextMs, now + Math.min(rttMs, 1000));
      }
    }
    const isRandom = plan.guess !== undefined || plan.openTo !== undefined;
    const searchMs = now + Math.max(SEARCH_AFTER_MS, Math.min(rttMs, 1000));
    if (plan.guess !== undefined) this.#outbox.arm('guess', searchMs);
    if (plan.openTo !== undefined) this.#outbox.arm('open', searchMs);
    this.#outbox.arm('end', now + (isRandom ? RANDOM_MS : BASIC_MS) + 2 * rttMs);
    this.#arm();
  }

  /** A socket that an event asked for is open. */
  socketOpened(now: Millis, socket: number): void {
    const { openTo } = this.#options.plan;
    if (this.#state !== 'probing' || openTo === undefined || !this.#sockets.includes(socket)) return;
    const check = this.#checks.add(socket, { to: openTo, isNear: false, maxProbes: MAX_PROBES_PER_ADDRESS }, Infinity);
    this.#probe(now, check, now < this.#renewFromMs ? LOW_TTL : undefined);
    this.#checks.rest(check);
  }

  /** A message that names this punch has come. */
  handleMessage(now: Millis, socket: number, from: SocketAddress, message: PunchMessage): PunchVerdict {
    const rate = this.#checks.isKnown(from.ip) ? this.#knownRate : this.#unknownRate;
    if (!rate.take(now)) return 'too_many';
    if (!this.#options.codec.isTheirs(message)) return 'forged';
    const { kind, id } = message;
    const name = toHex(id);
    if (kind === 'probe' || kind === 'choose') {
      const seen = `${kind} ${name}`;
      if (this.#seen.has(seen)) return 'replayed';
      if (this.#seen.size >= MAX_SEEN) return 'too_many';
      this.#seen.add(seen);
    } else {
      const asked = this.#asked.get(name);
      const isSame = asked?.socket === socket && asked.text === formatSocketAddress(from.ip, from.port);
      if (asked === undefined || !isSame) return 'replayed';
      this.#asked.delete(name);
      this.#heardAnswer(now, kind, asked);
      this.#arm();
      return 'taken';
    }
    this.heard++;
    if (socket !== 0) this.#hit.add(socket);
    if (kind === 'probe') {
      this.#send(socket, from, this.#options.codec.encode('answer', id));
      this.#trigger(now, socket, from);
    } else this.#heardChoice(now, socket, from, id);
    this.#arm();
    return 'taken';
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'checks') for (const check of this.#checks.due(now)) this.#probe(now, check);
      else if (timer === 'guess') this.#guess(now);
      else if (timer === 'open') this.#open(now);
      else if (timer === 'choice') this.#choose(now);
      else if (timer === 'end') this.#end('failed');
      else this.#end('over');
    }
    this.#arm();
  }

  poll(): Output<PunchTransmit, PunchEvent> {
    return this.#outbox.poll();
  }

  #heardAnswer(now: Millis, kind: 'answer' | 'confirm', { socket, to, atMs }: Asked): void {
    this.heard++;
    if (this.#state !== 'probing') return;
    const { side, codec } = this.#options;
    const check = this.#checks.get(socket, to) ?? this.#checks.reflexive(socket, to);
    if (check === undefined) return;
    if (kind === 'confirm') {
      this.#done(now, check);
      return;
    }
    this.#checks.answered(check, now - atMs);
    if (side === 'initiator') {
      this.#answered.push(check);
      if (this.#answered.length === 1) this.#choose(now);
    } else if (this.#wanted?.socket === socket && this.#wanted.text === check.text) {
      this.#send(socket, check.to, codec.encode('confirm', this.#wanted.id));
      this.#done(now, check);
    }
  }

  #heardChoice(now: Millis, socket: number, from: SocketAddress, id: Bytes): void {
    const check = this.#checks.get(socket, from);
    if (this.#options.side === 'initiator' || this.#state === 'ended') return;
    if (check?.rttMs !== undefined && (this.#won ?? check) === check) {
      this.#send(socket, from, this.#options.codec.encode('confirm', id));
      if (this.#state === 'probing') this.#done(now, check);
    } else if (this.#state === 'probing') {
      this.#wanted = { socket, text: formatSocketAddress(from.ip, from.port), id };
      this.#trigger(now, socket, from);
    }
  }

  /** Probes where a valid message came from, at once; after that the usual pauses. */
  #trigger(now: Millis, socket: number, from: SocketAddress): void {
    if (this.#state !== 'probing') return;
    const check = this.#checks.reflexive(socket, from);
    if (check === undefined || check.isTriggered || check.rttMs !== undefined) return;
    check.isTriggered = true;
    check.step = 0;
    this.#probe(now, check);
  }

  /** @returns whether it was sent. */
  #probe(now: Millis, check: Check, ttl?: number): boolean {
    if (!this.#checks.take(check, now)) return false;
    this.#ask(now, 'probe', check, ttl);
    return true;
  }

  #ask(now: Millis, kind: 'probe' | 'choose', { socket, to, text }: Omit<Asked, 'atMs'>, ttl?: number): void {
    const id = this.#stream.bytes(PUNCH_ID_BYTES);
    this.#asked.set(toHex(id), { socket, to, text, atMs: now });
    if (kind === 'probe') this.probes++;
    this.#send(socket, to, this.#options.codec.encode(kind, id), ttl);
  }

  #send(socket: number, to: SocketAddress, bytes: Bytes, ttl?: number): void {
    this.#outbox.transmit({ socket, to, bytes, ttl });
  }

  #guess(now: Millis): void {
    const port = this.#ports?.next();
    if (port === undefined || this.#guesses >= MAX_GUESSES) return;
    if (this.#guesses === 0) this.#outbox.event({ type: 'random' });
    this.#guesses++;
    const to = { ip: this.#options.plan.guess!.ip, port };
    this.#ask(now, 'probe', { socket: 0, to, text: formatSocketAddress(to.ip, port) });
    this.#outbox.arm('guess', now + GUESS_PAUSE_MS);
  }

  #open(now: Millis): void {
    if (this.#lastSocket === 0) {
      this.#outbox.event({ type: 'random' });
      this.#renewFromMs = now + RENEW_AFTER_MS;
    }
    if (now < this.#renewFromMs) {
      for (let i = 0; i < OPEN_BATCH && this.#sockets.length < RANDOM_SOCKETS; i++) this.#openOne();
      const isFull = this.#sockets.length >= RANDOM_SOCKETS;
      this.#outbox.arm('open', isFull ? this.#renewFromMs : now + OPEN_PAUSE_MS);
    } else if (this.#lastSocket < RANDOM_SOCKETS + MAX_RENEWED) {
      // The oldest, but none on which the peer was heard: its answer may be on the way.
      const oldest = this.#sockets.findIndex((socket) => !this.#hit.has(socket));
      if (oldest < 0) return;
      this.#close(this.#sockets.splice(oldest, 1)[0]!);
      this.#openOne();
      this.#outbox.arm('open', now + RENEW_PAUSE_MS);
    }
  }

  #openOne(): void {
    const socket = ++this.#lastSocket;
    this.#sockets.push(socket);
    this.#outbox.event({ type: 'open', socket });
  }

  #close(socket: number): void {
    this.#checks.drop(socket);
    this.#outbox.event({ type: 'close', socket });
  }

  /** Chooses the pair that answered first; another one after it has not been confirmed for some time. */
  #choose(now: Millis): void {
    this.#checks.restAll();
    this.#outbox.disarm('guess');
    this.#outbox.disarm('open');
    const pair = this.#answered[Math.floor(this.#choices / MAX_CHOICES_IN_A_ROW) % this.#answered.length]!;
    const pauseMs = CHOICE_PAUSES_MS[this.#choices % MAX_CHOICES_IN_A_ROW] ?? CHOICE_PAUSE_MS;
    this.#choices++;
    this.#ask(now, 'choose', pair);
    this.#outbox.arm('choice', now + Math.max(pauseMs, 1.5 * (pair.rttMs ?? 0)));
  }

  #done(now: Millis, check: Check): void {
    this.#state = 'done';
    this.#won = check;
    this.#checks.restAll();
    for (const timer of ['guess', 'open', 'choice', 'end'] as const) this.#outbox.disarm(timer);
    for (const socket of this.#sockets) if (socket !== check.socket) this.#outbox.event({ type: 'close', socket });
    this.#sockets.length = 0;
    this.#outbox.event({ type: 'done', socket: check.socket, remote: check.to, rttMs: check.rttMs ?? 0 });
    // The confirmation may be lost: the initiator then chooses again.
    this.#outbox.arm('linger', now + (this.#options.side === 'responder' ? LINGER_MS : 0));
  }

  #end(type: 'failed' | 'over'): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#checks.restAll();
    for (const timer of ['guess', 'open', 'choice', 'end', 'linger'] as const) this.#outbox.disarm(timer);
    for (const socket of this.#sockets) this.#outbox.event({ type: 'close', socket });
    this.#sockets.length = 0;
    this.#outbox.event({ type });
  }

  #arm(): void {
    this.#outbox.arm('checks', this.#state === 'probing' ? this.#checks.nextMs : Infinity);
  }
}
