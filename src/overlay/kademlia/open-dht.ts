/** Opens a node of the DHT over any swarm that authenticates and can ask. */

import { toHex, type Bytes, copyBytes } from '../../base/bytes.ts';
import { assertBytes, describeValue, wholeNumber } from '../../base/checks.ts';
import type { Addr } from '../../core/addr.ts';
import { canAsk } from '../../core/ask.ts';
import type { Candidate, CandidateOptions, ReachedCandidate } from '../../core/candidate.ts';
import { P2PError } from '../../core/errors.ts';
import { encodePeerId, type PeerId } from '../../core/peer-id.ts';
import type { Timer } from '../../core/realm.ts';
import { isSecure, type SecureAskSwarm } from '../../core/secure.ts';
import type { CallOptions, Closed } from '../../core/swarm.ts';
import { TextAddrs } from '../../core/text-addrs.ts';
import type { PeerRecord } from '../../discovery/peer-record.ts';
import type { KademliaNode } from '../../protocols/kademlia/node.ts';
import type { KadEvent, LookupReport, NodeRef, StoreReport, Times } from '../../protocols/kademlia/node-types.ts';
import { keyBytes, type KeyText, keyText } from '../../protocols/kademlia/position.ts';
import { CloseLatch } from '../../runtime/close-latch.ts';
import { rejection } from '../../runtime/promises.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { checkCall, Waits } from '../../runtime/waits.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import type {
  Dht,
  DhtContact,
  DhtFound,
  DhtInspection,
  DhtJoined,
  DhtRecordsFound,
  DhtStored,
  DhtStoreOptions,
  DhtValue,
} from './dht.ts';
import { type DhtPeer, explain, type LookupExplanation, NOTHING, peerOf } from './explain.ts';
import { ownKey, rawOf } from './arguments.ts';
import { type ByPeerId, NodeDriver } from './node-driver.ts';
import { type DhtOptions, type ResolvedDhtOptions, resolveDhtOptions } from './options.ts';

/** The first pause before a join that reached nobody is repeated; it doubles up to ten minutes. */
const REJOIN_MS = 5000;
const MAX_REJOIN_MS = 600_000;
/** Explanations of lookups that are kept. */
const MAX_EXPLAINED = 16;
/** The largest number of providers that one lookup collects. */
const MAX_PROVIDERS = 256;
/** Names of the forms, by their number. */
const FORMS = ['unknown', 'binary', 'json'] as const;

/**
 * Opens a node of a DHT. It takes the swarm's serve slot, so give it its own channel (`mux`) where the program asks too.
 *
 * @param swarm - any swarm that authenticates and can ask: memory, QUIC, TCP, `mbapp` over p2pke, a `mux` channel of them.
 * @throws {TypeError | RangeError} (at once) for invalid options, and when the swarm has a serve handler.
 *
 * @example
 * ```ts
 * await using dht = await openDht(swarm, { networkName: 'my-app', privateKey, bootstrap: ['<PeerID>@203.0.113.7:4000'] });
 * await dht.ready;
 * await dht.announce();
 * const { records } = await dht.lookup(bobId);
 * ```
 */
export function openDht<A extends Addr>(swarm: SecureAskSwarm<A>, options: DhtOptions<A>): Promise<Dht<A>> {
  if (typeof swarm !== 'object' || swarm === null || !canAsk(swarm) || !isSecure(swarm)) {
    throw new TypeError(`Cannot take swarm: expected one that authenticates and can ask, got ${describeValue(swarm)}`);
  }
  return Promise.resolve(startDht(swarm, options));
}

/** Makes a node at once. @param byPeerId - for a swarm whose addresses are PeerIDs */
export function startDht<A extends Addr>(
  swarm: SecureAskSwarm<A>,
  options: DhtOptions<A>,
  byPeerId?: ByPeerId<A>,
): LiveDht<A> {
  return new LiveDht(swarm, options, resolveDhtOptions(options), byPeerId);
}

export class LiveDht<A extends Addr> implements Dht<A> {
  readonly id: PeerId;
  readonly counters: CounterSet;
  readonly ready: Promise<DhtJoined>;
  readonly #swarm: SecureAskSwarm<A>;
  readonly #options: DhtOptions<A>;
  readonly #resolved: ResolvedDhtOptions;
  readonly #driver: NodeDriver<A>;
  readonly #texts: TextAddrs<A>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  /** What waits for an event of the machine, by its number. Bounded by the pending calls. */
  readonly #ops = new Map<number, (event: KadEvent) => void>();
  /** Bounded by {@link MAX_EXPLAINED}. */
  readonly #explained: LookupExplanation[] = [];
  #rejoin: Timer | undefined;

  constructor(swarm: SecureAskSwarm<A>, options: DhtOptions<A>, resolved: ResolvedDhtOptions, byPeerId?: ByPeerId<A>) {
    const { realm } = swarm;
    this.#swarm = swarm;
    this.#options = options;
    this.#resolved = resolved;
    this.#texts = new TextAddrs((text) => swarm.parseAddr(text));
    // A text that is no address is an error of the program: it must not cost the other ones.
    const bootstrap = this.#texts.listOf(options.bootstrap ?? [], 'bootstrap');
    this.counters = new CounterSet('dht', swarm.counters);
    this.#waits = new Waits(realm);
    this.#latch = new CloseLatch({ realm, layer: 'dht', release: () => this.#release() });
    const hooks = {
      event: (event: KadEvent) => this.#event(event),
      failed: (bug: Error) => this.#latch.fail(bug),
    };
    this.#driver = new NodeDriver(swarm, options, resolved, this.counters, hooks, byPeerId);
    this.id = this.#driver.id;
    this.ready = this.#begin(bootstrap);
    void swarm.closed.then(({ cause }) => this.#latch.fail(cause));
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  async join(nodes: readonly (A | string)[] = [], options?: CallOptions): Promise<DhtJoined> {
    checkCall(options);
    const given = await this.#given(nodes, options);
    const joined = await this.#join(given, options);
    if (joined.explain.answered > 0 || (nodes.length === 0 && given.length === 0)) return joined;
    throw new P2PError('unreachable', 'path', `Cannot join the DHT: ${joined.explain.text}`, { sent: 'maybe' });
  }

  async ping(node: A | string, options?: CallOptions): Promise<number> {
    const [ref] = await this.#given([node], options);
    const failure = (): P2PError =>
      new P2PError('unreachable', 'path', `Cannot ping ${describeValue(String(node))}: it does not answer`);
    if (ref === undefined) throw failure();
    const pong = await this.#wait('ping a node', options, (machine, times) => machine.ping(times, ref));
    if (pong.type !== 'pong' || pong.rttMs === undefined) throw failure();
    return pong.rttMs;
  }

  async findNode(
    id: PeerId | string,
    options?: CallOptions & { readonly untilFound?: boolean | undefined },
  ): Promise<DhtFound> {
    const peer = rawOf(id);
    const untilFound = options?.untilFound ?? false;
    const found = await this.#wait(`find ${id}`, options, (machine, times) => machine.find(times, peer, untilFound));
    if (found.type !== 'found') throw this.#latch.error('find a node');
    const explained = this.#explain(found.report);
    return { peers: explained.nearest, peer: explained.nearest.find((each) => each.id === id), explain: explained };
  }

  put(key: Uint8Array, value: Uint8Array, options?: DhtStoreOptions): Promise<DhtStored> {
    return this.putMany([[key, value]], options);
  }

  putMany(
    entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>,
    options: DhtStoreOptions = {},
  ): Promise<DhtStored> {
    const { maxValueBytes } = this.#resolved.node;
    const ttlMs = this.#ttlOf(options);
    const known = new Set<string>(); // Bounded by the entries of the caller.
    const list = Array.from(entries, ([key, value]) => {
      const own = ownKey(key);
      assertBytes(value, 'value');
      if (value.length > maxValueBytes) {
        throw new RangeError(
          `Cannot put: value of ${value.length} bytes, limit is ${maxValueBytes} bytes (maxValueBytes)`,
        );
      }
      const name = keyText(own);
      if (known.has(name)) throw new RangeError('Cannot put: a key is there twice');
      known.add(name);
      return { key: own, value: copyBytes(value), ttlMs };
    });
    this.#checkRoom(
      list.map(({ key }) => key),
      options,
    );
    return this.#store(options, (machine, times) => machine.put(times, list, options.republish ?? true));
  }

  async get(key: Uint8Array, options?: CallOptions): Promise<DhtValue> {
    const own = ownKey(key);
    const found = await this.#wait('get a value', options, (machine, times) => machine.get(times, own));
    if (found.type !== 'value') throw this.#latch.error('get a value');
    const value = found.value === undefined ? undefined : copyBytes(found.value);
    return { value, ttlMs: found.ttlMs, explain: this.#explain(found.report) };
  }

  announce(keys?: Iterable<Uint8Array>, options: DhtStoreOptions = {}): Promise<DhtStored> {
    if (this.#resolved.privateKey === undefined) {
      throw new TypeError('Cannot announce: open the DHT with privateKey, which signs the record');
    }
    const ttlMs = this.#ttlOf(options);
    const list = keys === undefined ? undefined : Array.from(keys, ownKey);
    this.#checkRoom(list ?? [], options);
    return this.#store(options, (machine, times) => machine.announce(times, list, ttlMs, options.republish ?? true));
  }

  forget(key: Uint8Array): boolean {
    return this.#driver.machine.forget(ownKey(key));
  }

  async lookup(id: PeerId | string, options?: CallOptions): Promise<DhtRecordsFound> {
    return this.#records(`look up ${id}`, { peer: rawOf(id) }, 1, options);
  }

  providers(
    key: Uint8Array,
    options?: CallOptions & { readonly limit?: number | undefined },
  ): Promise<DhtRecordsFound> {
    const limit = wholeNumber(options?.limit, 'limit', 16, 1, MAX_PROVIDERS);
    return this.#records('find providers', { key: ownKey(key) }, limit, options);
  }

  candidates(id?: PeerId, options: CandidateOptions = {}): Iterable<Candidate> | AsyncIterable<Candidate> {
    return id === undefined ? this.#anybody() : this.#candidatesOf(id, options);
  }

  reached({ id, addr, proof }: ReachedCandidate): void {
    if (proof !== undefined) this.#driver.records.book.noteReached(id, addr);
  }

  /** It has become known that others can reach a peer. */
  reachable(id: PeerId): void {
    this.#driver.run((machine, times) => machine.reachable(times, rawOf(id)));
  }

  table(): readonly DhtContact[] {
    const { now } = this.#driver.times();
    const { table } = this.#driver.machine;
    return Array.from(table.live(), (contact) => ({
      ...this.#peerOf(contact),
      sharedBits: table.indexOf(contact.position),
      answeredMsAgo: now - contact.answeredMs,
      rttMs: contact.rttMs,
      failures: contact.failures,
      form: FORMS[contact.form],
    }));
  }

  inspect(): DhtInspection {
    const { machine, space, self, records } = this.#driver;
    const { values, providers } = machine.serving;
    return {
      id: this.id,
      networkName: this.#resolved.networkName,
      kind: this.#resolved.kind(),
      position: toHex(keyBytes(space.ofPeer(self))),
      isJoined: machine.isJoined,
      isOnline: !machine.asks.isOffline,
      estimatedNodes: machine.size.nodes,
      contacts: machine.table.size,
      spares: machine.table.spares,
      buckets: machine.table.sizes().map(({ index, live, spare }) => ({ sharedBits: index, live, spare })),
      values: values.size,
      valueBytes: values.bytes,
      providedKeys: providers.size,
      records: records.book.size,
      verifications: records.book.verifications,
      published: machine.published,
      asks: { sent: machine.asks.sent, pending: machine.asks.pending },
      lookups: [...this.#explained],
      drops: Object.fromEntries(this.counters.drops),
    };
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #event(event: KadEvent): void {
    switch (event.type) {
      case 'dropped':
        this.#driver.countDrop(event.reason, event.count);
        return;
      case 'clock_differs':
        this.#clockDiffers(event.peer, event.differenceMs);
        return;
      case 'offline':
      case 'online':
        this.#trace(
          event.type,
          undefined,
          event.type === 'offline' ? 'so many nodes in a row did not answer' : undefined,
        );
        return;
      case 'found':
      case 'value':
      case 'records':
      case 'stored':
      case 'joined':
      case 'pong': {
        const settle = this.#ops.get(event.op);
        this.#ops.delete(event.op);
        settle?.(event);
      }
    }
  }

  #clockDiffers(peer: NodeRef, differenceMs: number): void {
    this.counters.countDrop('dht.clock_differs');
    const minutes = Math.round(Math.abs(differenceMs) / 60_000);
    const { id } = this.#peerOf(peer);
    this.#trace(
      'clock_differs',
      this.#swarm.tryParseAddr(this.#peerOf(peer).addr),
      `the clock of ${id} differs by about ${minutes} minutes`,
    );
  }

  #trace(type: string, addr: A | undefined, reason: string | undefined): void {
    const { realm } = this.#swarm;
    realm.trace?.({ layer: 'dht', type, atMs: realm.nowMs(), addr, reason });
  }

  /** Joins from the bootstrap nodes; again and again while there is nobody. */
  async #begin(nodes: readonly (A | string)[], pauseMs = REJOIN_MS): Promise<DhtJoined> {
    const given = await this.#given(nodes, undefined).catch((): NodeRef[] => []);
    const joined = await this.#join(given, undefined);
    if (joined.peers > 0 || nodes.length === 0 || this.#latch.isClosed) return joined;
    const again = (): void => void this.#begin(nodes, Math.min(2 * pauseMs, MAX_REJOIN_MS));
    const { realm } = this.#swarm;
    this.#rejoin = clockOf(realm).setTimer(realm.nowMs() + pauseMs, again, { background: true });
    return joined;
  }

  /** The nodes at addresses of the program, as far as they can be reached: their keys say who they are. */
  async #given(nodes: readonly (A | string)[], options: CallOptions | undefined): Promise<NodeRef[]> {
    if (this.#latch.isClosed) throw this.#latch.error('join the DHT');
    const addrs = this.#texts.listOf(nodes, 'nodes');
    const keys = await Promise.allSettled(addrs.map((addr) => this.#swarm.lookupPublicKey(addr, options)));
    options?.signal?.throwIfAborted();
    return keys.flatMap((key, i) => (key.status === 'fulfilled' ? [this.#driver.give(addrs[i]!, key.value)] : []));
  }

  async #join(given: readonly NodeRef[], options: CallOptions | undefined): Promise<DhtJoined> {
    const joined = await this.#wait('join the DHT', options, (machine, times) => machine.join(times, given)).catch(
      (error: unknown) => {
        if (options === undefined && this.#latch.isClosed) return undefined;
        throw error;
      },
    );
    if (joined?.type === 'joined') return { peers: joined.peers, explain: this.#explain(joined.report) };
    return { peers: 0, explain: this.#explain(NOTHING) };
  }

  #checkRoom(keys: readonly Uint8Array[], { republish = true }: DhtStoreOptions): void {
    const { maxPublished } = this.#resolved.node;
    const total = republish ? this.#driver.machine.publishedWith(keys) : 0;
    if (total <= maxPublished) return;
    throw new RangeError(`Cannot store again: ${total} keys, limit is ${maxPublished} keys (maxPublished)`);
  }

  async #store(options: DhtStoreOptions, begin: (machine: KademliaNode, times: Times) => number): Promise<DhtStored> {
    const stored = await this.#wait('store', options, begin);
    if (stored.type !== 'stored') throw this.#latch.error('store');
    const { accepted, asked, records, lookups }: StoreReport = stored.report;
    return {
      accepted,
      asked,
      records: Object.fromEntries(records),
      lookups: lookups.map((report) => this.#explain(report)),
    };
  }

  async #records(
    what: string,
    of: { readonly peer: KeyText } | { readonly key: Bytes },
    limit: number,
    options: CallOptions | undefined,
  ): Promise<DhtRecordsFound> {
    const found = await this.#wait(what, options, (machine, times) => machine.records(times, of, limit));
    if (found.type !== 'records') throw this.#latch.error(what);
    const { wallMs } = this.#driver.times();
    const records = found.ids.flatMap((id): PeerRecord[] => {
      const record = this.#driver.records.record(wallMs, encodePeerId(keyBytes(id)));
      return record === undefined ? [] : [record];
    });
    return { records, explain: this.#explain(found.report) };
  }

  /** Starts an operation of the machine, and waits for its event. */
  #wait(
    what: string,
    call: CallOptions | undefined,
    begin: (machine: KademliaNode, times: Times) => number,
  ): Promise<KadEvent> {
    if (this.#latch.isClosed) return rejection(this.#latch.error(what));
    // Every operation ends by itself: its lookups and its requests are bounded.
    return this.#waits.wait<KadEvent>({ what: () => what, call, defaultTimeoutMs: Infinity }, (wait) => {
      const op = this.#driver.run((machine, times) => {
        const number = begin(machine, times);
        this.#ops.set(number, wait.resolve);
        return number;
      });
      return () => this.#ops.delete(op);
    });
  }

  #explain(report: LookupReport): LookupExplanation {
    const explained = explain(report, (ref) => this.#peerOf(ref));
    this.#explained.push(explained);
    if (this.#explained.length > MAX_EXPLAINED) this.#explained.shift();
    return explained;
  }

  #peerOf(ref: NodeRef): DhtPeer {
    const { id, addr } = peerOf(ref);
    return { id, addr: this.#driver.swarmText(addr, id) };
  }

  #ttlOf({ ttlMs }: DhtStoreOptions): number {
    return wholeNumber(ttlMs, 'ttlMs', this.#resolved.ttlMs, 1000, this.#resolved.node.maxTtlMs);
  }

  #anybody(): Candidate[] {
    const { now, wallMs } = this.#driver.times();
    return this.table().map(({ id, addr, answeredMsAgo }) => ({
      id,
      addr,
      source: 'dht',
      seenMs: wallMs - Math.min(answeredMsAgo, now),
      expiresMs: Infinity,
      trust: 'reached',
    }));
  }

  async *#candidatesOf(id: PeerId, { signal }: CandidateOptions): AsyncGenerator<Candidate, void, undefined> {
    const { records } = await this.lookup(id, { signal });
    for (const { addrs, issuedMs, expiresMs } of records) {
      for (const addr of addrs) {
        yield {
          id,
          addr: this.#driver.swarmText(addr, id),
          source: 'dht',
          seenMs: issuedMs,
          expiresMs,
          trust: 'claimed',
        };
      }
    }
  }

  async #release(): Promise<void> {
    this.#rejoin?.cancel();
    this.#driver.stop();
    this.#waits.close(this.#latch.how?.cause);
    this.#ops.clear();
    if (this.#options.keepInner !== true) await this.#swarm.close();
  }
}
