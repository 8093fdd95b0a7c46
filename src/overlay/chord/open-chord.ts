/** Opens a node of a ring over any swarm that can ask. */

import { hash } from '#crypto';
import { type Bytes, concatBytes, encodeText, toHex } from '../../base/bytes.ts';
import { assertBytes, assertFunction, assertString, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { type Addr, ipOf, peerIdOf } from '../../core/addr.ts';
import { type AskSwarm, canAsk } from '../../core/ask.ts';
import { P2PError, Refusal } from '../../core/errors.ts';
import type { Request } from '../../core/message.ts';
import type { CallOptions, Closed } from '../../core/swarm.ts';
import { sourceOf } from '../../base/source-shares.ts';
import { TextAddrs } from '../../core/text-addrs.ts';
import { ProbeTargets } from '../../net/probe-targets.ts';
import { CHORD_ID_BYTES, CHORD_TAG_BYTES, MAX_CHORD_BYTES } from '../../protocols/chord/messages.ts';
import { type ChordEvent, type ChordLookup, ChordNode, type ChordTransmit } from '../../protocols/chord/node.ts';
import type { ChordPeer } from '../../protocols/chord/ring-table.ts';
import { CloseLatch } from '../../runtime/close-latch.ts';
import { Driver } from '../../runtime/driver.ts';
import { later } from '../../runtime/later.ts';
import { rejection } from '../../runtime/promises.ts';
import { checkCall, Waits } from '../../runtime/waits.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import type { ChordInspection, ChordOptions, ChordOwners, ChordRing } from './ring.ts';

const DEFAULT_SUCCESSORS = 8;
const DEFAULT_UPKEEP_MS = 5000;
const DEFAULT_CALL_TIMEOUT_MS = 2000;
const DEFAULT_MAX_LOOKUPS = 256;
/** The time limit of lookups and joins that give none. */
const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_KEY_BYTES = 256;
const MAX_NAME_BYTES = 256;
/** The longest time of options. */
const MAX_MS = 86_400_000;
/** Addresses that are remembered as reached. */
const MAX_REACHED = 1024;
/** Addresses that only others named: tries a minute of one IP, and of all. */
const PROBES = { maxProbesPerIp: 8, maxProbes: 256 } as const;

/**
 * Opens a node of a ring. It takes the swarm's serve slot, so give it its own channel (`mux`) where the program asks too.
 *
 * @param swarm - any swarm that can ask. Without keys anybody can be at any place: use one that authenticates among strangers.
 * @throws {TypeError | RangeError} (at once) for invalid options, and when the swarm has a serve handler.
 *
 * @example
 * ```ts
 * await using ring = openChord(swarm, { networkName: 'my-app', bootstrap: ['<PeerID>@203.0.113.7:4000'] });
 * const { owner } = await ring.lookup(encodeText('some key'));
 * ```
 */
export function openChord<A extends Addr>(swarm: AskSwarm<A>, options: ChordOptions<A>): ChordRing<A> {
  if (typeof swarm !== 'object' || swarm === null || !canAsk(swarm)) {
    throw new TypeError(`Cannot take swarm: expected one that can ask, got ${describeValue(swarm)}`);
  }
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot open a ring: expected options, got ${describeValue(options)}`);
  }
  return new LiveRing(swarm, options);
}

class LiveRing<A extends Addr> implements ChordRing<A> {
  readonly counters: CounterSet;
  readonly ready: Promise<boolean>;
  readonly #swarm: AskSwarm<A>;
  readonly #networkName: string;
  readonly #placeOf: ChordOptions<A>['placeOf'];
  readonly #keepInner: boolean;
  readonly #node: ChordNode;
  readonly #driver: Driver<ChordTransmit, ChordEvent>;
  readonly #texts: TextAddrs<A>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #serving: Disposable;
  readonly #over = new AbortController();
  readonly #targets = new ProbeTargets(PROBES);
  /** Addresses that answered, or that the program gave. Bounded by {@link MAX_REACHED}: the oldest is removed. */
  readonly #reached = new Set<string>();
  /** What waits for an event of the machine. Bounded by the pending calls. */
  readonly #pending = new Map<number, (event: ChordEvent) => void>();
  /** Bounded by the program. */
  readonly #listeners = new Set<() => void>();

  constructor(swarm: AskSwarm<A>, options: ChordOptions<A>) {
    const { realm } = swarm;
    assertString(options.networkName, 'networkName');
    const name = encodeText(options.networkName);
    if (name.length === 0 || name.length > MAX_NAME_BYTES) {
      throw new RangeError(`Cannot take networkName: expected 1 to ${MAX_NAME_BYTES} bytes, got ${name.length}`);
    }
    if (options.placeOf !== undefined) assertFunction(options.placeOf, 'placeOf');
    this.#swarm = swarm;
    this.#networkName = options.networkName;
    this.#placeOf = options.placeOf;
    this.#keepInner = options.keepInner === true;
    this.#texts = new TextAddrs((text) => swarm.parseAddr(text));
    const bootstrap = this.#texts.listOf(options.bootstrap ?? [], 'bootstrap');
    this.counters = new CounterSet('chord', swarm.counters);
    this.#waits = new Waits(realm);
    this.#latch = new CloseLatch({ realm, layer: 'chord', release: () => this.#release() });
    this.#node = new ChordNode(realm.nowMs(), {
      addr: swarm.addr.text,
      idOf: (addr) => this.#idOf(addr),
      tag: hash('sha256', concatBytes(encodeText('shoal chord\0'), name)).slice(0, CHORD_TAG_BYTES),
      maxSuccessors: wholeNumber(options.successors, 'successors', DEFAULT_SUCCESSORS, 2, 32),
      everyMs: quantity(options.upkeepMs, 'upkeepMs', DEFAULT_UPKEEP_MS, 10, MAX_MS),
      callTimeoutMs: quantity(options.callTimeoutMs, 'callTimeoutMs', DEFAULT_CALL_TIMEOUT_MS, 1, MAX_MS),
      maxLookups: wholeNumber(options.maxLookups, 'maxLookups', DEFAULT_MAX_LOOKUPS, 1, 65_536),
    });
    this.#driver = new Driver(this.#node, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#event(event),
      failed: (bug) => this.#latch.fail(bug),
      background: true,
    });
    this.#serving = swarm.serve((request) => this.#serve(request));
    this.#driver.poll();
    void swarm.closed.then(({ cause }) => this.#latch.fail(cause));
    this.ready = bootstrap.length === 0 ? Promise.resolve(true) : this.#enter(bootstrap).catch(() => false);
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  get predecessor(): A | undefined {
    const { predecessor } = this.#node.table;
    return predecessor && this.#addr(predecessor.addr);
  }

  get successors(): readonly A[] {
    return this.#node.table.isAlone ? [] : this.#addrs(this.#node.table.successors);
  }

  async join(nodes: readonly (A | string)[], options?: CallOptions): Promise<void> {
    checkCall(options);
    if (await this.#enter(this.#texts.listOf(nodes, 'nodes'), options)) return;
    const why = `Cannot join the ring: none of ${nodes.length} nodes answered`;
    throw new P2PError('unreachable', 'path', why, { sent: 'maybe' });
  }

  lookup(key: Uint8Array, options?: CallOptions): Promise<ChordOwners<A>> {
    assertBytes(key, 'key');
    if (key.length === 0 || key.length > MAX_KEY_BYTES) {
      throw new RangeError(`Cannot look up: expected a key of 1 to ${MAX_KEY_BYTES} bytes, got ${key.length}`);
    }
    checkCall(options);
    const hex = toHex(key);
    const what = (): string => `look up ${hex}`;
    if (this.#latch.isClosed) return rejection(this.#latch.error(what()));
    const place = hash('sha256', this.#named(key));
    return this.#wait(() => this.#node.lookup(place), what, options).then((event) => {
      const { result } = event as Extract<ChordEvent, { type: 'lookup' }>;
      return this.#owners(result, what());
    });
  }

  onNeighbours(listener: () => void): Disposable {
    assertFunction(listener, 'listener');
    const own = (): void => {
      if (this.#listeners.has(own)) listener();
    };
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  inspect(): ChordInspection {
    const { self, predecessor, successors, fingers, isAlone } = this.#node.table;
    return {
      addr: self.addr,
      place: toHex(self.id),
      networkName: this.#networkName,
      predecessor: predecessor?.addr,
      successors: isAlone ? [] : successors.map(({ addr }) => addr),
      fingers: [...new Set(fingers.map(({ addr }) => addr))],
      lookups: this.#node.lookups,
      drops: Object.fromEntries(this.counters.drops),
    };
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #owners(result: ChordLookup, what: string): ChordOwners<A> {
    const { owners, path, silent, why } = result;
    const found = this.#addrs(owners);
    const [owner] = found;
    if (owner === undefined) {
      const told = `${path.length} nodes answered, ${silent.length} did not (${why})`;
      throw new P2PError('unreachable', 'path', `Cannot ${what}: ${told}`, { sent: 'maybe' });
    }
    const addrs = (texts: readonly string[]): A[] => texts.flatMap((text) => this.#addr(text) ?? []);
    return { owner, owners: found, path: addrs(path), silent: addrs(silent) };
  }

  async #enter(nodes: readonly A[], options?: CallOptions): Promise<boolean> {
    const texts = nodes.map(({ text }) => text);
    for (const text of texts) this.#addReached(text);
    const what = (): string => `join the ring of ${texts.join(', ')}`;
    if (this.#latch.isClosed) throw this.#latch.error(what());
    const event = await this.#wait(() => this.#node.join(texts), what, options);
    return (event as Extract<ChordEvent, { type: 'joined' }>).isIn;
  }

  /** @param begin - starts it in the machine; it ends there when nobody waits any more. */
  #wait(begin: () => number | undefined, what: () => string, call: CallOptions | undefined): Promise<ChordEvent> {
    const waited = this.#waits.wait<ChordEvent>({ what, call, defaultTimeoutMs: DEFAULT_TIMEOUT_MS }, (wait) => {
      const number = begin();
      if (number === undefined) {
        const why = `Cannot ${what()}: ${this.#node.lookups} lookups are pending, see the option maxLookups`;
        throw new P2PError('limit_exceeded', 'local', why, { sent: 'no' });
      }
      this.#pending.set(number, wait.resolve);
      return () => {
        this.#pending.delete(number);
        this.#node.end(number);
      };
    });
    this.#driver.poll();
    return waited;
  }

  #serve({ src, payload }: Request<A>): Uint8Array {
    this.counters.countReceived(payload.length);
    if (payload.length > MAX_CHORD_BYTES) {
      this.counters.countDrop('oversize');
      throw new Refusal('too large');
    }
    const ip = ipOf(src);
    const source = { addr: src.text, network: ip === undefined ? src.text : sourceOf(ip) };
    const answer = this.#node.handleRequest(source, payload);
    this.#driver.poll();
    if (answer === undefined) throw new Refusal('this is no request of this ring');
    this.counters.countSent(answer.length);
    return answer;
  }

  #transmit({ call, to, payload, timeoutMs }: ChordTransmit): void {
    const { realm } = this.#swarm;
    const done = (answer: Bytes | undefined): void => {
      this.#node.handleAnswer(call, answer);
      this.#driver.poll();
    };
    const addr = this.#addr(to);
    const refusal = addr === undefined ? 'unparsable' : this.#refusal(addr);
    if (addr === undefined || refusal !== undefined) {
      this.counters.countDrop(`chord.${refusal ?? 'unparsable'}`);
      later(realm, () => done(undefined));
      return;
    }
    this.counters.countSent(payload.length);
    const { signal } = this.#over;
    this.#swarm.ask(addr, payload, { timeoutMs, signal, maxResponseBytes: MAX_CHORD_BYTES }).then(
      (answer) => {
        this.#addReached(addr.text);
        done(answer);
      },
      () => done(undefined),
    );
  }

  #addReached(text: string): void {
    this.#reached.delete(text);
    this.#reached.add(text);
    if (this.#reached.size > MAX_REACHED) this.#reached.delete(this.#reached.values().next().value!);
  }

  /** Why an address is not asked. One that others named and that never answered may be a victim's: it is tried at a limited rate. */
  #refusal(addr: A): string | undefined {
    if (this.#reached.has(addr.text) || ipOf(addr) === undefined) return undefined;
    const { realm } = this.#swarm;
    const claim = { addr, by: peerIdOf(addr) ?? addr.text, issuedMs: realm.wallMs() };
    return this.#targets.take(realm.nowMs(), claim, this.#swarm.localAddrs());
  }

  #event(event: ChordEvent): void {
    if (event.type === 'dropped') {
      this.counters.countDrop(event.reason === 'malformed' ? 'malformed' : `chord.${event.reason}`);
    } else if (event.type === 'neighbours') {
      for (const listener of this.#listeners) later(this.#swarm.realm, listener);
    } else {
      this.#pending.get(event.type === 'lookup' ? event.lookup : event.join)?.(event);
    }
  }

  /** The place of an address: of its PeerID where it has one, so that nobody chooses a place without making keys. */
  #idOf(text: string): Bytes | undefined {
    const addr = this.#addr(text);
    if (addr === undefined) return undefined;
    if (this.#placeOf === undefined) return hash('sha256', this.#named(encodeText(peerIdOf(addr) ?? addr.text)));
    try {
      const place = this.#placeOf(addr);
      assertBytes(place, 'placeOf', CHORD_ID_BYTES);
      return new Uint8Array(place);
    } catch (error) {
      // The program must know the own place; an address that others name may be one for which its function fails.
      if (text === this.#swarm.addr.text) throw error;
      this.counters.countDrop('chord.no_place');
      return undefined;
    }
  }

  #named(what: Uint8Array): Bytes {
    return concatBytes(encodeText(`shoal chord place\0${this.#networkName}\0`), what);
  }

  #addr(text: string): A | undefined {
    return this.#texts.tryParse(text);
  }

  #addrs(peers: readonly ChordPeer[]): A[] {
    return peers.flatMap(({ addr }) => this.#addr(addr) ?? []);
  }

  async #release(): Promise<void> {
    this.#node.stop();
    this.#driver.stop();
    this.#serving[Symbol.dispose]();
    this.#over.abort(new P2PError('closed', 'local', 'The ring is closed'));
    this.#waits.close();
    this.#listeners.clear();
    if (!this.#keepInner) await this.#swarm.close();
  }
}
