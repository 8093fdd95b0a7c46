/** The client of a tracker: announces this node in a cell, and looks up others there. */

import type { Bytes } from '../../base/bytes.ts';
import { assertFunction, assertSignal, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { apply, assertCell } from '../../cells/apply.ts';
import { type Cell, DEFAULT_CELL_BYTES, MAX_CELL_BYTES } from '../../cells/cell.ts';
import { httpCell } from '../../cells/http-cell.ts';
import { sealed } from '../../cells/sealed.ts';
import { signed } from '../../cells/signed.ts';
import type { Candidate, CandidateOptions } from '../../core/candidate.ts';
import { closedError, P2PError } from '../../core/errors.ts';
import { isPeerId, type PeerId } from '../../core/peer-id.ts';
import { assertRealm, type Realm, type Timer } from '../../core/realm.ts';
import { parseTrackerToken, type TrackerToken } from '../../protocols/cell/token.ts';
import {
  encodeTrackerState,
  expiryOf,
  formatTimestamp,
  parseTrackerState,
  TRACKER_LIMITS,
  type TrackerAddr,
  type TrackerState,
} from '../../protocols/cell/tracker-state.ts';
import { randomShare } from '../../runtime/retry.ts';
import { clockOf, systemRealm } from '../../runtime/system-realm.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import { ShardedTracker } from './sharded-tracker.ts';
import { newestOf, SeenEntries } from './seen-entries.ts';
import type { Tracker, TrackerFault, TrackerFaultCode, TrackerOptions } from './tracker-options.ts';

/** A part of the pause between announcements is random, so that peers that began together do not write together. */
const JITTER = 0.2;
/** After an announcement that failed. */
const RETRY_MS = 5000;
/** An entry from further ahead is not believed: it would hold longer than its peer may say. Clocks differ by less. */
const MAX_AHEAD_MS = 3_600_000;
/** Attempts of an announcement: of hundreds of peers in a cell, some write at the same time. */
const MAX_ATTEMPTS = 100;

/** A token's cell, of a network with one: what is written is sealed and signed. @throws {TypeError | RangeError} for text that is no token */
export function trackerCell(
  token: string,
  { realm, fetch, maxCellBytes }: Pick<TrackerOptions, 'realm' | 'fetch' | 'maxCellBytes'> = {},
): Cell {
  const { endpoint, id, signer, sealKey } = parseTrackerToken(token);
  const options = { realm, fetch, maxBytes: maxCellBytes, signer: signer.publicKey };
  return sealed(signed(httpCell(`${endpoint}/${id}`, options), { privateKey: signer }), { key: sealKey });
}

/**
 * Opens a tracker, and announces this node there, if `id` and `addrs` are given, until closed. A tracker that is not reached is a fault, not an error.
 *
 * @throws {TypeError | RangeError} for invalid options.
 *
 * @example
 * ```ts
 * await using tracker = openTracker({ at: token, id: swarm.id, addrs: () => swarm.addrs });
 * for (const { addr } of await tracker.lookUp(bobId)) console.log(addr);
 * ```
 */
export function openTracker(options: TrackerOptions): Tracker {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { at, id, addrs, onFault, realm = systemRealm } = options;
  assertRealm(realm);
  if (id !== undefined && !isPeerId(id))
    throw new TypeError(`Cannot take id: expected a PeerID, got ${describeValue(id)}`);
  if (addrs !== undefined) assertFunction(addrs, 'addrs');
  if (onFault !== undefined) assertFunction(onFault, 'onFault');
  const ttlMs = quantity(options.ttlMs, 'ttlMs', 120_000, 10_000, TRACKER_LIMITS.maxTtlMs);
  const everyMs = quantity(options.everyMs, 'everyMs', Math.min(30_000, ttlMs / 4), 1000, ttlMs / 2);
  const cacheMs = quantity(options.cacheMs, 'cacheMs', 2000, 0, 60_000);
  wholeNumber(options.maxCellBytes, 'maxCellBytes', DEFAULT_CELL_BYTES, 1024, MAX_CELL_BYTES);
  const resolved = { ...options, realm, ttlMs, everyMs, cacheMs };
  if (typeof at !== 'string') {
    assertCell(at, 'at');
    return new CellTracker(at, false, resolved);
  }
  const token = parseTrackerToken(at);
  const open = ({ text }: TrackerToken, more: Partial<TrackerOptions>): Tracker =>
    new CellTracker(trackerCell(text, resolved), true, { ...resolved, ...more, realm, ttlMs, everyMs, cacheMs });
  return token.shards === 1 ? open(token, {}) : new ShardedTracker(token, resolved, open);
}

interface Resolved extends TrackerOptions {
  readonly realm: Realm;
  readonly ttlMs: number;
  readonly everyMs: number;
  readonly cacheMs: number;
}

class CellTracker implements Tracker {
  readonly counters: CounterSet = new CounterSet('tracker');
  readonly #cell: Cell;
  readonly #ownsCell: boolean;
  readonly #options: Resolved;
  readonly #seen = new SeenEntries();
  readonly #closed = new AbortController();
  #timer: Timer | undefined;
  /** A reading that answers look-ups, and until when. */
  #cached: { readonly state: Promise<TrackerState>; readonly untilMs: number } | undefined;
  #lastFault: TrackerFaultCode | undefined;

  constructor(cell: Cell, ownsCell: boolean, options: Resolved) {
    this.#cell = cell;
    this.#ownsCell = ownsCell;
    this.#options = options;
    if (options.id !== undefined && options.addrs !== undefined) this.#arm(0);
  }

  async *candidates(id?: PeerId, { signal }: CandidateOptions = {}): AsyncGenerator<Candidate> {
    let state: TrackerState;
    try {
      state = await this.#read(signal);
    } catch {
      return; // Reported by `#read`.
    }
    const found = id === undefined ? [...state.keys()].flatMap((each) => this.#of(state, each)) : this.#of(state, id);
    for (const candidate of found.toSorted((a, b) => b.seenMs - a.seenMs)) {
      if (signal?.aborted === true) return;
      yield candidate;
    }
  }

  lookUp(id: PeerId, { signal }: CandidateOptions = {}): Promise<readonly Candidate[]> {
    if (!isPeerId(id)) throw new TypeError(`Cannot look up: expected a PeerID, got ${describeValue(id)}`);
    assertSignal(signal);
    return this.#read(signal).then((state) => this.#of(state, id));
  }

  announce(addrs?: readonly string[], { signal }: CandidateOptions = {}): Promise<void> {
    assertSignal(signal);
    const { id, addrs: own } = this.#options;
    if (id === undefined) throw new TypeError('Cannot announce: the tracker was opened without an id');
    return this.#write(id, addrs ?? own?.() ?? [], signal);
  }

  withdraw({ signal }: CandidateOptions = {}): Promise<void> {
    assertSignal(signal);
    const { id } = this.#options;
    if (id === undefined) throw new TypeError('Cannot withdraw: the tracker was opened without an id');
    this.#timer?.cancel();
    this.#timer = undefined;
    return this.#write(id, undefined, signal);
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(closedError('use tracker'));
    this.#timer?.cancel();
    if (this.#ownsCell) await this.#cell.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #arm(delayMs: number): void {
    const { realm, everyMs, addrs } = this.#options;
    const again = (failed: boolean): void => {
      if (this.#closed.signal.aborted || this.#timer !== timer) return;
      const pauseMs = failed ? Math.min(RETRY_MS, everyMs) : everyMs;
      this.#arm(pauseMs * (1 - JITTER * randomShare(realm)));
    };
    const timer = clockOf(realm).setTimer(
      realm.nowMs() + delayMs,
      () => {
        // A node that has no address yet, or none any more, is not announced.
        if (addrs!().length === 0) again(true);
        else
          this.announce().then(
            () => again(false),
            () => again(true),
          );
      },
      { background: true },
    );
    this.#timer = timer;
  }

  /** Reads the cell, or takes what was read just now. */
  #read(signal: AbortSignal | undefined): Promise<TrackerState> {
    const { realm, cacheMs } = this.#options;
    const nowMs = realm.nowMs();
    if (this.#closed.signal.aborted) return Promise.reject(closedError('look up'));
    if (this.#cached === undefined || nowMs >= this.#cached.untilMs) {
      const state = this.#readNow();
      // Callers share the reading; one that fails is not kept.
      this.#cached = { state, untilMs: nowMs + cacheMs };
      state.catch(() => (this.#cached = undefined));
    }
    return withSignal(this.#cached.state, signal);
  }

  async #readNow(): Promise<TrackerState> {
    let bytes: Bytes;
    try {
      bytes = await this.#cell.get({ signal: this.#closed.signal });
    } catch (error) {
      this.#failed('read', error);
      throw error;
    }
    this.counters.countReceived(bytes.length);
    return this.#take(bytes);
  }

  /** What the cell says, and what is known better. */
  #take(bytes: Bytes): TrackerState {
    const parsed = parseTrackerState(bytes);
    if (parsed === undefined) {
      this.#fault('malformed', 'What the cell of the tracker holds is not its JSON');
      return new Map();
    }
    if (parsed.dropped > 0) this.counters.countDrop('malformed');
    const nowMs = this.#options.realm.wallMs();
    const isBelieved = ({ atMs }: TrackerAddr): boolean => atMs <= nowMs + MAX_AHEAD_MS;
    const believed = new Map([...parsed.state].map(([id, addrs]) => [id, addrs.filter(isBelieved)]));
    const { state, older } = this.#seen.merge(believed, nowMs);
    const { id } = this.#options;
    if (older.length > 0) {
      this.#fault('rolled_back', `The tracker shows older entries of ${older.length} peers than before`);
    } else if (id !== undefined && this.#seen.misses(believed, id, nowMs)) {
      this.#fault('rolled_back', 'The tracker has lost the entry of this node');
    } else if (this.#lastFault === 'rolled_back' || this.#lastFault === 'malformed') this.#lastFault = undefined;
    return state;
  }

  #of(state: TrackerState, id: PeerId): readonly Candidate[] {
    const { realm, id: self } = this.#options;
    if (id === self) return [];
    const nowMs = realm.wallMs();
    return (state.get(id) ?? []).flatMap((each): Candidate[] => {
      const expiresMs = expiryOf(each);
      if (expiresMs <= nowMs) {
        this.counters.countDrop('tracker.expired');
        return [];
      }
      // A peer whose clock is ahead is not newer than now.
      const seenMs = Math.min(each.atMs, nowMs);
      return [{ id, addr: each.addr, source: 'tracker', seenMs, expiresMs, trust: 'claimed' }];
    });
  }

  async #write(id: PeerId, addrs: readonly string[] | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { realm, ttlMs } = this.#options;
    const both = signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
    let written: TrackerState | undefined;
    const change = (current: Bytes): Bytes | undefined => {
      const nowMs = Math.floor(realm.wallMs()); // As it is written.
      const before = this.#take(current);
      const own = addrs?.slice(0, TRACKER_LIMITS.maxAddrsPerPeer).map((addr) => entryOf(addr, nowMs, ttlMs));
      const { state, bytes, left } = this.#fit(before, id, own, nowMs);
      if (left > 0) this.#fault('crowded', `The cell of the tracker is full: ${left} peers were left out`);
      written = state;
      return bytes;
    };
    try {
      await apply(this.#cell, change, { signal: both, maxAttempts: MAX_ATTEMPTS, repeatable: true });
    } catch (error) {
      // What nobody with the token has written cannot be read, and is replaced from an empty cell on.
      if (!both.aborted) this.#failed('write', error);
      throw error;
    }
    this.#cached = undefined;
    this.counters.countSent(addrs?.length ?? 0);
    if (addrs === undefined) this.#seen.forget(id);
    else if (written !== undefined) this.#seen.merge(written, realm.wallMs());
    if (this.#lastFault === 'unreachable') this.#lastFault = undefined;
  }

  /** The next state: without what has expired, with the own entry, and as long as the cell allows. */
  #fit(
    before: TrackerState,
    id: PeerId,
    own: readonly TrackerAddr[] | undefined,
    nowMs: number,
  ): { readonly state: TrackerState; readonly bytes: Bytes; readonly left: number } {
    const others = [...before]
      .filter(([each, addrs]) => each !== id && addrs.some((addr) => expiryOf(addr) > nowMs))
      .toSorted(([, a], [, b]) => newestOf(b) - newestOf(a));
    const room = own === undefined ? [] : [[id, own] as const];
    for (let kept = others.length; ;) {
      const state = new Map([...room, ...others.slice(0, kept)]);
      const bytes = encodeTrackerState(state);
      if (bytes.length <= this.#cell.maxBytes || kept === 0) return { state, bytes, left: others.length - kept };
      // In proportion to what is too much, so that a few steps are enough.
      kept = Math.max(0, Math.min(kept - 1, Math.floor((kept * this.#cell.maxBytes) / bytes.length)));
    }
  }

  #failed(what: string, error: unknown): void {
    if (this.#closed.signal.aborted) return;
    const isForeign = P2PError.is(error, 'identity_mismatch');
    const why = error instanceof Error ? error.message : String(error);
    this.#fault(isForeign ? 'malformed' : 'unreachable', `Cannot ${what} the tracker: ${why}`, error);
  }

  #fault(code: TrackerFaultCode, text: string, cause?: unknown): void {
    this.counters.countDrop(code === 'malformed' ? 'malformed' : `tracker.${code}`);
    if (this.#lastFault === code) return;
    this.#lastFault = code;
    const fault: TrackerFault = cause === undefined ? { code, text } : { code, text, cause };
    this.#options.onFault?.(fault);
  }
}

/** @throws {TypeError} for what is no address. */
function entryOf(addr: string, nowMs: number, ttlMs: number): TrackerAddr {
  if (typeof addr !== 'string' || addr.length === 0 || addr.length > TRACKER_LIMITS.maxAddrCharacters) {
    throw new TypeError(`Cannot announce: expected addresses of 1 to ${TRACKER_LIMITS.maxAddrCharacters} characters`);
  }
  return { addr, timestamp: formatTimestamp(nowMs), atMs: nowMs, ttlNs: Math.round(ttlMs * 1e6) };
}

/** The result of a shared promise, or the reason of a signal. */
function withSignal<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
