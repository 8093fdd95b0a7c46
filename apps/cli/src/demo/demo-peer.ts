/**
 * One peer of the demo network. It knows at most one address and learns the others by peer exchange, from records signed by their
 * subjects. It greets each new peer over every link, sends tells and asks to all peers, counts what arrives, and considers silent peers
 * dead.
 */

import { type Addr, type Message, type PeerId, type Realm, type Request, Refusal, peerIdOf } from 'shoal';
import { type PeerExchange, type PeerRecord, peerExchange } from 'shoal/discovery';
import { type PrivateKey, peerIdOfKey } from 'shoal/keys';
import { mux } from 'shoal/mux';
import { type Blob, type Fetched, fetchBlob, makeBlob, patiently } from './blob.ts';
import { BULK_LINK, type DemoSwarm, linkOf } from './links.ts';
import {
  asKind,
  decodeBlobRequest,
  decodeHello,
  decodeNumbered,
  encodeHello,
  encodeNumbered,
  kindOf,
} from './messages.ts';
import { type PeerReport } from './reports.ts';
import { Tally } from './tally.ts';

/** Who a peer is and where. */
export interface PeerInfo {
  readonly id: PeerId;
  /** For people. */
  readonly name: string;
  readonly addrs: readonly string[];
}

/** What a peer needs to know. */
export interface DemoPeerOptions {
  readonly name: string;
  /** Where to begin; nowhere for the bootstrap peer. */
  readonly bootstrap?: string | undefined;
  /** Called when another peer is met for the first time, or again, and when one has fallen silent. */
  readonly onChange?: ((change: 'found' | 'lost', peer: PeerInfo) => void) | undefined;
}

/** A demo has as many peers as one table shows; more are not remembered. */
const MAX_PEERS = 64;
/** How often a peer asks another one whom it knows. */
const EXCHANGE_EVERY_MS = 200;
const TELL_EVERY_MS = 20;
const ASK_EVERY_MS = 50;
/** A peer that was silent for this long is considered dead: thirty times the time between two of its messages. */
const SILENT_MS = 1500;
const CALL_TIMEOUT_MS = 2000;
/** The first one brings a handshake with it. */
const GREETING_TIMEOUT_MS = 5000;
const MAX_FILLING_BYTES = 1000;

interface Known {
  readonly info: PeerInfo;
  /** Where it has been heard: a link is used when both sides have made contact over it. */
  readonly reached: Map<string, Addr>;
  heardAtMs: number;
  alive: boolean;
}

export class DemoPeer {
  readonly info: PeerInfo;
  readonly #swarm: DemoSwarm;
  readonly #exchange: PeerExchange<Addr>;
  readonly #options: DemoPeerOptions;
  readonly #tally: Tally;
  /** Peers that were met. Bounded by {@link MAX_PEERS}. The dead stay: a newer record of them brings them back. */
  readonly #known = new Map<PeerId, Known>();
  /** Addresses that a greeting is under way to, so that a slow machine is not greeted into the ground. Bounded as the peers. */
  readonly #greeting = new Set<string>();
  readonly #timers: NodeJS.Timeout[] = [];
  #blob: Blob | undefined;
  #fetchedBytes = 0;
  #quiet = false;

  constructor(links: DemoSwarm, privateKey: PrivateKey, options: DemoPeerOptions) {
    const channels = mux<Addr, DemoSwarm, 'string'>(links, 'string');
    this.#swarm = channels.open('demo');
    this.#exchange = peerExchange(channels.open('peers'), {
      privateKey,
      addrs: () => links.localAddrs().map(({ text }) => text),
      maxPeers: MAX_PEERS,
      onRecord: (record) => this.#hearOf(record),
    });
    this.#options = options;
    this.#tally = new Tally(links.realm);
    const { name } = options;
    this.info = { id: peerIdOfKey(privateKey.publicKey), name, addrs: this.#exchange.own.addrs };
    this.#swarm.listen((message) => this.#onTell(message));
    this.#swarm.serve((request) => this.#onAsk(request));
    this.#every(EXCHANGE_EVERY_MS, () => this.#exchangeWithSomebody());
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
    const known = this.#alive().map(({ info }) => info.name);
    return { ...this.#tally.report(), sessions, known, fetchedBytes: this.#fetchedBytes };
  }

  /**
   * Makes contact with the bootstrap peer.
   *
   * @throws {P2PError} when it does not answer.
   */
  async join(): Promise<void> {
    if (this.#options.bootstrap !== undefined) await this.#exchangeWith(this.#swarm.parseAddr(this.#options.bootstrap));
  }

  /** Fetches all the bytes that a peer has. @throws when it is not known, does not answer, or the hash is wrong. */
  async fetch(id: PeerId): Promise<Fetched> {
    // Others hand on only the addresses of it that they have reached; its own word has them all.
    if (this.#bulkAddr(id) === undefined) await this.#askForAddrs(id);
    const dst = this.#bulkAddr(id);
    if (dst === undefined) throw new Error(`Cannot fetch from ${id}: no address of it over ${BULK_LINK} is known`);
    return fetchBlob(this.#swarm, dst, this.#swarm.realm, (bytes) => (this.#fetchedBytes = bytes));
  }

  #bulkAddr(id: PeerId): Addr | undefined {
    const addrs = this.#exchange.record(id)?.addrs ?? [];
    return addrs.filter((text) => linkOf(text) === BULK_LINK).flatMap((text) => this.#parse(text))[0];
  }

  /** Has a peer say itself where it is, over a link on which it has been heard. */
  async #askForAddrs(id: PeerId): Promise<void> {
    const [heardFrom] = this.#known.get(id)?.reached.values() ?? [];
    if (heardFrom !== undefined) await patiently(this.#swarm.realm, () => this.#exchangeWith(heardFrom));
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

  async #exchangeWithSomebody(): Promise<void> {
    const now = this.#swarm.realm.nowMs();
    for (const known of this.#alive()) {
      if (now - known.heardAtMs <= SILENT_MS) continue;
      known.alive = false;
      this.#options.onChange?.('lost', known.info);
    }
    // Peers that are known and have not answered yet are greeted again.
    for (const record of this.#exchange.records) if (!this.#known.has(record.id)) this.#hearOf(record);
    const { bootstrap } = this.#options;
    const dst = this.#somebody() ?? (bootstrap === undefined ? undefined : this.#swarm.parseAddr(bootstrap));
    if (dst !== undefined) await this.#exchangeWith(dst);
  }

  async #exchangeWith(dst: Addr): Promise<void> {
    await this.#exchange.exchange(dst, { timeoutMs: CALL_TIMEOUT_MS });
  }

  /** A peer has said where it is: greet it over every link of it that this peer has, too. */
  #hearOf({ id, addrs }: PeerRecord): void {
    if (this.#known.size >= MAX_PEERS && !this.#known.has(id)) return;
    for (const dst of addrs.flatMap((text) => this.#parse(text))) {
      if (this.#greeting.has(dst.text)) continue;
      this.#greeting.add(dst.text);
      this.#swarm
        .ask(dst, encodeHello(this.info.name), { timeoutMs: GREETING_TIMEOUT_MS })
        .then((answer) => this.#meet(id, decodeHello(answer), dst))
        .catch(() => undefined) // it stays unknown over this link; the next round is another try
        .finally(() => this.#greeting.delete(dst.text));
    }
  }

  /** Notes that the peer `id` is called `name` and can be reached over `from`. */
  #meet(id: PeerId, name: string | undefined, from: Addr): void {
    const addrs = this.#exchange.record(id)?.addrs;
    if (name === undefined || addrs === undefined || id === this.info.id) return;
    const before = this.#known.get(id);
    if (before === undefined && this.#known.size >= MAX_PEERS) return;
    if (before === undefined || before.info.addrs.join() !== addrs.join()) {
      const info = { id, name, addrs };
      this.#known.set(id, { info, reached: new Map(), heardAtMs: 0, alive: before?.alive ?? false });
    }
    this.#exchange.reached({ id, addr: from.text, proof: 'dialled' });
    this.#heard(from);
    // Others hand on only those of its addresses that they have reached; its own word has them all.
    if (before === undefined) void this.#exchangeWith(from).catch(() => undefined);
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
    // A peer that was started again is greeted before anything else of it counts.
    if (known === undefined || !known.info.addrs.includes(src.text)) return;
    known.heardAtMs = this.#swarm.realm.nowMs();
    known.reached.set(src.text, src);
    if (known.alive) return;
    known.alive = true;
    this.#options.onChange?.('found', known.info);
  }

  #here(dst: Addr): string {
    const link = linkOf(dst.text);
    return this.info.addrs.find((addr) => linkOf(addr) === link) ?? '';
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
    // The peer that waits for the echo notices when it does not arrive.
    return this.#swarm.tell(src, asKind('echo', payload), { timeoutMs: CALL_TIMEOUT_MS }).catch(() => undefined);
  }

  #onAsk({ src, payload }: Request<Addr>): Uint8Array {
    const caller = decodeHello(payload);
    if (caller !== undefined) {
      const id = peerIdOf(src);
      if (id !== undefined) this.#meet(id, caller, src);
      return encodeHello(this.info.name);
    }
    this.#heard(src);
    const wanted = decodeBlobRequest(payload);
    if (wanted !== undefined) return this.#ownBlob().bytes.slice(wanted.offset, wanted.offset + wanted.length);
    if (kindOf(payload) === 'hash') return this.#ownBlob().hash.slice();
    if (decodeNumbered(payload)?.kind !== 'ask') throw new Refusal('that is no question');
    return payload;
  }

  #ownBlob(): Blob {
    return (this.#blob ??= makeBlob(this.info.id));
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
