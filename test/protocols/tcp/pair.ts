/** Two sessions of the TCP swarm's protocol and a pipe between them, with time of our own making. */

import assert from 'node:assert/strict';

import type { Bytes } from '../../../src/base/bytes.ts';
import type { TcpClosed, TcpEvent } from '../../../src/protocols/tcp/events.ts';
import { FrameReader } from '../../../src/protocols/tcp/frame-reader.ts';
import type { TcpFrame } from '../../../src/protocols/tcp/frames.ts';
import { TcpSession, type TcpSessionOptions } from '../../../src/protocols/tcp/session.ts';

const DEFAULTS: TcpSessionOptions = {
  maxMessageBytes: 16_777_216,
  windowBytes: 4_194_304,
  port: 0,
  idleTimeoutMs: 60_000,
};

/** One end, what it has told, and what is on its way from it. */
export class End {
  readonly session: TcpSession;
  readonly events: TcpEvent[] = [];
  /** In order; taken by the pipe. */
  sent: Bytes[] = [];
  /** All frames that it has sent. */
  readonly frames: TcpFrame[] = [];
  readonly #frames = new FrameReader();
  /** Whether handlers are done with tells at once. */
  readsTells = true;
  /** Answers requests, if it does. */
  serve: ((id: number, payload: Bytes) => void) | undefined;
  until: number | undefined;

  constructor(options: Partial<TcpSessionOptions>, now: number) {
    this.session = new TcpSession({ ...DEFAULTS, ...options }, now);
  }

  poll(): void {
    for (let output = this.session.poll(); ; output = this.session.poll()) {
      if (output.type === 'transmit') {
        for (const piece of output.transmit) {
          this.sent.push(piece);
          this.#frames.push(piece);
          for (let frame; (frame = this.#frames.next()) !== undefined;) {
            assert.ok(frame !== 'malformed');
            this.frames.push(frame);
          }
        }
      } else if (output.type === 'event') {
        const { event } = output;
        this.events.push(event);
        if (event.type === 'tell' && this.readsTells) this.session.release(event.payload.length);
        if (event.type === 'request') this.serve?.(event.id, event.payload);
      } else {
        this.until = output.until;
        return;
      }
    }
  }

  of<T extends TcpEvent['type']>(type: T): (TcpEvent & { readonly type: T })[] {
    return this.events.filter((event): event is TcpEvent & { readonly type: T } => event.type === type);
  }

  ended(): TcpClosed | undefined {
    return this.of('closed')[0]?.closed;
  }

  /** The payloads of tells that came. */
  get told(): readonly Bytes[] {
    return this.of('tell').map(({ payload }) => payload);
  }
}

export class Pair {
  now = 1000;
  readonly alice: End;
  readonly bob: End;

  constructor(alices: Partial<TcpSessionOptions> = {}, bobs: Partial<TcpSessionOptions> = {}) {
    this.alice = new End(alices, this.now);
    this.bob = new End(bobs, this.now);
  }

  /** Both have said hello. */
  static open(alices: Partial<TcpSessionOptions> = {}, bobs: Partial<TcpSessionOptions> = {}): Pair {
    const pair = new Pair(alices, bobs);
    pair.run();
    assert.ok(pair.alice.session.isOpen && pair.bob.session.isOpen);
    return pair;
  }

  /** Carries one piece from one end to the other; false when there is none. */
  carry(from: End, to: End): boolean {
    from.poll();
    const piece = from.sent.shift();
    if (piece === undefined) return false;
    from.session.handleFlushed(piece.length);
    this.hand(to, piece);
    return true;
  }

  /** Until nothing is on its way. */
  run(): void {
    for (let busy = true; busy;)
      busy = [this.carry(this.alice, this.bob), this.carry(this.bob, this.alice)].includes(true);
  }

  /** Lets time pass, with everything that is due. */
  advance(ms: number, carry = true): void {
    const end = this.now + ms;
    for (;;) {
      if (carry) this.run();
      for (const each of [this.alice, this.bob]) each.poll();
      const next = Math.min(this.alice.until ?? Infinity, this.bob.until ?? Infinity);
      if (next > end) break;
      this.now = Math.max(next, this.now);
      for (const each of [this.alice, this.bob]) each.session.handleTimeout(this.now);
    }
    this.now = end;
  }

  /** Bytes that a peer of our own making sends to bob. */
  inject(bytes: Uint8Array): void {
    this.hand(this.bob, Uint8Array.from(bytes));
  }

  /** Hands bytes in, and has them read as far as there is memory. */
  hand(to: End, piece: Bytes): void {
    let state = to.session.handleBytes(this.now, piece);
    for (to.poll(); state === 'more'; to.poll()) state = to.session.readOn(this.now);
  }
}
