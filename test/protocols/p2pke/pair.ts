/** Two channels and the link between them, in virtual time. */

import { decodeText, encodeText, type Bytes } from '../../../src/base/bytes.ts';
import type { Output } from '../../../src/base/machine.ts';
import type { PublicKey } from '../../../src/core/secure.ts';
import { generateKey } from '../../../src/identity/keys.ts';
import type { ChannelEvent, ChannelLimits } from '../../../src/protocols/p2pke/channel-options.ts';
import { createP2pkeIdentity, type P2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import { JudgedChannel } from './judged-channel.ts';

/** A stream of bytes that never repeats and is the same in every run. */
export function seededRandom(seed: number): (length: number) => Uint8Array<ArrayBuffer> {
  let state = seed >>> 0;
  return (length) => {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes[i] = state >>> 24;
    }
    return bytes;
  };
}

let identities = 0;

export function testIdentity(seed: number = ++identities): P2pkeIdentity {
  const random = seededRandom(seed);
  return createP2pkeIdentity({ privateKey: generateKey({ random }), random });
}

/** What the pair needs of an end: a channel has it, and so has the model of the original. */
export interface End {
  readonly dropped?: readonly string[];
  seal(now: number, wallMs: number, payload: Uint8Array): Bytes | undefined;
  handleDatagram(now: number, wallMs: number, datagram: Uint8Array): Bytes | undefined;
  handleTimeout(now: number): void;
  poll(): Output<Bytes, ChannelEvent>;
}

export interface Sent {
  readonly at: number;
  readonly counter: number;
  readonly bytes: Bytes;
}

/** One end, and all that happened there. */
export class Side<E extends End = End> {
  end: E;
  readonly received: { readonly at: number; readonly text: string }[] = [];
  readonly events: { readonly at: number; readonly event: ChannelEvent }[] = [];
  readonly sent: Sent[] = [];
  waiting: string[] = [];
  until: number | undefined;

  constructor(end: E) {
    this.end = end;
  }

  get texts(): string[] {
    return this.received.map(({ text }) => text);
  }

  count(type: ChannelEvent['type']): number {
    return this.events.filter(({ event }) => event.type === type).length;
  }

  drops(reason?: string): number {
    return (this.end.dropped ?? []).filter((each) => reason === undefined || each === reason).length;
  }

  sentWith(counter: number): number {
    return this.sent.filter((each) => each.counter === counter).length;
  }
}

/** What the link does with a datagram: false loses it, a number delays it by so many more ms, a list makes copies. */
export type Link = (from: 'a' | 'b', counter: number, index: number) => boolean | number | readonly number[];

export const WALL_MS = 1_700_000_000_000;

/** Two ends that talk over a link of `latencyMs` one way. */
export class Pair<A extends End = End, B extends End = End> {
  now = 0;
  readonly a: Side<A>;
  readonly b: Side<B>;
  link: Link = () => true;
  readonly latencyMs: number;
  readonly #flying: { readonly at: number; readonly order: number; readonly to: 'a' | 'b'; readonly bytes: Bytes }[] =
    [];
  #order = 0;

  constructor(a: A, b: B, latencyMs = 100) {
    this.a = new Side(a);
    this.b = new Side(b);
    this.latencyMs = latencyMs;
  }

  get wallMs(): number {
    return WALL_MS + this.now;
  }

  /** Sends a text now, or as soon as that end is ready. */
  send(from: 'a' | 'b', text: string): void {
    const side = this[from];
    const datagram = side.end.seal(this.now, this.wallMs, encodeText(text));
    if (datagram === undefined) side.waiting.push(text);
    else this.#fly(from, datagram);
    this.drain(from);
  }

  /** Hands a datagram to an end at once, whatever the link does. */
  deliver(to: 'a' | 'b', bytes: Uint8Array): void {
    const message = this[to].end.handleDatagram(this.now, this.wallMs, bytes);
    if (message !== undefined) this[to].received.push({ at: this.now, text: decodeText(message)! });
    this.drain(to);
  }

  #fly(from: 'a' | 'b', bytes: Bytes): void {
    const counter = new DataView(bytes.buffer).getUint32(0);
    const index = this[from].sentWith(counter);
    this[from].sent.push({ at: this.now, counter, bytes });
    const verdict = this.link(from, counter, index);
    if (verdict === false) return;
    const delays = verdict === true ? [0] : typeof verdict === 'number' ? [verdict] : verdict;
    for (const delay of delays) {
      this.#flying.push({
        at: this.now + this.latencyMs + delay,
        order: this.#order++,
        to: from === 'a' ? 'b' : 'a',
        bytes,
      });
    }
  }

  /** Takes an end's outputs. */
  drain(which: 'a' | 'b'): void {
    const side = this[which];
    for (;;) {
      const output = side.end.poll();
      if (output.type === 'wait') {
        side.until = output.until;
        return;
      }
      if (output.type === 'transmit') this.#fly(which, output.transmit);
      else {
        side.events.push({ at: this.now, event: output.event });
        if (output.event.type === 'ready') {
          const { waiting } = side;
          side.waiting = [];
          for (const text of waiting) this.send(which, text);
        }
      }
    }
  }

  /** Lets time pass up to `ms` from now. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.#flying.sort((x, y) => x.at - y.at || x.order - y.order);
      const arrival = this.#flying[0]?.at ?? Infinity;
      const next = Math.min(arrival, this.a.until ?? Infinity, this.b.until ?? Infinity);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (arrival <= this.now) {
        const { to, bytes } = this.#flying.shift()!;
        this.deliver(to, bytes);
      }
      for (const which of ['a', 'b'] as const) {
        if ((this[which].until ?? Infinity) > this.now) continue;
        this[which].end.handleTimeout(this.now);
        this.drain(which);
      }
    }
    this.now = end;
  }
}

export interface ChannelPair {
  readonly pair: Pair<JudgedChannel, JudgedChannel>;
  readonly alice: P2pkeIdentity;
  readonly bob: P2pkeIdentity;
}

/** A channel for `identity` that takes the key of `peer` and no other. */
export function channelFor(identity: P2pkeIdentity, peer: P2pkeIdentity, limits: ChannelLimits = {}): JudgedChannel {
  const accept = (key: PublicKey): boolean => key.spki.every((byte, i) => byte === peer.publicKey.spki[i]);
  return new JudgedChannel({ identity, accept, refusal: 'identity_mismatch', limits });
}

/** Two channels that take each other's key. */
export function channelPair(latencyMs = 100, limits: ChannelLimits = {}): ChannelPair {
  const alice = testIdentity(1);
  const bob = testIdentity(2);
  return { alice, bob, pair: new Pair(channelFor(alice, bob, limits), channelFor(bob, alice, limits), latencyMs) };
}
