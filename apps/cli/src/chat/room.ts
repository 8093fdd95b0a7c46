/**
 * A chat room: everybody in it is connected with everybody else, found by peer exchange from any one of them. What is
 * said goes to each member by itself, encrypted for it, and comes under the PeerID that its key proves.
 */

import { type Addr, type PeerId, Refusal, type SecureAskSwarm } from 'shoal';
import { concatBytes, decodeText, encodeText } from 'shoal/bytes';
import { type PeerExchange, peerExchange } from 'shoal/discovery';
import { type PrivateKey, peerIdOfKey } from 'shoal/keys';
import { type Mux, mux } from 'shoal/mux';
import { type PeerAddr, peerAddr, peerSwarm } from 'shoal/peer';
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
  | { readonly event: 'message'; readonly member: Member; readonly text: string }
  /** The clock of a peer differs, so its records are not valid here and it cannot be found. Positive when its clock is ahead. */
  | { readonly event: 'clock_differs'; readonly id: PeerId | undefined; readonly differenceMs: number };

/** Options of a room. */
export interface RoomOptions {
  readonly swarm: SecureAskSwarm<Addr>;
  /** The swarm's key. */
  readonly privateKey: PrivateKey;
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
/** How often one looks who is there. */
const ROUND_MS = 500;
/** A member that was silent for this long is greeted again; one that does not answer has left. */
const SILENT_MS = 5000;
const CALL_TIMEOUT_MS = 3000;
const GOODBYE_MS = 500;

const KIND = { hello: 0x48, say: 0x53, bye: 0x42 } as const;

interface Heard {
  readonly member: Member;
  heardMs: number;
}

export class Room implements AsyncDisposable {
  readonly #options: RoomOptions;
  readonly #id: PeerId;
  readonly #channels: Mux<string, SecureAskSwarm<Addr>>;
  readonly #peers: SecureAskSwarm<Addr>;
  readonly #exchange: PeerExchange<Addr>;
  readonly #chat: SecureAskSwarm<PeerAddr>;
  /** Bounded by {@link MAX_MEMBERS}. */
  readonly #members = new Map<PeerId, Heard>();
  /** Those that are being greeted. Bounded by the peer book. */
  readonly #greeting = new Set<PeerId>();
  /** Whose clocks differ, as was said. Bounded by {@link MAX_MEMBERS}. */
  readonly #clocks = new Set<PeerId | undefined>();
  #round: Timer | undefined;
  #left = false;

  constructor(options: RoomOptions) {
    const { swarm, privateKey, name } = options;
    checkText(name, 'name', MAX_NAME_BYTES);
    this.#options = options;
    this.#id = peerIdOfKey(privateKey.publicKey);
    this.#channels = mux<Addr, SecureAskSwarm<Addr>, 'string'>(swarm, 'string');
    this.#peers = this.#channels.open('peers');
    const addrs = (): readonly string[] => swarm.localAddrs().map(({ text }) => text);
    this.#exchange = peerExchange(this.#peers, {
      privateKey,
      addrs,
      maxPeers: MAX_MEMBERS,
      everyMs: ROUND_MS,
      fanOut: 1,
      onRecord: ({ id, withdrawn }) => withdrawn && this.#lose(id),
      onClockDiffers: (id, differenceMs) => this.#clockDiffers(id, differenceMs),
    });
    const source = (id: PeerId): Addr[] => this.#exchange.candidates(id).map(({ addr }) => this.#peers.parseAddr(addr));
    this.#chat = peerSwarm<Addr, SecureAskSwarm<Addr>>(this.#channels.open('chat'), { source });
    const { behind } = options;
    this.#chat.serve(async ({ src, payload }) => {
      await behind?.();
      return this.#greeted(src.id, payload);
    });
    this.#chat.listen(async ({ src, payload }) => {
      await behind?.();
      this.#hear(src.id, payload);
    });
    this.#arm();
  }

  get members(): readonly Member[] {
    return [...this.#members.values()].map(({ member }) => member);
  }

  /** Enters the room of the peer at `addr`. @throws {P2PError} when it does not answer. */
  async join(addr: Addr): Promise<void> {
    await this.#exchange.exchange(addr, { timeoutMs: CALL_TIMEOUT_MS });
    await Promise.all(this.#exchange.records.map(({ id }) => this.#greet(id)));
  }

  /** Tells everybody. @returns how many it could be handed to. @throws {RangeError} when it is too long. */
  async say(text: string): Promise<number> {
    const bytes = checkText(text, 'text', MAX_TEXT_BYTES);
    return this.#tellAll(concatBytes(Uint8Array.of(KIND.say), bytes));
  }

  /** Says goodbye, and closes the swarm. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#left = true;
    this.#round?.cancel();
    await Promise.all([
      this.#tellAll(Uint8Array.of(KIND.bye), GOODBYE_MS),
      this.#exchange.withdraw({ timeoutMs: GOODBYE_MS }),
    ]);
    await this.#chat.drain({ timeoutMs: GOODBYE_MS }).catch(() => undefined);
    await this.#channels.close();
  }

  async #tellAll(message: Uint8Array, timeoutMs: number = CALL_TIMEOUT_MS): Promise<number> {
    const ids = [...this.#members.keys()];
    const told = await Promise.allSettled(ids.map((id) => this.#chat.tell(peerAddr(id), message, { timeoutMs })));
    return told.filter(({ status }) => status === 'fulfilled').length;
  }

  #arm(): void {
    const { realm } = this.#options.swarm;
    this.#round = clockOf(realm).setTimer(realm.nowMs() + ROUND_MS, () => {
      if (this.#left) return;
      this.#look();
      this.#arm();
    });
  }

  /** Greets who is new or has been silent. */
  #look(): void {
    const now = this.#options.swarm.realm.nowMs();
    for (const { id } of this.#exchange.records) if (!this.#members.has(id)) void this.#greet(id);
    for (const [id, { heardMs }] of this.#members) if (now - heardMs > SILENT_MS) void this.#greet(id);
  }

  async #greet(id: PeerId): Promise<void> {
    if (id === this.#id || this.#greeting.has(id)) return;
    this.#greeting.add(id);
    try {
      const hello = concatBytes(Uint8Array.of(KIND.hello), encodeText(this.#options.name));
      this.#meet(id, await this.#chat.ask(peerAddr(id), hello, { timeoutMs: CALL_TIMEOUT_MS, maxResponseBytes: 1024 }));
    } catch {
      this.#lose(id);
    } finally {
      this.#greeting.delete(id);
    }
  }

  /** @throws {Refusal} when it is no greeting. */
  #greeted(id: PeerId, payload: Uint8Array): Uint8Array {
    if (payload[0] !== KIND.hello || !this.#meet(id, payload.subarray(1))) throw new Refusal('that is no greeting');
    return encodeText(this.#options.name);
  }

  /** Whether that is a name one can be called by. */
  #meet(id: PeerId, nameBytes: Uint8Array): boolean {
    const name = decodeText(nameBytes);
    if (name === undefined || name === '' || nameBytes.length > MAX_NAME_BYTES || this.#left) return false;
    const before = this.#members.get(id);
    const heardMs = this.#options.swarm.realm.nowMs();
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
    heard.heardMs = this.#options.swarm.realm.nowMs();
    if (payload[0] === KIND.bye) this.#lose(id);
    if (payload[0] !== KIND.say || payload.length > 1 + MAX_TEXT_BYTES) return;
    const text = decodeText(payload.subarray(1));
    if (text !== undefined) this.#options.onEvent({ event: 'message', member: heard.member, text });
  }

  #clockDiffers(id: PeerId | undefined, differenceMs: number): void {
    if (this.#clocks.has(id) || this.#clocks.size >= MAX_MEMBERS) return;
    this.#clocks.add(id);
    this.#options.onEvent({ event: 'clock_differs', id, differenceMs });
  }

  #lose(id: PeerId): void {
    this.#exchange.forget(id);
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
