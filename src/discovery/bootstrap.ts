/**
 * Finds peers to begin with: asks sources, dials their candidates one after the other, and says of each what came of
 * it. The decisions are those of the machine in `protocols/bootstrap/`.
 */

import { assertFunction, assertString, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { formatSocketAddress } from '../base/ip.ts';
import {
  type Candidate,
  candidateFaultOf,
  type CandidateSource,
  type FailedCandidate,
  type ReachedCandidate,
} from '../core/candidate.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import { assertRealm, type Realm, type Timer } from '../core/realm.ts';
import { type ProbeRefusal, ProbeTargets } from '../net/probe-targets.ts';
import {
  type AttemptOutcome,
  Bootstrap,
  type BootstrapEvent,
  type BootstrapPeer,
  type BootstrapResult,
  type BootstrapSource,
  type BootstrapTransmit,
  type RefusedCandidate,
} from '../protocols/bootstrap/bootstrap.ts';
import { Driver } from '../runtime/driver.ts';
import { later } from '../runtime/later.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import { plainAddr, socketAddressIn } from './addr-text.ts';
import { blacklistOf } from './blacklist.ts';

/** A source of a bootstrap, and when it is asked. */
export interface BootstrapFrom {
  /** For results. */
  readonly name: string;
  readonly source: CandidateSource;
  /**
   * How long after the start it is asked, unless nothing else is left to try before. @default the `fallbackAfterMs` of
   * contacts, 0 for all others
   */
  readonly afterMs?: number | undefined;
  /** A source that goes on for longer counts as answered: 2000 is enough for a LAN. @default `sourceTimeoutMs` */
  readonly timeoutMs?: number | undefined;
}

/** Options of {@link bootstrap}. */
export interface BootstrapOptions {
  /** In the order of preference: the cache, the LAN, contacts. Up to 16. */
  readonly sources: readonly BootstrapFrom[];
  /**
   * Dials a candidate, and says which peer has proven its key there, or why there is none; `proof: 'dialled'` when this node
   * has opened a connection to that address, so that sources may keep it and hand it on. A rejection counts as the
   * fault that fits to its code. When `signal` is aborted, the attempt ends, and so does the connection if there is one
   * already: another one was faster, or the peer is not wanted.
   */
  readonly attempt: (candidate: Candidate, options: { readonly signal: AbortSignal }) => Promise<AttemptOutcome>;
  /** This node: its candidates are refused as `self`. */
  readonly self?: PeerId | undefined;
  /** This node's addresses, as texts: no candidate, and the networks whose private addresses may be tried. @default none */
  readonly ownAddrs?: (() => readonly string[]) | undefined;
  /** PeerIDs, IPs, prefixes and addresses that no source may lead to. @default none */
  readonly blacklist?: readonly string[] | undefined;
  /** Connected peers that are enough. @default 3 */
  readonly minPeers?: number | undefined;
  /** Between the beginnings of two attempts. @default 200 */
  readonly staggerMs?: number | undefined;
  /** Attempts at the same time. @default 8 */
  readonly maxParallel?: number | undefined;
  /** An attempt without an outcome has failed then: `silent`. @default 5000 */
  readonly attemptTimeoutMs?: number | undefined;
  /** A source that goes on for longer counts as answered. @default 10_000 */
  readonly sourceTimeoutMs?: number | undefined;
  /** Candidates of one source that are considered. @default 256 */
  readonly maxCandidates?: number | undefined;
  /**
   * Which claimed addresses were tried, when several parts of a program share that. @default its own: 8 a minute for each
   * IP, 256 in all
   */
  readonly targets?: ProbeTargets | undefined;
  /**
   * When it ends with fewer than `minPeers`, it begins again after this time, and after twice as much each time, up to ten
   * minutes, until there are enough, or until it is disposed of: for a node that starts without a network. `ready` is the
   * end of the first try. Keeps neither the process nor a virtual clock running.
   * @default never
   */
  readonly retryAfterMs?: number | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
  /** Called for each connected peer. */
  readonly onPeer?: ((peer: BootstrapPeer) => void) | undefined;
  /** Called for each refused candidate. */
  readonly onRefused?: ((refused: RefusedCandidate) => void) | undefined;
}

/** A bootstrap under way. Disposing of it ends it with what was found; connected peers stay connected. */
export interface BootstrapRun extends Disposable {
  /** The first peer; `undefined` when the bootstrap ends without one. Never rejects. */
  readonly first: Promise<BootstrapPeer | undefined>;
  /** The end: enough peers are connected, or all sources have answered and all candidates are tried. Never rejects. */
  readonly ready: Promise<BootstrapResult>;
}

const MAX_SOURCES = 16;
const DEFAULT_MIN_PEERS = 3;
const PROBES = { maxProbesPerIp: 8, maxProbes: 256 };
/** UTF-16 units of an address text; longer ones are no addresses. */
const MAX_ADDR_LENGTH = 512;

const REFUSALS: Readonly<Record<ProbeRefusal, string>> = {
  refused_addr: 'the address could be that of a stranger in another network, or of a well-known service',
  tried_before: 'the address was tried before, and no newer record names it',
  too_many_probes: 'too many addresses that others claim were tried in the last minute',
};

/**
 * Begins at once.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function bootstrap(options: BootstrapOptions): BootstrapRun {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const retryAfterMs = quantity(options.retryAfterMs, 'retryAfterMs', Infinity, 100, Infinity);
  return retryAfterMs === Infinity ? new Run(options) : new Repeated(options, retryAfterMs);
}

/** The longest pause between two tries. */
const MAX_RETRY_MS = 600_000;

/** Tries one after the other. They share what was tried of what others claim. */
class Repeated implements BootstrapRun {
  readonly first: Promise<BootstrapPeer | undefined>;
  readonly ready: Promise<BootstrapResult>;
  readonly #options: BootstrapOptions;
  readonly #realm: Realm;
  readonly #settleFirst: (peer: BootstrapPeer | undefined) => void;
  #run: Run;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(options: BootstrapOptions, retryAfterMs: number) {
    this.#options = { ...options, targets: options.targets ?? new ProbeTargets(PROBES) };
    this.#run = new Run(this.#options);
    this.#realm = options.realm ?? systemRealm;
    const first = Promise.withResolvers<BootstrapPeer | undefined>();
    [this.first, this.#settleFirst] = [first.promise, first.resolve];
    this.ready = this.#run.ready;
    this.#follow(retryAfterMs);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#run[Symbol.dispose]();
    this.#settleFirst(undefined);
  }

  #follow(pauseMs: number): void {
    void this.#run.first.then((peer) => peer !== undefined && this.#settleFirst(peer));
    void this.#run.ready.then(({ peers }) => {
      const { minPeers = DEFAULT_MIN_PEERS } = this.#options;
      if (this.#isOver || peers.length >= minPeers) return;
      const again = (): void => {
        this.#run = new Run(this.#options);
        this.#follow(Math.min(2 * pauseMs, MAX_RETRY_MS));
      };
      this.#timer = clockOf(this.#realm).setTimer(this.#realm.nowMs() + pauseMs, again, { background: true });
    });
  }
}

class Run implements BootstrapRun {
  readonly first: Promise<BootstrapPeer | undefined>;
  readonly ready: Promise<BootstrapResult>;
  readonly #options: BootstrapOptions;
  readonly #realm: Realm;
  readonly #ownAddrs: () => readonly string[];
  readonly #targets: ProbeTargets;
  readonly #maxCandidates: number;
  readonly #machine: Bootstrap;
  readonly #driver: Driver<BootstrapTransmit, BootstrapEvent>;
  /** By the number of the attempt. Bounded by `maxParallel`. */
  readonly #attempts = new Map<number, AbortController>();
  /** By the index of the source. Bounded by the sources. */
  readonly #queries = new Map<number, AbortController>();
  readonly #settleFirst: (peer: BootstrapPeer | undefined) => void;
  readonly #settleReady: (result: BootstrapResult) => void;

  constructor(options: BootstrapOptions) {
    const { sources, attempt, self, ownAddrs, blacklist = [], realm = systemRealm } = options;
    assertRealm(realm);
    assertFunction(attempt, 'attempt');
    if (self !== undefined && !isPeerId(self)) {
      throw new TypeError(`Cannot take self: expected a PeerID, got ${describeValue(self)}`);
    }
    for (const name of ['ownAddrs', 'onPeer', 'onRefused'] as const) {
      if (options[name] !== undefined) assertFunction(options[name], name);
    }
    const from = checkSources(sources);
    const isBlacklisted = blacklistOf(blacklist);
    this.#options = options;
    this.#realm = realm;
    this.#ownAddrs = ownAddrs ?? (() => []);
    this.#targets = options.targets ?? new ProbeTargets(PROBES);
    this.#maxCandidates = wholeNumber(options.maxCandidates, 'maxCandidates', 256, 1, 4096);
    const first = Promise.withResolvers<BootstrapPeer | undefined>();
    const ready = Promise.withResolvers<BootstrapResult>();
    [this.first, this.#settleFirst] = [first.promise, first.resolve];
    [this.ready, this.#settleReady] = [ready.promise, ready.resolve];
    this.#machine = new Bootstrap(realm.nowMs(), {
      minPeers: wholeNumber(options.minPeers, 'minPeers', DEFAULT_MIN_PEERS, 1, 256),
      staggerMs: quantity(options.staggerMs, 'staggerMs', 200, 0, 60_000),
      maxParallel: wholeNumber(options.maxParallel, 'maxParallel', 8, 1, 64),
      attemptTimeoutMs: quantity(options.attemptTimeoutMs, 'attemptTimeoutMs', 5000, 1, 600_000),
      sourceTimeoutMs: quantity(options.sourceTimeoutMs, 'sourceTimeoutMs', 10_000, 1, 600_000),
      maxCandidates: this.#maxCandidates,
      sources: from,
      screen: (candidate) => (this.#isSelf(candidate) ? 'self' : isBlacklisted(candidate) ? 'blacklisted' : undefined),
    });
    this.#driver = new Driver(this.#machine, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#event(event),
      failed: () => this[Symbol.dispose](),
    });
    // No handler runs inside this call.
    later(realm, () => this.#driver.poll());
  }

  [Symbol.dispose](): void {
    this.#machine.stop(this.#realm.nowMs());
    this.#driver.poll();
  }

  #isSelf({ id, addr }: Candidate): boolean {
    const { self } = this.#options;
    if (id !== undefined) return id === self;
    return this.#ownAddrs().some((own) => placeOf(own) === placeOf(addr));
  }

  #transmit(transmit: BootstrapTransmit): void {
    switch (transmit.type) {
      case 'ask':
        void this.#ask(transmit.source);
        break;
      case 'stop':
        this.#queries.get(transmit.source)?.abort(new Error('Nothing more is wanted of this source'));
        break;
      case 'dial':
        void this.#dial(transmit.attempt, transmit.candidate);
        break;
      case 'give_up':
        this.#attempts.get(transmit.attempt)?.abort(new Error('The attempt is given up'));
        this.#attempts.delete(transmit.attempt);
        break;
    }
  }

  #event(event: BootstrapEvent): void {
    if (event.type === 'connected') {
      const { id, candidate, proof } = event.peer;
      if (event.isFirst) this.#settleFirst(event.peer);
      this.#tellSources('reached', { id, addr: candidate.addr, proof });
      this.#callOut(() => this.#options.onPeer?.(event.peer));
    } else if (event.type === 'refused') {
      const { candidate, reason } = event.refused;
      this.#tellSources('failed', { id: candidate.id, addr: candidate.addr, reason });
      this.#callOut(() => this.#options.onRefused?.(event.refused));
    } else {
      this.#driver.stop();
      this.#settleFirst(undefined);
      this.#settleReady(event.result);
    }
  }

  /** Reads a source until it ends, is no longer wanted, or has named more than is considered. Never rejects. */
  async #ask(index: number): Promise<void> {
    const { source } = this.#options.sources[index]!;
    const over = new AbortController();
    this.#queries.set(index, over);
    let failure: { readonly cause: unknown } | undefined;
    try {
      let taken = 0;
      for await (const candidate of await source.candidates(undefined, { signal: over.signal })) {
        if (over.signal.aborted) return;
        if (isCandidate(candidate)) this.#machine.addCandidate(this.#realm.nowMs(), index, candidate);
        this.#driver.poll();
        if (taken++ >= this.#maxCandidates) break;
      }
    } catch (cause) {
      failure = { cause };
    } finally {
      this.#queries.delete(index);
    }
    this.#machine.sourceFinished(this.#realm.nowMs(), index, failure);
    this.#driver.poll();
  }

  /** Never rejects. */
  async #dial(number: number, candidate: Candidate): Promise<void> {
    const over = new AbortController();
    this.#attempts.set(number, over);
    const outcome = await this.#outcomeOf(candidate, over.signal);
    this.#machine.attemptEnded(this.#realm.nowMs(), number, outcome);
    this.#driver.poll();
    this.#attempts.delete(number);
  }

  async #outcomeOf(candidate: Candidate, signal: AbortSignal): Promise<AttemptOutcome> {
    const addr = plainAddr(candidate.addr);
    const own = this.#ownAddrs().map(plainAddr);
    const refusal = this.#targets.takeCandidate(this.#realm.nowMs(), candidate, addr, own);
    if (refusal !== undefined) return { fault: 'not_allowed', detail: REFUSALS[refusal] };
    try {
      const outcome = await this.#options.attempt(candidate, { signal });
      if ('peer' in outcome) this.#targets.reached(addr);
      return outcome;
    } catch (error) {
      return { fault: candidateFaultOf(error), detail: error instanceof Error ? error.message : undefined };
    }
  }

  #tellSources(verb: 'reached', outcome: ReachedCandidate): void;
  #tellSources(verb: 'failed', outcome: FailedCandidate): void;
  #tellSources(verb: 'reached' | 'failed', outcome: never): void {
    for (const { source } of this.#options.sources) this.#callOut(() => source[verb]?.(outcome));
  }

  #callOut(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#realm.trace?.({ layer: 'bootstrap', type: 'handler_error', atMs: this.#realm.nowMs(), cause });
    }
  }
}

function checkSources(sources: unknown): BootstrapSource[] {
  if (!Array.isArray(sources) || sources.length > MAX_SOURCES) {
    throw new TypeError(`Cannot take sources: expected up to ${MAX_SOURCES}, got ${describeValue(sources)}`);
  }
  return (sources as readonly BootstrapFrom[]).map(({ name, source, afterMs, timeoutMs }, i) => {
    assertString(name, `sources[${i}].name`);
    assertFunction(Reflect.get(Object(source), 'candidates'), `sources[${i}].source.candidates`);
    const own: unknown = Reflect.get(source, 'fallbackAfterMs');
    const fallback = typeof own === 'number' ? own : 0;
    if (timeoutMs !== undefined) quantity(timeoutMs, `sources[${i}].timeoutMs`, 0, 1, 600_000);
    return { name, afterMs: quantity(afterMs ?? fallback, `sources[${i}].afterMs`, 0, 0, 600_000), timeoutMs };
  });
}

/** The IP and port in an address text, or all of it. */
function placeOf(text: string): string {
  const socket = socketAddressIn(text);
  return socket === undefined ? text : formatSocketAddress(socket.ip, socket.port);
}

/** Sources may be the user's. */
function isCandidate(value: unknown): value is Candidate {
  const { id, addr, source, seenMs } = Object(value) as Partial<Record<keyof Candidate, unknown>>;
  return (
    typeof addr === 'string' &&
    addr.length <= MAX_ADDR_LENGTH &&
    typeof source === 'string' &&
    typeof seenMs === 'number' &&
    (id === undefined || isPeerId(id))
  );
}
