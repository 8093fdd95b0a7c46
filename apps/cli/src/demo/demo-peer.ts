/**
 * One peer of the demo network. It knows one address at most; all others it learns by asking whom it knows whom they
 * know. It tells and asks everybody, counts what comes, and forgets who has fallen silent.
 */

import { type Addr, type Message, type PeerId, type Realm, type Request, Refusal, peerIdOf } from 'shoal';
import { type DemoSwarm, linkOf } from './links.ts';
import {
  MAX_PEERS,
  type PeerRecord,
  asKind,
  decodeHello,
  decodeNumbered,
  encodeHello,
  encodeNumbered,
} from './messages.ts';
import { type PeerReport } from './reports.ts';
import { Tally } from './tally.ts';

/** What a peer needs to know. */
export interface DemoPeerOptions {
  readonly name: string;
  /** Where to begin; nowhere for the bootstrap peer. */
  readonly bootstrap?: string | undefined;
  /** Called when another peer is heard of for the first time, or again, and when one has fallen silent. */
  readonly onChange?: ((change: 'found' | 'lost', record: PeerRecord) => void) | undefined;
}

/** How often a peer asks another one whom it knows. */
const HELLO_EVERY_MS = 200;
const TELL_EVERY_MS = 20;
const ASK_EVERY_MS = 50;
/** A peer that has not been heard for so long is taken for dead: thirty times the time between two messages of it. */
const SILENT_MS = 1500;
const CALL_TIMEOUT_MS = 2000;
const MAX_FILLING_BYTES = 1000;

interface Known {
  readonly record: PeerRecord;
  /** Where it has been heard: a link is used when both sides have made contact over it. */
  readonly reached: Map<string, Addr>;
  heardAtMs: number;
  alive: boolean;
}

export class DemoPeer {
  readonly record: PeerRecord;
  readonly #swarm: DemoSwarm;
  readonly #options: DemoPeerOptions;
  readonly #tally: Tally;
  /** Peers that were met. Bounded by MAX_PEERS. The dead stay, so that hearsay does not bring them back where they were. */
  readonly #known = new Map<PeerId, Known>();
  /** Peers that were heard of, and have been greeted without an answer yet. Bounded by MAX_PEERS. */
  readonly #greeted = new Set<PeerId>();
  readonly #timers: NodeJS.Timeout[] = [];
  #quiet = false;

  constructor(swarm: DemoSwarm, id: PeerId, options: DemoPeerOptions) {
    this.#swarm = swarm;
    this.#options = options;
    this.#tally = new Tally(swarm.realm);
    this.record = { id, name: options.name, addrs: swarm.localAddrs().map(({ text }) => text) };
    swarm.listen((message) => this.#onTell(message));
    swarm.serve((request) => this.#onAsk(request));
    this.#every(HELLO_EVERY_MS, () => this.#sayHello());
    this.#every(TELL_EVERY_MS, () => this.#tellSomebody());
    this.#every(ASK_EVERY_MS, () => this.#askSomebody());
  }

  /** Ends the sending of new messages; what comes is still answered and counted. */
  quiet(): void {
    this.#quiet = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Everything counted so far. */
  report(sessions: number): PeerReport {
    const known = this.#alive().map(({ record }) => record.name);
    return { ...this.#tally.report(), sessions, known };
  }

  /**
   * Makes contact with the bootstrap peer.
   *
   * @throws {P2PError} when it does not answer.
   */
  async join(): Promise<void> {
    if (this.#options.bootstrap !== undefined) await this.#hello(this.#swarm.parseAddr(this.#options.bootstrap));
  }

  #every(ms: number, act: () => Promise<void>): void {
    // A call that fails is counted where it is made; the next round is another try.
    this.#timers.push(setInterval(() => void act().catch(() => undefined), ms));
  }

  #alive(): Known[] {
    return [...this.#known.values()].filter(({ alive }) => alive);
  }

  #somebody(): Addr | undefined {
    const alive = this.#alive();
    const addrs = [...(alive[this.#below(alive.length)]?.reached.values() ?? [])];
    return addrs[this.#below(addrs.length)];
  }

  #below(limit: number): number {
    const [high = 0, low = 0] = this.#swarm.realm.random(2);
    return limit === 0 ? 0 : (high * 256 + low) % limit;
  }

  async #sayHello(): Promise<void> {
    const now = this.#swarm.realm.nowMs();
    for (const known of this.#alive()) {
      if (now - known.heardAtMs <= SILENT_MS) continue;
      known.alive = false;
      this.#options.onChange?.('lost', known.record);
    }
    const { bootstrap } = this.#options;
    const dst = this.#somebody() ?? (bootstrap === undefined ? undefined : this.#swarm.parseAddr(bootstrap));
    if (dst !== undefined) await this.#hello(dst);
  }

  /** Says who this is, and learns whom the other one knows. */
  async #hello(dst: Addr): Promise<void> {
    const answer = await this.#swarm.ask(dst, encodeHello([this.record]), { timeoutMs: CALL_TIMEOUT_MS });
    for (const record of decodeHello(answer) ?? []) {
      if (record.id === peerIdOf(dst)) this.#meet(record, dst);
      else this.#hearOf(record);
    }
  }

  /** A peer has said itself who and where it is, from one of its addresses, and its key proves it. */
  #meet(record: PeerRecord, from: Addr): void {
    const { id } = record;
    const before = this.#known.get(id);
    if (id === this.record.id || (before === undefined && this.#known.size >= MAX_PEERS)) return;
    const moved = before === undefined || before.record.addrs.join() !== record.addrs.join();
    if (moved) this.#known.set(id, { record, reached: new Map(), heardAtMs: 0, alive: before?.alive ?? false });
    this.#heard(from);
    if (!moved) return;
    const others = record.addrs.filter((text) => text !== from.text);
    for (const dst of others.flatMap((text) => this.#parse(text))) this.#hello(dst).catch(() => undefined);
  }

  /** Somebody says that there is such a peer: reason enough to greet it, unless it is known, or known to be gone. */
  #hearOf(record: PeerRecord): void {
    const { id } = record;
    const before = this.#known.get(id);
    const gone = before !== undefined && !before.alive && before.record.addrs.join() === record.addrs.join();
    if (id === this.record.id || before?.alive === true || gone) return;
    if (this.#greeted.has(id) || this.#greeted.size >= MAX_PEERS) return;
    const [dst] = record.addrs.flatMap((text) => this.#parse(text));
    if (dst === undefined) return;
    this.#greeted.add(id);
    // Without an answer it stays unknown, and may be heard of again.
    this.#hello(dst)
      .catch(() => undefined)
      .finally(() => this.#greeted.delete(id));
  }

  /** Addresses of a link that this peer does not have are left out. */
  #parse(text: string): readonly Addr[] {
    try {
      const addr = this.#swarm.parseAddr(text);
      return this.#swarm.mtu(addr) > 0 ? [addr] : [];
    } catch {
      return [];
    }
  }

  #heard(src: Addr): void {
    const id = peerIdOf(src);
    const known = id === undefined ? undefined : this.#known.get(id);
    // A peer that was started again says hello before anything else counts.
    if (known === undefined || !known.record.addrs.includes(src.text)) return;
    known.heardAtMs = this.#swarm.realm.nowMs();
    known.reached.set(src.text, src);
    if (known.alive) return;
    known.alive = true;
    this.#options.onChange?.('found', known.record);
  }

  #here(dst: Addr): string {
    const link = linkOf(dst.text);
    return this.record.addrs.find((addr) => linkOf(addr) === link) ?? '';
  }

  async #tellSomebody(): Promise<void> {
    const dst = this.#somebody();
    if (dst === undefined || this.#quiet) return;
    const filling = this.#swarm.realm.random(this.#below(MAX_FILLING_BYTES));
    const seq = this.#tally.nextTell(this.#here(dst), dst.text);
    const message = encodeNumbered('tell', seq, filling);
    this.#tally.told(dst.text, seq, message.length);
    await this.#swarm.tell(dst, message, { timeoutMs: CALL_TIMEOUT_MS });
  }

  async #askSomebody(): Promise<void> {
    const dst = this.#somebody();
    if (dst === undefined || this.#quiet) return;
    const done = this.#tally.asking();
    const question = encodeNumbered('ask', 0, this.#swarm.realm.random(16));
    const answer = await this.#swarm.ask(dst, question, { timeoutMs: CALL_TIMEOUT_MS }).catch(() => undefined);
    done(answer?.length === question.length);
    if (answer !== undefined) this.#heard(dst);
  }

  #onTell({ src, dst, payload }: Message<Addr>): Promise<void> | void {
    const message = decodeNumbered(payload);
    if (message === undefined) return undefined;
    this.#heard(src);
    if (message.kind === 'echo') this.#tally.echoed(src.text, message.seq);
    if (message.kind !== 'tell') return undefined;
    this.#tally.received(dst.text, src.text, message.seq, payload.length);
    // Whether the echo arrives is the business of whoever waits for it.
    return this.#swarm.tell(src, asKind('echo', payload), { timeoutMs: CALL_TIMEOUT_MS }).catch(() => undefined);
  }

  #onAsk({ src, payload }: Request<Addr>): Uint8Array {
    const [caller] = decodeHello(payload) ?? [];
    if (caller !== undefined) {
      if (caller.id !== peerIdOf(src)) throw new Refusal('that is not your PeerID');
      this.#meet(caller, src);
      return encodeHello([this.record, ...this.#alive().map(({ record }) => record)]);
    }
    if (decodeNumbered(payload)?.kind !== 'ask') throw new Refusal('that is no question');
    this.#heard(src);
    return payload;
  }
}

/** The realm, with its handshakes counted. */
export function countSessions(realm: Realm): { readonly realm: Realm; readonly sessions: () => number } {
  let sessions = 0;
  return {
    realm: {
      ...realm,
      trace: (event) => {
        realm.trace?.(event);
        if (event.type === 'session') sessions++;
      },
    },
    sessions: () => sessions,
  };
}
