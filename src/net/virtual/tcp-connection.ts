/**
 * A TCP connection of a virtual host: in order and reliable over a network that loses, with a window, retransmissions and
 * half-close, without congestion control. A pipe above, packets below.
 */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import type { ClockedRealm, Timer } from '../../core/realm.ts';
import { later } from '../../runtime/later.ts';
import type { Pipe, PipeSink } from '../pipe.ts';
import type { Packet, PacketAddr, TcpHeader } from './packet.ts';
import { TcpReceiver } from './tcp-receiver.ts';
import { type SentSegment, TcpSender } from './tcp-sender.ts';

/** What a connection needs of its host. */
export interface TcpConnectionOptions {
  readonly realm: ClockedRealm;
  readonly local: PacketAddr;
  readonly remote: PacketAddr;
  readonly windowBytes: number;
  readonly keepAliveMs: number | undefined;
  readonly random: () => number;
  readonly transmit: (header: TcpHeader, payload: Bytes) => void;
  /** The handshake is over. */
  readonly onEstablished: () => void;
  /** It has left the table: never established, ended, or broken. */
  readonly onGone: (failure: TcpFailure | undefined) => void;
}

/** Why a connection was never established, or broke. */
export type TcpFailure = 'refused' | 'unreachable' | 'timeout' | 'reset';

const FAILURES: Readonly<Record<TcpFailure, string>> = {
  refused: 'The peer has refused the connection',
  unreachable: 'There is no way to the peer',
  timeout: 'The peer does not answer',
  reset: 'The peer has reset the connection',
};

/** RFC 6298 §2.1. */
const INITIAL_RTO_MS = 1000;
const MIN_RTO_MS = 200;
const MAX_RTO_MS = 120_000;
/** Linux: tcp_syn_retries, two minutes. */
const MAX_SYN_RETRIES = 6;
/** Linux: tcp_retries2, a quarter of an hour. */
const MAX_RETRIES = 15;
const DUPLICATE_ACKS = 3;
/** How libuv sets the sockets of Node: so many questions, one a second. */
const KEEP_ALIVE_PROBES = 10;
const KEEP_ALIVE_PROBE_MS = 1000;
/** How long Linux answers for a connection that has ended. */
const TIME_WAIT_MS = 60_000;

type State = 'syn_sent' | 'syn_received' | 'established' | 'time_wait' | 'gone';

export class TcpConnection implements Pipe {
  sink: PipeSink | undefined;
  readonly releases = true;
  wireReceived = 0;
  wireSent = 0;
  readonly local: PacketAddr;
  readonly remote: PacketAddr;
  readonly #options: TcpConnectionOptions;
  readonly #sender: TcpSender;
  readonly #receiver: TcpReceiver;
  #state: State = 'syn_sent';
  #isPaused = true;
  #isDestroyed = false;
  #hasToldEnd = false;
  #isClosed = false;
  /** Retransmits, or asks for a window that is shut. */
  #timer: Timer | undefined;
  #retries = 0;
  /** Questions about a shut window since the peer was last heard. */
  #unanswered = 0;
  #duplicateAcks = 0;
  /** Losses below this number are being mended. */
  #recoverSeq = -1;
  #smoothedRttMs: number | undefined;
  #lastHeardMs: number;
  /** Asks a silent peer; once destroyed, lets go of one that does not end. */
  #keepAlive: Timer | undefined;

  constructor(options: TcpConnectionOptions) {
    this.#options = options;
    this.local = options.local;
    this.remote = options.remote;
    const first = Math.floor(options.random() * 2 ** 32);
    this.#sender = new TcpSender(first, options.windowBytes, options.random);
    this.#receiver = new TcpReceiver(options.windowBytes);
    this.#lastHeardMs = options.realm.nowMs();
  }

  get state(): State {
    return this.#state;
  }

  /** Begins the handshake. */
  open(): void {
    this.#send(this.#sender.takeSyn(this.#now()));
  }

  /** Answers the SYN of a peer. */
  accept({ tcp }: Packet): void {
    this.#state = 'syn_received';
    this.#receiver.begin(tcp!.seq);
    this.#sender.windowBytes = tcp!.windowBytes;
    this.open();
  }

  /** Ends at once and sends nothing: the handshake is not complete. */
  abandon(): void {
    this.#leave(undefined);
  }

  get unsentBytes(): number {
    return this.#sender.unsentBytes;
  }

  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    if (this.#isDestroyed || this.#isClosed || this.#sender.isEnding) {
      later(this.#options.realm, () => done(new Error('The pipe has ended')));
      return;
    }
    this.#sender.write(concatBytes(...pieces), done);
    this.#pump();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    later(this.#options.realm, () => this.#read());
  }

  unshift(chunk: Bytes): void {
    if (chunk.length > 0) this.#receiver.unshift(chunk);
  }

  end(): void {
    if (this.#sender.isEnding) return;
    this.#sender.isEnding = true;
    this.#pump();
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    // As TCP: what the kernel has still goes, unless something that came was never read.
    const hasUnread = this.#receiver.unreadBytes > 0;
    this.#failWrites('The pipe is gone');
    this.#receiver.discard();
    if (hasUnread) this.#reset();
    else {
      this.#sender.isEnding = true;
      this.#pump();
      this.#armOrphan();
    }
    this.#close(undefined);
  }

  /** A packet of this connection has come. */
  handlePacket(packet: Packet): void {
    const tcp = packet.tcp!;
    if (tcp.rst) this.#handleReset(tcp);
    else if (this.#state === 'syn_sent') this.#handleAnswer(tcp);
    else this.#handleSegment(packet, tcp);
  }

  #handleAnswer(tcp: TcpHeader): void {
    if (tcp.ack && tcp.ackSeq !== this.#sender.nextSeq) {
      // Of a connection before this one (RFC 9293 §3.10.7.3).
      this.#transmit({ rst: true, ack: false, seq: tcp.ackSeq }, EMPTY_BYTES);
      return;
    }
    if (!tcp.syn) return;
    this.#receiver.begin(tcp.seq);
    this.#sender.windowBytes = tcp.windowBytes;
    if (tcp.ack) {
      this.#handleAck(tcp, false);
      this.#establish();
      this.#acknowledge();
    } else {
      // Both have called at once: each answers the other's SYN (RFC 9293 §3.5, figure 8).
      this.#state = 'syn_received';
      this.#retransmit();
    }
  }

  #handleSegment(packet: Packet, tcp: TcpHeader): void {
    this.#lastHeardMs = this.#now();
    this.#unanswered = 0;
    if (tcp.syn && this.#state !== 'syn_received') {
      this.#acknowledge(); // A peer that has forgotten us answers with a reset (RFC 5961 §4).
      return;
    }
    if (tcp.ack) this.#handleAck(tcp, packet.payload.length === 0 && !tcp.fin);
    if (this.#state === 'syn_received') {
      if (this.#sender.isSynAcknowledged) this.#establish();
      else {
        if (tcp.syn) this.#retransmit();
        return;
      }
    }
    if (this.#isOver()) return;
    const { length } = packet.payload;
    if (length > 0 && this.#isDestroyed) {
      this.#reset();
      return;
    }
    if (length > 0 || tcp.fin) {
      const wasBytes = this.#receiver.receivedBytes;
      this.#receiver.receive(tcp.seq, packet.payload, tcp.fin);
      this.wireReceived += this.#receiver.receivedBytes - wasBytes;
      this.#read();
      this.#acknowledge();
    } else if (tcp.syn || tcp.seq < this.#receiver.nextSeq) this.#acknowledge(); // Asked whether we are still there.
    this.#pump();
    this.#finishIfOver();
  }

  #handleAck({ ackSeq, windowBytes }: TcpHeader, isBare: boolean): void {
    const sender = this.#sender;
    if (ackSeq < sender.acknowledgedSeq) return; // Overtaken by one that was sent later.
    const isNew = ackSeq > sender.acknowledgedSeq;
    const isSameWindow = windowBytes === sender.windowBytes;
    const wasBlocked = sender.isBlocked;
    sender.windowBytes = windowBytes;
    if (isNew) {
      const sentAtMs = sender.acknowledge(ackSeq);
      if (sentAtMs !== undefined) this.#measure(this.#now() - sentAtMs);
      this.#retries = 0;
      this.#duplicateAcks = 0;
      // A loss behind the one that was mended.
      if (ackSeq < this.#recoverSeq) this.#retransmit();
      this.#arm(true);
    } else if (isBare && isSameWindow && sender.isWaiting && ++this.#duplicateAcks === DUPLICATE_ACKS) {
      this.#recoverSeq = sender.nextSeq;
      this.#retransmit();
    }
    this.#pump();
    if (!wasBlocked || sender.isBlocked) return;
    this.#retries = 0;
    this.#arm(true);
  }

  #handleReset(tcp: TcpHeader): void {
    if (this.#state === 'syn_sent' || this.#state === 'syn_received') {
      if (tcp.ack && tcp.ackSeq !== this.#sender.nextSeq) return;
      if (!tcp.ack && tcp.seq !== this.#receiver.nextSeq) return;
      this.#leave(tcp.isUnreachable === true ? 'unreachable' : 'refused');
      return;
    }
    // Of a router that knows no way: it may find one.
    if (tcp.isUnreachable === true) return;
    if (tcp.ack ? tcp.ackSeq > this.#sender.nextSeq : !this.#receiver.isInWindow(tcp.seq)) return;
    this.#leave('reset');
  }

  #establish(): void {
    this.#state = 'established';
    this.#retries = 0;
    this.#armKeepAlive();
    this.#options.onEstablished();
    this.#pump();
  }

  /** Sends what fits into the window. */
  #pump(): void {
    if (this.#state !== 'established') return;
    for (let segment = this.#take(); segment !== undefined; segment = this.#take()) this.#send(segment);
    if (this.#sender.isBlocked) this.#arm(false);
    this.#finishIfOver();
  }

  #take(): SentSegment | undefined {
    return this.#sender.takeNext(this.#now(), (done) => later(this.#options.realm, done));
  }

  #send(segment: SentSegment): void {
    const { bytes, isFin, isSyn, seq } = segment;
    this.wireSent += bytes.length;
    const ack = !isSyn || this.#state === 'syn_received';
    this.#transmit({ syn: isSyn, fin: isFin, ack, seq }, bytes);
    this.#arm(false);
  }

  #retransmit(): void {
    const first = this.#sender.again();
    if (first !== undefined) this.#send(first);
  }

  #acknowledge(): void {
    this.#transmit({ ack: true, seq: this.#sender.nextSeq }, EMPTY_BYTES);
  }

  #reset(): void {
    this.#transmit({ rst: true, ack: false, seq: this.#sender.nextSeq }, EMPTY_BYTES);
    this.#leave(undefined);
  }

  #transmit(flags: Partial<TcpHeader> & { readonly seq: number }, payload: Bytes): void {
    const { nextSeq } = this.#receiver;
    const windowBytes = this.#receiver.advertise();
    const { syn = false, fin = false, rst = false, ack = false, seq } = flags;
    this.#options.transmit({ syn, fin, rst, ack, seq, ackSeq: ack ? nextSeq : 0, windowBytes }, payload);
  }

  #measure(rttMs: number): void {
    this.#smoothedRttMs = this.#smoothedRttMs === undefined ? rttMs : 0.875 * this.#smoothedRttMs + 0.125 * rttMs;
  }

  #rtoMs(): number {
    const base = this.#smoothedRttMs === undefined ? INITIAL_RTO_MS : Math.max(MIN_RTO_MS, 2 * this.#smoothedRttMs);
    return Math.min(base * 2 ** this.#retries, MAX_RTO_MS);
  }

  /** @param isAnew - the time begins again. */
  #arm(isAnew: boolean): void {
    if (this.#timer !== undefined && !isAnew && (this.#sender.isWaiting || this.#sender.isBlocked)) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!this.#sender.isWaiting && !this.#sender.isBlocked) return;
    const { clock } = this.#options.realm;
    this.#timer = clock.setTimer(clock.nowMs() + this.#rtoMs(), () => this.#onTimeout());
  }

  #onTimeout(): void {
    this.#timer = undefined;
    const isOpening = this.#state === 'syn_sent' || this.#state === 'syn_received';
    // A window that stays shut is no fault, as long as the peer says so.
    const isSilent = this.#sender.isWaiting || this.#unanswered >= MAX_RETRIES;
    if (isSilent && this.#retries >= (isOpening ? MAX_SYN_RETRIES : MAX_RETRIES)) {
      this.#leave('timeout');
      return;
    }
    this.#retries++;
    this.#recoverSeq = this.#sender.nextSeq;
    if (this.#sender.isWaiting) this.#retransmit();
    else {
      this.#unanswered++;
      this.#probe();
    }
    this.#arm(false);
  }

  /** Asks for an answer: a segment that the peer has already. */
  #probe(): void {
    this.#transmit({ ack: true, seq: this.#sender.nextSeq - 1 }, EMPTY_BYTES);
  }

  #armKeepAlive(): void {
    const { keepAliveMs, realm } = this.#options;
    if (keepAliveMs === undefined) return;
    const probe = (asked: number): void => {
      // Compared as a sum, as it is armed: a difference is rounded in another way, and the timer would be due for ever.
      const quietMs = this.#lastHeardMs + keepAliveMs;
      if (realm.nowMs() < quietMs) arm(quietMs, 0);
      else if (asked === KEEP_ALIVE_PROBES) this.#leave('timeout');
      else {
        this.#probe();
        arm(realm.nowMs() + KEEP_ALIVE_PROBE_MS, asked + 1);
      }
    };
    const arm = (atMs: number, asked: number): void => {
      this.#keepAlive = realm.clock.setTimer(atMs, () => probe(asked), { background: true });
    };
    arm(realm.nowMs() + keepAliveMs, 0);
  }

  #read(): void {
    while (!this.#isPaused && !this.#isDestroyed) {
      const piece = this.#receiver.take();
      if (piece === undefined) break;
      this.sink?.onData(piece);
    }
    if (this.#receiver.mustUpdate && this.#state === 'established') this.#acknowledge();
    if (this.#isPaused || this.#isDestroyed || !this.#receiver.hasEnded || this.#hasToldEnd) return;
    this.#hasToldEnd = true;
    this.sink?.onEnd();
    this.#finishIfOver();
  }

  /** Both halves have ended: the pipe is closed, and the host answers for the connection a while. */
  #finishIfOver(): void {
    if (this.#state !== 'established' || !this.#sender.hasSentFin) return;
    if (this.#hasToldEnd) this.#close(undefined);
    if (!this.#sender.isWaiting && this.#receiver.isFinished) this.#wait();
  }

  #wait(): void {
    this.#state = 'time_wait';
    this.#stopTimers();
    const { clock } = this.#options.realm;
    this.#timer = clock.setTimer(clock.nowMs() + TIME_WAIT_MS, () => this.#leave(undefined), { background: true });
  }

  /** Nobody holds it any more: a peer that does not close its half is not waited for. */
  #armOrphan(): void {
    if (this.#state !== 'established') return;
    const { clock } = this.#options.realm;
    this.#keepAlive?.cancel();
    const look = (): void => (this.#sender.isWaiting ? this.#armOrphan() : this.#leave(undefined));
    this.#keepAlive = clock.setTimer(clock.nowMs() + TIME_WAIT_MS, look, { background: true });
  }

  #isOver(): boolean {
    return this.#state === 'gone';
  }

  #leave(failure: TcpFailure | undefined): void {
    if (this.#state === 'gone') return;
    this.#state = 'gone';
    this.#stopTimers();
    this.#options.onGone(failure);
    this.#failWrites(failure === undefined ? 'The pipe is gone' : FAILURES[failure]);
    this.#close(failure === undefined ? undefined : new Error(FAILURES[failure]));
  }

  #failWrites(why: string): void {
    for (const done of this.#sender.dropWrites()) later(this.#options.realm, () => done(new Error(why)));
  }

  #stopTimers(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#keepAlive?.cancel();
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    later(this.#options.realm, () => this.sink?.onClose(error));
  }

  #now(): number {
    return this.#options.realm.nowMs();
  }
}
