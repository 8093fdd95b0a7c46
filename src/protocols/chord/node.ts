/**
 * A node of a ring, sans-IO: the corrected protocol of Chord (Zave, "Reasoning About Identifier Spaces: How to Make Chord
 * Correct", 2017), not the one that was published first. A list of successors instead of one; a node becomes the first
 * successor only after it has answered; a predecessor is replaced only by one that is nearer, or when it does not answer.
 *
 * Beyond the paper: a node that has lost all successors, and rings that were parted, look for each other by nodes that were
 * seen before.
 */

import { type Bytes, compareBytes, equalBytes } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { distanceForward, isBetween } from './distance.ts';
import { type Flow, call } from './flows.ts';
import { KnownPeers } from './known-peers.ts';
import {
  type ChordFound,
  encodeFound,
  encodeNeighbours,
  encodeRequest,
  readFound,
  readNeighbours,
  readRequest,
} from './messages.ts';
import { type ChordPeer, RingTable } from './ring-table.ts';

/** How a node behaves. */
export interface ChordNodeOptions {
  /** The own address as text. */
  readonly addr: string;
  /** The place of an address; `undefined` for a text that is no address. */
  readonly idOf: (addr: string) => Bytes | undefined;
  /** That of the network, in every message. */
  readonly tag: Bytes;
  readonly maxSuccessors: number;
  /** Between two rounds of upkeep. */
  readonly everyMs: number;
  readonly callTimeoutMs: number;
  /** Lookups and joins at a time. */
  readonly maxLookups: number;
}

/** A request to send. */
export interface ChordTransmit {
  /** For {@link ChordNode.handleAnswer}. */
  readonly call: number;
  readonly to: string;
  readonly payload: Bytes;
  readonly timeoutMs: number;
}

/** How a lookup ended. */
export interface ChordLookup {
  /** The node at or behind the key, and those behind it, as far as they are known; empty when the lookup failed. */
  readonly owners: readonly ChordPeer[];
  /** Nodes that answered on the way, in their order. */
  readonly path: readonly string[];
  /** Nodes that did not. */
  readonly silent: readonly string[];
  readonly why: 'found' | 'silent' | 'not_closer' | 'too_many';
}

/** What a node reports. */
export type ChordEvent =
  | { readonly type: 'lookup'; readonly lookup: number; readonly result: ChordLookup }
  | { readonly type: 'joined'; readonly join: number; readonly isIn: boolean }
  | { readonly type: 'neighbours' }
  | { readonly type: 'dropped'; readonly reason: 'malformed' | 'unknown_call' | 'too_many_notifies' };

/** Requests of one lookup: no ring has so many hops. */
const MAX_ASKS = 128;
/** Notifications that are checked at a time: in all, and of one network. Of one asker it is one. */
const MAX_NOTIFIES = 16;
const MAX_NOTIFIES_PER_NETWORK = 4;
/** Every so many rounds a node asks another part of the ring for itself. */
const ROUNDS_PER_SEARCH = 6;

interface Running {
  readonly flow: Flow<unknown>;
  readonly done: (result: unknown) => void;
  /** Nobody waits for it any more. */
  isOver: boolean;
}

/** Who sends a request. */
export interface ChordSource {
  /** Its address as text. */
  readonly addr: string;
  /** What it shares with others of the same owner: its network, or its address where it is in none. */
  readonly network: string;
}

export class ChordNode implements Machine<ChordTransmit, ChordEvent> {
  readonly table: RingTable;
  readonly #options: ChordNodeOptions;
  readonly #outputs: Output<ChordTransmit, ChordEvent>[] = []; // Bounded by the calls, lookups and inputs between two polls.
  /** Bounded by upkeep (1), `maxLookups` and {@link MAX_NOTIFIES}. */
  readonly #calls = new Map<number, Running>();
  /** Networks of the notifications that are being checked, by asker. Bounded by {@link MAX_NOTIFIES}. */
  readonly #notifying = new Map<string, string>();
  /** Lookups and joins of the program. Bounded by `maxLookups`. */
  readonly #own = new Map<number, Running>();
  readonly #known = new KnownPeers();
  #calling = 0;
  #nextLookup = 0;
  #nextAtMs: Millis;
  #isBusy = false;
  #round = 0;
  #finger: number | undefined;
  #isStopped = false;

  /** @throws {TypeError} when the own address has no place. */
  constructor(now: Millis, options: ChordNodeOptions) {
    this.#options = options;
    const self = this.#peer(options.addr);
    if (self === undefined) throw new TypeError(`Cannot take addr: ${options.addr} is no address of the ring`);
    this.table = new RingTable(self, options.maxSuccessors);
    // Spread over the period, so that the nodes of one start do not all ask at once.
    this.#nextAtMs = now + (options.everyMs * self.id[0]!) / 256;
  }

  /** Pending lookups and joins. */
  get lookups(): number {
    return this.#own.size;
  }

  /** Enters the ring of the first of these nodes that answers; event `joined`. @returns its number, or `undefined` when too many are pending. */
  join(addrs: readonly string[]): number | undefined {
    this.#known.give(addrs);
    return this.#startOwn(this.#join(addrs), (join, isIn) => ({ type: 'joined', join, isIn }));
  }

  /** Looks up who is at or behind a key; event `lookup`. @returns its number, or `undefined` when too many are pending. */
  lookup(key: Bytes): number | undefined {
    return this.#startOwn(this.#find(key, undefined), (lookup, result) => ({ type: 'lookup', lookup, result }));
  }

  /** Nobody waits for a lookup or join any more: it ends with the request that is under way, without an event. */
  end(number: number): void {
    const running = this.#own.get(number);
    if (running !== undefined) running.isOver = true;
  }

  /** Ends: nothing more is asked, and there are no more events of pending lookups and joins. */
  stop(): void {
    this.#isStopped = true;
    for (const running of this.#calls.values()) running.flow.return(undefined);
    this.#calls.clear();
    this.#own.clear();
  }

  /** @returns the answer, or `undefined` for what is no request of this ring. */
  handleRequest(source: ChordSource, payload: Bytes): Bytes | undefined {
    const request = readRequest(payload, this.#options.tag);
    if (request === undefined) {
      this.#event({ type: 'dropped', reason: 'malformed' });
      return undefined;
    }
    if (request.type === 'find') return encodeFound(this.table.find(request.key));
    const { predecessor, successors } = this.table;
    if (request.type === 'notify') this.#notified(source, request.addr);
    return encodeNeighbours({
      predecessor: predecessor?.addr,
      successors: successors.map(({ addr }) => addr),
    });
  }

  /** @param answer - `undefined`: the node did not answer, or refused. */
  handleAnswer(call: number, answer: Bytes | undefined): void {
    const running = this.#calls.get(call);
    if (running === undefined) {
      if (!this.#isStopped) this.#event({ type: 'dropped', reason: 'unknown_call' });
      return;
    }
    this.#calls.delete(call);
    this.#step(running, answer);
  }

  handleTimeout(now: Millis): void {
    if (now < this.#nextAtMs || this.#isStopped) return;
    this.#nextAtMs = now + this.#options.everyMs;
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#start(this.#upkeep(), () => (this.#isBusy = false));
  }

  poll(): Output<ChordTransmit, ChordEvent> {
    return this.#outputs.shift() ?? { type: 'wait', until: this.#isStopped ? undefined : this.#nextAtMs };
  }

  // Conversations.

  *#upkeep(): Flow<void> {
    this.#round++;
    yield* this.#stabilise();
    yield* this.#checkPredecessor();
    yield* this.#fixFinger();
    if (this.#round % ROUNDS_PER_SEARCH === 1 || this.table.isAlone) yield* this.#search();
  }

  /** Learns from the successor who is behind it, and whether somebody is between. */
  *#stabilise(): Flow<void> {
    const { table } = this;
    if (table.isAlone) {
      if (table.predecessor === undefined) return;
      table.setSuccessors([table.predecessor]);
    }
    // Dead successors go one by one; the list is bounded.
    for (;;) {
      const { successor } = table;
      if (table.isAlone) return;
      const state = yield* call(successor.addr, { type: 'state' }, readNeighbours);
      if (state === undefined) {
        this.#gone(successor.addr);
        continue;
      }
      this.#known.reached(successor.addr);
      this.#adopt(successor, state.successors);
      const between = state.predecessor === undefined ? undefined : this.#peer(state.predecessor);
      if (between !== undefined && isBetween(between.id, table.self.id, successor.id)) {
        const nearer = yield* call(between.addr, { type: 'state' }, readNeighbours);
        if (nearer !== undefined) {
          this.#known.reached(between.addr);
          this.#adopt(between, [...nearer.successors, successor.addr, ...state.successors]);
        }
      }
      yield* call(table.successor.addr, { type: 'notify', addr: table.self.addr }, readNeighbours);
      return;
    }
  }

  *#checkPredecessor(): Flow<void> {
    const { predecessor } = this.table;
    if (predecessor === undefined) return;
    const state = yield* call(predecessor.addr, { type: 'state' }, readNeighbours);
    if (state === undefined && this.table.predecessor === predecessor) this.#gone(predecessor.addr);
  }

  /** Looks one finger up, a further one each round. */
  *#fixFinger(): Flow<void> {
    if (this.table.isAlone) return;
    this.#finger = this.table.nextFinger(this.#finger);
    const bit = this.#finger;
    const { owners } = yield* this.#find(this.table.fingerStart(bit), undefined);
    if (owners.length > 0) this.table.setFinger(bit, owners[0]!);
  }

  /** Asks nodes that were seen before for this node: in another ring, somebody else is in its place. */
  *#search(): Flow<void> {
    const known = this.#known.next(this.table.self.addr);
    if (known !== undefined) yield* this.#enter(known);
  }

  *#join(addrs: readonly string[]): Flow<boolean> {
    for (const addr of addrs) {
      if (addr !== this.table.self.addr && (yield* this.#enter(addr))) return true;
    }
    return !this.table.isAlone;
  }

  /** Finds the successor in the ring of another node, and takes it where it is nearer than the own one. */
  *#enter(addr: string): Flow<boolean> {
    const { self } = this.table;
    const start = this.#peer(addr);
    if (start === undefined) return false;
    const { owners, why } = yield* this.#find(self.id, start);
    if (why !== 'found') return false;
    for (const owner of owners) {
      if (this.#isSelf(owner)) return true;
      const isNearer = this.table.isAlone || isBetween(owner.id, self.id, this.table.successor.id);
      if (!isNearer) return true;
      const state = yield* call(owner.addr, { type: 'state' }, readNeighbours);
      if (state === undefined) continue;
      this.#known.reached(owner.addr);
      this.#adopt(owner, [...state.successors, ...this.table.successors.map((peer) => peer.addr)]);
      yield* call(owner.addr, { type: 'notify', addr: self.addr }, readNeighbours);
      return true;
    }
    return false;
  }

  /**
   * Goes from node to node, each closer before the key than the last, until one knows who is at or behind it. Without a
   * start it begins with what this node knows.
   */
  *#find(key: Bytes, start: ChordPeer | undefined): Flow<ChordLookup> {
    const path: string[] = [];
    const silent: string[] = [];
    const asked = new Set<string>(); // Bounded by MAX_ASKS.
    const result = (why: ChordLookup['why'], owners: readonly ChordPeer[] = []): ChordLookup => ({
      owners,
      path,
      silent,
      why,
    });
    /** Who is to be asked, the closest to the key first. Bounded by what MAX_ASKS answers name. */
    let ahead: readonly ChordPeer[] = start === undefined ? [] : [start];
    let nearest: Bytes | undefined;
    let found: ChordFound | undefined = start === undefined ? this.table.find(key) : undefined;
    for (;;) {
      if (found !== undefined) {
        const peers = found.addrs.flatMap((addr) => this.#peer(addr) ?? []);
        if (found.kind === 'owners' && peers.length > 0) return result('found', peers);
        const away = (peer: ChordPeer): Bytes => distanceForward(key, peer.id);
        // Only what is strictly closer is followed, so that no answers can go on for ever.
        const closer = peers.filter(
          (peer) => !asked.has(peer.addr) && (nearest === undefined || compareBytes(away(peer), nearest) < 0),
        );
        ahead = [...closer, ...ahead].toSorted((a, b) => compareBytes(away(a), away(b))).slice(0, MAX_ASKS);
      }
      const [next, ...rest] = ahead;
      if (next === undefined) return result(path.length === 0 ? 'silent' : 'not_closer');
      if (asked.size >= MAX_ASKS) return result('too_many');
      ahead = rest;
      if (asked.has(next.addr)) {
        found = undefined;
        continue;
      }
      asked.add(next.addr);
      found = yield* call(next.addr, { type: 'find', key }, readFound);
      if (found === undefined) {
        silent.push(next.addr);
        this.#gone(next.addr);
        continue;
      }
      path.push(next.addr);
      // The start of a search in another ring need not be before the key.
      if (next !== start) nearest = distanceForward(key, next.id);
    }
  }

  /** Somebody says that it is before this node. It is, if it answers, and is nearer than the one that is known or that one is gone. */
  #notified({ addr: asker, network }: ChordSource, addr: string): void {
    const peer = this.#peer(addr);
    if (peer === undefined || this.#isSelf(peer) || addr === this.table.predecessor?.addr) return;
    const ofNetwork = [...this.#notifying.values()].filter((other) => other === network).length;
    if (this.#notifying.has(asker) || ofNetwork >= MAX_NOTIFIES_PER_NETWORK || this.#notifying.size >= MAX_NOTIFIES) {
      this.#event({ type: 'dropped', reason: 'too_many_notifies' });
      return;
    }
    this.#notifying.set(asker, network);
    this.#start(this.#rectify(peer), () => this.#notifying.delete(asker));
  }

  *#rectify(peer: ChordPeer): Flow<void> {
    const { table } = this;
    const isNearer = (): boolean =>
      table.predecessor === undefined || isBetween(peer.id, table.predecessor.id, table.self.id);
    if (!isNearer()) {
      const old = table.predecessor!;
      const state = yield* call(old.addr, { type: 'state' }, readNeighbours);
      if (state !== undefined) return;
      if (table.predecessor === old) this.#gone(old.addr);
    }
    const state = yield* call(peer.addr, { type: 'state' }, readNeighbours);
    if (state === undefined || !isNearer()) return;
    this.#known.reached(peer.addr);
    table.predecessor = peer;
    this.#event({ type: 'neighbours' });
  }

  // Parts.

  #adopt(first: ChordPeer, behind: readonly string[]): void {
    const { table } = this;
    const before = table.successors;
    table.setSuccessors([first, ...behind.flatMap((addr) => this.#peer(addr) ?? [])]);
    const isSame =
      before.length === table.successors.length && before.every(({ addr }, i) => addr === table.successors[i]!.addr);
    if (!isSame) this.#event({ type: 'neighbours' });
  }

  #gone(addr: string): void {
    const { table } = this;
    const wasNear = table.predecessor?.addr === addr || table.successors.some((peer) => peer.addr === addr);
    table.remove(addr);
    if (wasNear) this.#event({ type: 'neighbours' });
  }

  /** Whether this is the own place, under whatever address. */
  #isSelf({ id }: ChordPeer): boolean {
    return equalBytes(id, this.table.self.id);
  }

  #peer(addr: string): ChordPeer | undefined {
    const id = this.#options.idOf(addr);
    return id && { addr, id };
  }

  #event(event: ChordEvent): void {
    this.#outputs.push({ type: 'event', event });
  }

  #start(flow: Flow<unknown>, done: (result: unknown) => void): void {
    this.#step({ flow, done, isOver: false }, undefined);
  }

  /** What the program waits for. @returns its number. */
  #startOwn<R>(flow: Flow<R>, eventOf: (number: number, result: R) => ChordEvent): number | undefined {
    if (this.#own.size >= this.#options.maxLookups) return undefined;
    const number = this.#nextLookup++;
    const done = (result: unknown): void => {
      this.#own.delete(number);
      if (!running.isOver) this.#event(eventOf(number, result as R));
    };
    const running: Running = { flow, done, isOver: false };
    this.#own.set(number, running);
    this.#step(running, undefined);
    return number;
  }

  #step(running: Running, answer: Bytes | undefined): void {
    if (this.#isStopped) return;
    const { done, value } = running.isOver ? running.flow.return(undefined) : running.flow.next(answer);
    if (done === true) {
      running.done(value);
      return;
    }
    const { to, request } = value;
    const { tag, callTimeoutMs: timeoutMs } = this.#options;
    const id = this.#calling++;
    this.#calls.set(id, running);
    this.#outputs.push({
      type: 'transmit',
      transmit: { call: id, to, payload: encodeRequest(tag, request), timeoutMs },
    });
  }
}
