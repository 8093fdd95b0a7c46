/**
 * One peer of the demo network. A peer that connects is greeted, and kept: a peer that was lost is found again by its PeerID. It sends
 * tells and asks to all that are there, and counts what arrives.
 */

import { type Message, type PeerId, type Request, Refusal } from 'shoal';
import type { PeerAddr, PeerChange, Peers, ReachKind } from 'shoal/peers';
import { type Fetched, fetchBlob, sendBlob } from './blob.ts';
import { type Hello, decodeHello, decodeNumbered, encodeHello, encodeNumbered } from './messages.ts';
import type { PathNews, PeerReport } from './reports.ts';
import { Tally } from './tally.ts';

/** A peer that was met. */
export interface Met extends Hello {
  readonly id: PeerId;
}

/** What a peer needs to know. */
export interface DemoPeerOptions extends Hello {
  /** Called when another peer is met for the first time, or again, and when one is gone. */
  readonly onChange?: ((change: 'found' | 'lost', peer: Met) => void) | undefined;
  /** Called when a peer is reached by way of a relay, and when it is so no more. */
  readonly onPath?: ((news: PathNews) => void) | undefined;
}

/** More are not remembered. */
const MAX_PEERS = 64;
const TELL_EVERY_MS = 20;
const ASK_EVERY_MS = 50;
const CALL_TIMEOUT_MS = 2000;
const GREET_AGAIN_MS = 1000;
const MAX_FILLING_BYTES = 1000;

interface Known {
  readonly met: Met;
  readonly addr: PeerAddr;
  alive: boolean;
}

export class DemoPeer {
  readonly #peers: Peers;
  readonly #options: DemoPeerOptions;
  readonly #tally: Tally;
  /** Peers that were met. Bounded by {@link MAX_PEERS}. The dead stay. */
  readonly #known = new Map<PeerId, Known>();
  /** Since when peers are reached by way of a relay. Bounded by {@link MAX_PEERS}. */
  readonly #relayedMs = new Map<PeerId, number>();
  readonly #timers: NodeJS.Timeout[] = [];
  #sessions = 0;
  #fetchedBytes = 0;
  #quiet = false;

  constructor(peers: Peers, options: DemoPeerOptions) {
    this.#peers = peers;
    this.#options = options;
    this.#tally = new Tally(peers.realm);
    peers.listen((message) => this.#onTell(message));
    peers.serve((request) => this.#onAsk(request));
    peers.onStream((stream) => sendBlob(peers.id, stream));
    void this.#watch();
    this.#every(TELL_EVERY_MS, () => this.#tellSomebody());
    this.#every(ASK_EVERY_MS, () => this.#askSomebody());
    this.#every(GREET_AGAIN_MS, () => this.#greetAgain());
  }

  /** Ends the sending of new messages; what comes is still answered and counted. */
  quiet(): void {
    this.#quiet = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Everything counted so far. */
  report(): PeerReport {
    const known = this.#alive().map(({ met }) => met.name);
    const paths = { direct: 0, punch: 0, relay: 0 };
    for (const { path } of this.#peers.list()) if (path !== undefined) paths[path.kind]++;
    return { ...this.#tally.report(), sessions: this.#sessions, known, paths, fetchedBytes: this.#fetchedBytes };
  }

  /** Fetches all the bytes that a peer has. @throws when it does not answer, or the hash is wrong. */
  fetch(id: PeerId): Promise<Fetched> {
    return fetchBlob(this.#peers, id, this.#peers.realm, (bytes) => (this.#fetchedBytes = bytes));
  }

  async #watch(): Promise<void> {
    for await (const change of this.#peers.changes()) this.#changed(change);
  }

  #changed(change: PeerChange): void {
    if (change.type === 'connected') this.#sessions++;
    // Without a path the session lives on: messages wait for the next one.
    if (change.type === 'lost' || (change.type === 'path' && change.path === undefined)) this.#gone(change.id);
    else if (change.type === 'connected' || change.type === 'path') {
      this.#notePath(change.id, change.path!.kind);
      this.#greet(change.id);
    }
  }

  #notePath(id: PeerId, kind: ReachKind): void {
    const sinceMs = this.#relayedMs.get(id);
    const nowMs = this.#peers.realm.nowMs();
    if ((kind === 'relay') === (sinceMs !== undefined)) return;
    if (sinceMs !== undefined) this.#relayedMs.delete(id);
    else if (this.#relayedMs.size < MAX_PEERS) this.#relayedMs.set(id, nowMs);
    this.#options.onPath?.({ type: 'path', id, kind, relayedMs: sinceMs && nowMs - sinceMs });
  }

  #greet(id: PeerId): void {
    const question = encodeHello(this.#options);
    this.#peers
      .ask(this.#peers.parseAddr(id), question, { timeoutMs: CALL_TIMEOUT_MS })
      .then((answer) => this.#meet(id, decodeHello(answer)))
      .catch(() => undefined); // It is greeted again, as long as it is connected.
  }

  /** Greets peers that are connected and have not answered: a machine may be too busy for the first greeting. */
  #greetAgain(): void {
    for (const { id, path } of this.#peers.list()) {
      if (path !== undefined && this.#known.get(id)?.alive !== true) this.#greet(id);
    }
  }

  #meet(id: PeerId, hello: Hello | undefined): void {
    const before = this.#known.get(id);
    if (hello === undefined || (before === undefined && this.#known.size >= MAX_PEERS)) return;
    if (before?.alive === true && before.met.pid === hello.pid) return;
    const met = { ...hello, id };
    this.#known.set(id, { met, addr: this.#peers.parseAddr(id), alive: true });
    this.#peers.maintain(id);
    this.#options.onChange?.('found', met);
  }

  #gone(id: PeerId): void {
    const known = this.#known.get(id);
    if (known?.alive !== true) return;
    known.alive = false;
    this.#options.onChange?.('lost', known.met);
  }

  #every(ms: number, act: () => void | Promise<void>): void {
    // A call that fails is counted where it is made; the next round is another try.
    const round = async (): Promise<void> => act();
    this.#timers.push(setInterval(() => void round().catch(() => undefined), ms));
  }

  #alive(): Known[] {
    return [...this.#known.values()].filter(({ alive }) => alive);
  }

  #somebody(): Known | undefined {
    const alive = this.#quiet ? [] : this.#alive();
    return alive[this.#below(alive.length)];
  }

  #below(limit: number): number {
    const [high = 0, low = 0] = this.#peers.realm.random(2);
    return limit === 0 ? 0 : (high * 256 + low) % limit;
  }

  async #tellSomebody(): Promise<void> {
    const somebody = this.#somebody();
    if (somebody === undefined) return;
    const [from, to] = [this.#options.pid, somebody.met.pid];
    const seq = this.#tally.nextTell(from, to);
    const filling = this.#peers.realm.random(this.#below(MAX_FILLING_BYTES));
    const message = encodeNumbered({ kind: 'tell', from, to, seq }, filling);
    this.#tally.told(to, seq, message.length);
    await this.#peers.tell(somebody.addr, message, { timeoutMs: CALL_TIMEOUT_MS });
  }

  async #askSomebody(): Promise<void> {
    const somebody = this.#somebody();
    if (somebody === undefined) return;
    const [from, to] = [this.#options.pid, somebody.met.pid];
    const done = this.#tally.asking();
    const question = encodeNumbered({ kind: 'ask', from, to, seq: 0 }, this.#peers.realm.random(16));
    const timeoutMs = CALL_TIMEOUT_MS;
    const answer = await this.#peers.ask(somebody.addr, question, { timeoutMs }).catch(() => undefined);
    done(answer?.length === question.length);
  }

  #onTell({ src, payload }: Message<PeerAddr>): Promise<void> | void {
    const message = decodeNumbered(payload);
    const { pid } = this.#options;
    // What was on its way to the process before this one is not for this one.
    if (message === undefined || message.to !== pid) return undefined;
    const { kind, from, seq } = message;
    if (kind === 'echo') this.#tally.echoed(from, seq);
    if (kind !== 'tell') return undefined;
    this.#tally.received(pid, from, seq, payload.length);
    const echo = encodeNumbered({ kind: 'echo', from: pid, to: from, seq }, new Uint8Array());
    // The peer that waits for the echo notices when it does not arrive.
    return this.#peers.tell(src, echo, { timeoutMs: CALL_TIMEOUT_MS }).catch(() => undefined);
  }

  #onAsk({ src, payload }: Request<PeerAddr>): Uint8Array {
    const caller = decodeHello(payload);
    if (caller !== undefined) {
      this.#meet(src.id, caller);
      return encodeHello(this.#options);
    }
    if (decodeNumbered(payload)?.kind !== 'ask') throw new Refusal('that is no question');
    return payload;
  }
}
