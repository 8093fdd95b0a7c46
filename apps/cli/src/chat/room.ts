/**
 * A chat room: everybody in it is connected with everybody else. A peer that enters greets one member, and learns of the others from
 * its answer. What is said goes to each member by itself, encrypted for it, and comes under the PeerID that its key proves.
 */

import { type CandidateSource, type PeerId, Refusal } from 'shoal';
import { concatBytes, decodeText, encodeText } from 'shoal/bytes';
import { isPeerId } from 'shoal/keys';
import type { Peers } from 'shoal/peers';
import { type Timer, clockOf } from 'shoal/swarm-kit';

/** Somebody in the room. */
export interface Member {
  readonly id: PeerId;
  /** As it calls itself: for people, never a proof of anything. */
  readonly name: string;
}

/** What happens in a room. */
export type RoomEvent =
  | { readonly event: 'joined' | 'left'; readonly member: Member }
  | { readonly event: 'message'; readonly member: Member; readonly text: string };

/** Options of a room. */
export interface RoomOptions {
  readonly peers: Peers;
  /** The same that `peers` was opened with as a source. */
  readonly proven: ProvenAddrs;
  readonly name: string;
  /** Called for every event. While its promise is pending, nothing is read from members. */
  readonly onEvent: (event: RoomEvent) => void;
  /** Resolves when further events can be taken; `undefined` when they can be now. @default they always can */
  readonly behind?: (() => Promise<void> | undefined) | undefined;
}

/** UTF-8 bytes of a name, and of what is said at once. */
export const MAX_NAME_BYTES = 64;
export const MAX_TEXT_BYTES = 8192;
const MAX_MEMBERS = 256;
/** How often one looks who is there, and asks a member whom it knows. */
const ROUND_MS = 500;
/** A member that was silent for this long is greeted again; one that does not answer has left. */
const SILENT_MS = 5000;
const CALL_TIMEOUT_MS = 3000;
const GOODBYE_MS = 500;

/** Bytes of an answer to a greeting: the members, with one address each. */
const MAX_ANSWER_BYTES = MAX_MEMBERS * 320;
const MAX_ADDR_BYTES = 255;
/** How long what a member says of the address of another one is worth a try. */
const CLAIM_MS = 600_000;

const KIND = { hello: 0x48, say: 0x53, bye: 0x42 } as const;

interface Heard {
  readonly member: Member;
  heardMs: number;
}

/** Hears from the connection manager at which addresses peers were dialled: only those are handed on. */
export class ProvenAddrs implements CandidateSource {
  /** The last address of each. Bounded by {@link MAX_MEMBERS}: the oldest goes. */
  readonly #addrs = new Map<PeerId, string>();

  candidates(): readonly never[] {
    return [];
  }

  reached({ id, addr, proof }: Parameters<NonNullable<CandidateSource['reached']>>[0]): void {
    if (proof === undefined) return;
    this.#addrs.delete(id);
    this.#addrs.set(id, addr);
    for (const oldest of this.#addrs.keys()) {
      if (this.#addrs.size <= MAX_MEMBERS) return;
      this.#addrs.delete(oldest);
    }
  }

  of(id: PeerId): string | undefined {
    return this.#addrs.get(id);
  }
}

export class Room implements AsyncDisposable {
  readonly #options: RoomOptions;
  readonly #peers: Peers;
  /** Bounded by {@link MAX_MEMBERS}. */
  readonly #members = new Map<PeerId, Heard>();
  /** Those that are being greeted. Bounded by the members, and by those that one answer names. */
  readonly #greeting = new Map<PeerId, Promise<void>>();
  readonly #serving: readonly Disposable[];
  #round: Timer | undefined;
  #rounds = 0;
  #left = false;

  constructor(options: RoomOptions) {
    const { peers, name, behind } = options;
    checkText(name, 'name', MAX_NAME_BYTES);
    this.#options = options;
    this.#peers = peers;
    const serving = peers.serve(async ({ src, payload }) => {
      await behind?.();
      return this.#greeted(src.id, payload);
    });
    const listening = peers.listen(async ({ src, payload }) => {
      await behind?.();
      this.#hear(src.id, payload);
    });
    this.#serving = [serving, listening];
    this.#arm();
  }

  get members(): readonly Member[] {
    return [...this.#members.values()].map(({ member }) => member);
  }

  /** Enters the room of a peer. @throws {P2PError} when it does not answer. */
  async join(id: PeerId): Promise<void> {
    await this.#ask(id);
    await Promise.all(this.#greeting.values());
  }

  /** Tells everybody. @returns how many it could be handed to. @throws {RangeError} when it is too long. */
  async say(text: string): Promise<number> {
    const bytes = checkText(text, 'text', MAX_TEXT_BYTES);
    return this.#tellAll(concatBytes(Uint8Array.of(KIND.say), bytes));
  }

  /** Says goodbye. The connection manager stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#left = true;
    this.#round?.cancel();
    await this.#tellAll(Uint8Array.of(KIND.bye), GOODBYE_MS);
    await this.#peers.drain({ timeoutMs: GOODBYE_MS }).catch(() => undefined);
    for (const each of this.#serving) each[Symbol.dispose]();
  }

  async #tellAll(message: Uint8Array, timeoutMs: number = CALL_TIMEOUT_MS): Promise<number> {
    const dsts = Array.from(this.#members.keys(), (id) => this.#peers.parseAddr(id));
    const told = await Promise.allSettled(dsts.map((dst) => this.#peers.tell(dst, message, { timeoutMs })));
    return told.filter(({ status }) => status === 'fulfilled').length;
  }

  #arm(): void {
    const { realm } = this.#peers;
    this.#round = clockOf(realm).setTimer(realm.nowMs() + ROUND_MS, () => {
      if (this.#left) return;
      for (const id of this.#members.keys()) if (this.#isSilent(id)) this.#greet(id);
      // One after the other, to learn of those whom they know.
      const ids = [...this.#members.keys()];
      if (ids.length > 0) this.#greet(ids[this.#rounds++ % ids.length]!);
      this.#arm();
    });
  }

  #isSilent(id: PeerId): boolean {
    const heardMs = this.#members.get(id)?.heardMs;
    return heardMs !== undefined && this.#peers.realm.nowMs() - heardMs > SILENT_MS;
  }

  /** Greets a peer, unless that is under way. One that is silent and does not answer has left. */
  #greet(id: PeerId): void {
    if (id === this.#peers.id || this.#greeting.has(id) || this.#greeting.size >= MAX_MEMBERS) return;
    const greeting = this.#ask(id)
      .catch(() => (this.#isSilent(id) ? this.#lose(id) : undefined))
      .finally(() => this.#greeting.delete(id));
    this.#greeting.set(id, greeting);
  }

  async #ask(id: PeerId): Promise<void> {
    const hello = concatBytes(Uint8Array.of(KIND.hello), encodeText(this.#options.name));
    const limits = { timeoutMs: CALL_TIMEOUT_MS, maxResponseBytes: MAX_ANSWER_BYTES };
    const answer = await this.#peers.ask(this.#peers.parseAddr(id), hello, limits);
    const nameEnd = 1 + (answer[0] ?? 0);
    if (!this.#meet(id, answer.subarray(1, nameEnd))) throw new Refusal('that is no greeting');
    this.#hearOf(id, decodeText(answer.subarray(nameEnd)) ?? '');
  }

  /** Others in the room, by the word of one of them: greets those that are new. */
  #hearOf(from: PeerId, others: string): void {
    const seenMs = this.#peers.realm.wallMs();
    for (const line of others.split('\n', MAX_MEMBERS)) {
      const [id = '', addr = ''] = line.split(' ', 2);
      if (!isPeerId(id) || id === from || this.#members.has(id) || addr.length > MAX_ADDR_BYTES) continue;
      const claim = { id, addr, source: 'room', trust: 'claimed', seenMs, expiresMs: seenMs + CLAIM_MS } as const;
      if (addr !== '') this.#peers.add(claim);
      this.#greet(id);
    }
  }

  /** @throws {Refusal} when it is no greeting. */
  #greeted(id: PeerId, payload: Uint8Array): Uint8Array {
    if (payload[0] !== KIND.hello || !this.#meet(id, payload.subarray(1))) throw new Refusal('that is no greeting');
    const name = encodeText(this.#options.name);
    const others = [...this.#members.keys()].filter((other) => other !== id);
    const lines = others.map((other) => `${other} ${this.#options.proven.of(other) ?? ''}`);
    return concatBytes(Uint8Array.of(name.length), name, encodeText(lines.join('\n')));
  }

  /** Whether that is a name one can be called by. */
  #meet(id: PeerId, nameBytes: Uint8Array): boolean {
    const name = decodeText(nameBytes);
    if (name === undefined || name === '' || nameBytes.length > MAX_NAME_BYTES || this.#left) return false;
    const before = this.#members.get(id);
    const heardMs = this.#peers.realm.nowMs();
    if (before?.member.name === name) before.heardMs = heardMs;
    else {
      if (before === undefined && this.#members.size >= MAX_MEMBERS) return false;
      const member = { id, name };
      this.#members.set(id, { member, heardMs });
      this.#options.onEvent({ event: 'joined', member });
    }
    return true;
  }

  #hear(id: PeerId, payload: Uint8Array): void {
    const heard = this.#members.get(id);
    if (heard === undefined) return;
    heard.heardMs = this.#peers.realm.nowMs();
    if (payload[0] === KIND.bye) this.#lose(id);
    if (payload[0] !== KIND.say || payload.length > 1 + MAX_TEXT_BYTES) return;
    const text = decodeText(payload.subarray(1));
    if (text !== undefined) this.#options.onEvent({ event: 'message', member: heard.member, text });
  }

  #lose(id: PeerId): void {
    const heard = this.#members.get(id);
    if (heard === undefined || this.#left) return;
    this.#members.delete(id);
    this.#options.onEvent({ event: 'left', member: heard.member });
  }
}

/** @throws {RangeError} when it is empty or too long. */
function checkText(text: string, label: string, maxBytes: number): Uint8Array {
  const bytes = encodeText(text);
  if (bytes.length < 1 || bytes.length > maxBytes) {
    throw new RangeError(`Cannot take ${label}: expected 1 to ${maxBytes} bytes, got ${bytes.length}`);
  }
  return bytes;
}
