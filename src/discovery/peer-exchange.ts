/**
 * Peer exchange: peers pass on signed records of other peers, so that a node that knows one peer can learn of all.
 *
 * A record is trusted only as far as its signature proves, and everything stored is bounded and expires. A record
 * proves its signer, not its location: only addresses that led to their peers are passed on, and the others are tried
 * at a limited rate (`net/probe-targets.ts`). Invalid records are dropped and counted: `exchange.malformed`,
 * `exchange.bad_signature`, `exchange.wrong_id`, `exchange.wrong_peer`, `exchange.expired`, `exchange.from_the_future`,
 * `exchange.stale`, `exchange.full`, `exchange.not_kept`; addresses that are not tried as `exchange.refused_addr`,
 * `exchange.tried_before` and `exchange.too_many_probes`.
 */

import { type Addr, ipOf, peerIdOf } from '../core/addr.ts';
import type { AskSwarm } from '../core/ask.ts';
import { type Bytes, equalBytes } from '../base/bytes.ts';
import { describeDuration } from '../base/duration.ts';
import { P2PError, Refusal, closedError } from '../core/errors.ts';
import { assertFunction, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import type { Request } from '../core/message.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Timer } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { TextAddrs } from '../core/text-addrs.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { assertPrivateKey } from '../identity/private-key.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { later } from '../runtime/later.ts';
import { rejection } from '../runtime/promises.ts';
import { shuffle } from '../runtime/shuffle.ts';
import { Waits } from '../runtime/waits.ts';
import {
  type Candidate,
  type CandidateFault,
  candidateFaultOf,
  type FailedCandidate,
  type ReachedCandidate,
} from '../core/candidate.ts';
import { decodeExchange, encodeExchange, type ExchangeMessage } from './exchange-message.ts';
import type { PeerExchange, PeerExchangeOptions } from './exchange-options.ts';
import { plainAddr } from './addr-text.ts';
import { PeerBook } from './peer-book.ts';
import {
  MAX_LIFETIME_MS,
  MAX_RECORD_ADDRS,
  type PeerRecord,
  readPeerRecord,
  signPeerRecord,
  type UnverifiedRecord,
} from './peer-record.ts';
import { VisitPauses } from './visit-pauses.ts';
import { ProbeTargets } from '../net/probe-targets.ts';

/** The smallest clock difference that is reported. */
const CLOCK_DIFFERS_MS = 60_000;

/**
 * Signatures checked before yielding: in plain JavaScript P-256 takes 3 ms each, and no input may block for more than
 * 20 ms.
 */
const VERIFICATIONS_PER_TURN = 4;

/**
 * The minimum interval between checks of records in this node's name that it did not sign: each costs a signature
 * check.
 */
const KEY_CHECK_MS = 60_000;

/** The number of own records remembered: one is signed after half of its lifetime, or when an address changes. */
const MAX_OWN_RECORDS = 1024;

/** Peers in an answer to a query for any peers. */
const MAX_ANYBODY = 16;

/** A withdrawal is sent to this many times the peers of a round. */
const GOODBYE_ROUNDS = 4;

/**
 * Joins peer exchange over a swarm that can ask. It takes the swarm's serve slot, so give it its own channel (`mux`).
 * On an authenticated swarm no peer can act in the name of another.
 *
 * @throws {TypeError | RangeError} for invalid options, and when the swarm has a serve handler.
 */
export function peerExchange<A extends Addr>(swarm: AskSwarm<A>, options: PeerExchangeOptions<A>): PeerExchange<A> {
  if (typeof swarm !== 'object' || swarm === null || !('ask' in swarm)) {
    throw new TypeError(`Cannot take swarm: expected one that can ask, got ${describeValue(swarm)}`);
  }
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  return new Exchange(swarm, options);
}

/** Faults of an address at which a peer is: the peer that claimed it did not choose a victim, and may be tried for that peer. */
const ANSWERED: ReadonlySet<CandidateFault> = new Set<CandidateFault>(['denied', 'wrong_network', 'wrong_key']);

/** The time limit of a probe. */
const PROBE_TIMEOUT_MS = 5000;

/** An address to try, in both forms. */
interface Target {
  readonly candidate: Candidate;
  readonly addr: Addr;
}

/** Whom to ask in a round; `candidate` where the exchange itself has chosen the address. */
interface Visit<A extends Addr> {
  readonly dst: A;
  readonly candidate?: Candidate | undefined;
}

class Exchange<A extends Addr> implements PeerExchange<A> {
  readonly counters: CounterSet;
  readonly #swarm: AskSwarm<A>;
  readonly #texts: TextAddrs<A>;
  readonly #options: PeerExchangeOptions<A>;
  readonly #addrs: () => readonly string[];
  /** Whether the swarm's addresses are PeerIDs: it finds the way itself, and asks this exchange among others. */
  readonly #isById: boolean;
  /** Where this node is. */
  readonly #places: () => readonly Addr[];
  readonly #lifetimeMs: number;
  readonly #maxAnswerBytes: number;
  readonly #everyMs: number;
  readonly #fanOut: number;
  readonly #book: PeerBook;
  readonly #probes: ProbeTargets;
  /** Of visits by PeerID. */
  readonly #pauses = new VisitPauses();
  readonly #serving: Disposable;
  readonly #waits: Waits;
  #own: PeerRecord | undefined;
  /** When this process started the exchange, and the records it has signed since: those may still come back. */
  readonly #beganMs: number;
  readonly #signedMs = new Set<number>(); // Bounded by MAX_OWN_RECORDS.
  #nextCheckMs = 0;
  #round: Timer | undefined;
  #disposed = false;

  constructor(swarm: AskSwarm<A>, options: PeerExchangeOptions<A>) {
    const { privateKey, addrs, kind = 'node' } = options;
    assertPrivateKey(privateKey);
    for (const name of [
      'addrs',
      'probe',
      'mayKeep',
      'mayHandOn',
      'leadsThere',
      'onRecord',
      'onClockDiffers',
      'onKeyElsewhere',
    ] as const) {
      if (options[name] !== undefined) assertFunction(options[name], name);
    }
    this.#swarm = swarm;
    this.#texts = new TextAddrs((text) => swarm.parseAddr(text));
    this.#options = options;
    const own = addrs ?? ((): string[] => swarm.localAddrs().map(({ text }) => text));
    if (kind !== 'node' && kind !== 'client') {
      throw new TypeError(`Cannot take kind: expected 'node' or 'client', got ${describeValue(kind)}`);
    }
    this.#addrs = kind === 'client' ? () => [] : own;
    this.#isById = swarm.tryParseAddr(peerIdOfKey(privateKey.publicKey)) !== undefined;
    this.#places = this.#isById ? () => own().map(plainAddr) : () => swarm.localAddrs();
    this.#lifetimeMs = wholeNumber(options.lifetimeMs, 'lifetimeMs', 600_000, 1000, MAX_LIFETIME_MS);
    this.#maxAnswerBytes = wholeNumber(options.maxAnswerBytes, 'maxAnswerBytes', 65_536, 1024, 2 ** 24);
    this.#everyMs = quantity(options.everyMs, 'everyMs', Infinity, 100, Infinity);
    this.#fanOut = wholeNumber(options.fanOut, 'fanOut', 3, 1, 64);
    this.#book = new PeerBook(options);
    this.#probes = new ProbeTargets({
      maxProbesPerIp: wholeNumber(options.maxProbesPerIp, 'maxProbesPerIp', 8, 1, 65_536),
      maxProbes: wholeNumber(options.maxProbes, 'maxProbes', 256, 1, 65_536),
    });
    this.#beganMs = this.#wallMs();
    this.#waits = new Waits(swarm.realm);
    this.counters = new CounterSet('exchange', swarm.counters);
    this.#serving = swarm.serve((request) => this.#answer(request));
  }

  get own(): PeerRecord {
    const { privateKey } = this.#options;
    const wallMs = this.#wallMs();
    const addrs = this.#addrs().slice(0, MAX_RECORD_ADDRS);
    const before = this.#own;
    const moved = before === undefined || before.addrs.join('\n') !== addrs.join('\n');
    if (!moved && wallMs < before.issuedMs + this.#lifetimeMs / 2 && wallMs >= before.issuedMs) return before;
    const issuedMs = this.#nextIssuedMs();
    this.#signedMs.add(issuedMs);
    for (const oldest of this.#signedMs) if (this.#signedMs.size > MAX_OWN_RECORDS) this.#signedMs.delete(oldest);
    return (this.#own = signPeerRecord(privateKey, { addrs, issuedMs, lifetimeMs: this.#lifetimeMs }));
  }

  get records(): readonly PeerRecord[] {
    return this.#book.records(this.#wallMs()).filter(({ id }) => this.#mayKeep(id));
  }

  record(id: PeerId): PeerRecord | undefined {
    return this.#mayKeep(id) ? this.#book.get(this.#wallMs(), id) : undefined;
  }

  candidates(id?: PeerId): readonly Candidate[] {
    const targets = id === undefined ? this.#someTargets(MAX_ANYBODY) : this.#targets(id, MAX_RECORD_ADDRS);
    return targets.map(({ candidate }) => candidate);
  }

  reached({ id, addr, proof }: ReachedCandidate): void {
    if (proof !== undefined) this.#noteReached(id, addr);
  }

  failed({ addr, reason }: FailedCandidate): void {
    const parsed = ANSWERED.has(reason) ? this.#parse(addr) : undefined;
    if (parsed !== undefined) this.#probes.reached(parsed);
  }

  forget(id: PeerId): boolean {
    return this.#book.delete(id);
  }

  exchange(dst: A | string, options?: CallOptions): Promise<readonly PeerRecord[]> {
    if (typeof dst === 'string') {
      return this.#texts.call('exchange peers with', dst, (addr) => this.exchange(addr, options));
    }
    if (this.#disposed) return rejection(closedError(`exchange peers with ${dst.text}`));
    return this.#ask(dst, this.own, options);
  }

  async withdraw(options: CallOptions = {}): Promise<void> {
    if (this.#disposed) throw closedError('withdraw');
    const issuedMs = this.#nextIssuedMs();
    const { privateKey } = this.#options;
    const goodbye = signPeerRecord(privateKey, { addrs: [], issuedMs, lifetimeMs: this.#lifetimeMs, withdrawn: true });
    this[Symbol.dispose]();
    const told = this.#someAddrs(GOODBYE_ROUNDS * this.#fanOut).map(({ dst }) => this.#ask(dst, goodbye, options));
    await Promise.allSettled(told);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#round?.cancel();
    this.#waits.close();
    this.#serving[Symbol.dispose]();
  }

  #noteReached(id: PeerId, addr: string): void {
    this.#book.noteReached(id, addr);
    const parsed = this.#parse(addr);
    if (parsed !== undefined) this.#probes.reached(parsed);
  }

  /** A peer that may not be known is not handed on either. */
  #mayHandOn(id: PeerId, to: PeerId | undefined): boolean {
    const { mayHandOn } = this.#options;
    return this.#mayKeep(id) && (mayHandOn === undefined || this.#isYes(() => mayHandOn(id, to)));
  }

  #mayKeep(id: PeerId): boolean {
    const { mayKeep } = this.#options;
    return mayKeep === undefined || this.#isYes(() => mayKeep(id));
  }

  #isYes(ask: () => unknown): boolean {
    let answer: unknown;
    this.#callOut(() => (answer = ask()));
    return answer === true;
  }

  #parse(text: string): Addr | undefined {
    return this.#isById ? plainAddr(text) : this.#swarm.tryParseAddr(text);
  }

  #wallMs(): number {
    return Math.floor(this.#swarm.realm.wallMs());
  }

  /** Later than the last own record, whatever the clock says; peers would reject it otherwise. */
  #nextIssuedMs(): number {
    return Math.max(this.#wallMs(), (this.#own?.issuedMs ?? 0) + 1);
  }

  #ask(dst: A, own: PeerRecord, options: CallOptions | undefined): Promise<readonly PeerRecord[]> {
    const request = encodeExchange(this.#wallMs(), [own.bytes], this.#swarm.maxRequestBytes(dst));
    const id = peerIdOf(dst);
    // A peer that is connected answers over its connection, whatever address it names: that proves none.
    const proves = id !== undefined && (!this.#book.isFirstHand(id) || this.#book.isReached(id, dst.text));
    return this.#swarm
      .ask(dst, request, { ...options, maxResponseBytes: this.#maxAnswerBytes })
      .then(async (answer) => {
        const message = decodeExchange(answer);
        if (message !== undefined) {
          this.#compareClocks(dst, message);
          const taken = await this.#take(message.records, dst);
          if (proves) this.#noteReached(id, dst.text);
          return taken;
        }
        this.counters.countDrop('exchange.malformed');
        const what = `Cannot exchange peers with ${dst.text}: its answer of ${answer.length} bytes is not a list of records`;
        throw new P2PError('refused', 'remote', what);
      });
  }

  #answer({ src, payload }: Request<A>): Uint8Array {
    const message = decodeExchange(payload);
    const asker = peerIdOf(src);
    if (message === undefined || message.records.length > 1) {
      this.counters.countDrop('exchange.malformed');
      throw new Refusal('this is not a peer exchange request');
    }
    this.#compareClocks(src, message);
    // In random order, so that peers that ask again receive the records that did not fit before.
    const others: { readonly bytes: Bytes }[] = shuffle(
      this.#swarm.realm,
      this.#book.proven(this.#wallMs()).filter(({ id }) => id !== asker && this.#mayHandOn(id, asker)),
    );
    for (const bytes of message.records) this.#report(this.#takeOne(bytes, src, asker));
    if (asker !== undefined) {
      this.#noteReached(asker, src.text);
      for (const addr of this.record(asker)?.addrs ?? []) {
        if (this.#isYes(() => this.#options.leadsThere?.(asker, addr))) this.#noteReached(asker, addr);
      }
    }
    // The asker does not need its own record back, unless it differs from the one it sent: then another process has its
    // key.
    const [sent] = message.records.map((bytes) => readPeerRecord(bytes));
    const mine = asker === undefined || sent === undefined ? undefined : this.record(asker);
    if (mine !== undefined && !this.#book.knows(sent!)) others.unshift(mine);
    return encodeExchange(this.#wallMs(), [this.own.bytes, ...others.map(({ bytes }) => bytes)], this.#maxAnswerBytes);
  }

  /** Adds the records of an answer; yields to other work between signature checks. */
  async #take(records: readonly Bytes[], from: A): Promise<readonly PeerRecord[]> {
    const taken: PeerRecord[] = [];
    let checked = this.#book.verifications;
    for (const bytes of records) {
      if (this.#book.verifications - checked >= VERIFICATIONS_PER_TURN) {
        await new Promise<void>((resolve) => later(this.#swarm.realm, resolve));
        if (this.#disposed) return taken;
        checked = this.#book.verifications;
      }
      const record = this.#takeOne(bytes, from);
      if (record !== undefined) taken.push(record);
    }
    for (const record of taken) this.#report(record);
    return taken;
  }

  /** @param only - the peer whose record it must be; any peer if absent. */
  #takeOne(bytes: Bytes, from: A, only?: PeerId): PeerRecord | undefined {
    const read = readPeerRecord(bytes);
    if (read !== undefined && equalBytes(read.spki, this.#options.privateKey.publicKey.spki)) {
      this.#compareWithOwn(read);
      return undefined;
    }
    // The record's owner must be known before anything is stored; hashing a key is cheap.
    if (read !== undefined && (only !== undefined || this.#options.mayKeep !== undefined)) {
      const owner = peerIdOfKey({ algorithm: '', spki: read.spki });
      const fault = only !== undefined && owner !== only ? 'wrong_peer' : this.#mayKeep(owner) ? undefined : 'not_kept';
      if (fault !== undefined) {
        this.counters.countDrop(`exchange.${fault}`);
        return undefined;
      }
    }
    const taken = this.#book.add(this.#wallMs(), bytes, peerIdOf(from), ipOf(from));
    if (typeof taken !== 'string') return taken;
    // Receiving the same record again is normal and not counted as a drop.
    const known = taken === 'stale' && read !== undefined && this.#book.knows(read);
    if (!known) this.counters.countDrop(`exchange.${taken}`);
    return undefined;
  }

  /**
   * Handles a copy of this node's own record. One issued since the start that this process did not sign was signed by
   * another process with the same key.
   */
  #compareWithOwn(read: UnverifiedRecord): void {
    const { realm } = this.#swarm;
    const nowMs = realm.nowMs();
    const isOurs = read.issuedMs < this.#beganMs || this.#signedMs.has(read.issuedMs) || read.withdrawn;
    if (isOurs || nowMs < this.#nextCheckMs) return;
    this.#nextCheckMs = nowMs + KEY_CHECK_MS;
    const record = this.#book.check(read.bytes);
    if (typeof record === 'string') return;
    const [addr] = record.addrs.flatMap((text) => this.#swarm.tryParseAddr(text) ?? []);
    realm.trace?.({ layer: 'exchange', type: 'own_key_elsewhere', atMs: nowMs, addr });
    this.#callOut(() => this.#options.onKeyElsewhere?.(record));
  }

  #compareClocks(addr: A, { sentMs }: ExchangeMessage): void {
    const differenceMs = sentMs - this.#wallMs();
    if (Math.abs(differenceMs) < CLOCK_DIFFERS_MS) return;
    const { realm } = this.#swarm;
    const reason = `the other side's clock differs by about ${describeDuration(Math.abs(differenceMs))}`;
    realm.trace?.({ layer: 'exchange', type: 'clock_differs', atMs: realm.nowMs(), addr, reason });
    this.#callOut(() => this.#options.onClockDiffers?.(peerIdOf(addr), differenceMs));
  }

  #report(record: PeerRecord | undefined): void {
    if (record === undefined) return;
    this.#armRound();
    this.#callOut(() => this.#options.onRecord?.(record));
  }

  #callOut(call: () => unknown): void {
    try {
      call();
    } catch (cause) {
      const { realm } = this.#swarm;
      this.counters.countDrop('handler_error');
      realm.trace?.({ layer: 'exchange', type: 'handler_error', atMs: realm.nowMs(), cause });
    }
  }

  /** Up to `most` addresses to try for a peer now, each noted as tried. */
  #targets(id: PeerId, most: number): Target[] {
    const { realm } = this.#swarm;
    const own = this.#places();
    const targets: Target[] = [];
    if (!this.#mayKeep(id)) return targets;
    for (const candidate of this.#book.candidates(this.#wallMs(), id)) {
      if (targets.length >= most) break;
      const addr = this.#parse(candidate.addr);
      if (addr === undefined) continue;
      const { issuedMs } = this.#book.get(this.#wallMs(), id)!;
      const refusal =
        candidate.trust === 'reached' ? undefined : this.#probes.take(realm.nowMs(), { addr, by: id, issuedMs }, own);
      if (refusal !== undefined) this.counters.countDrop(`exchange.${refusal}`);
      // What was tried in another peer's name is not tried again with this record either.
      if (refusal === undefined || refusal === 'tried_before') {
        this.#book.noteTry(this.#wallMs(), id, candidate.addr);
      }
      if (refusal === undefined) targets.push({ candidate, addr });
    }
    return targets;
  }

  /**
   * Some peers: up to two thirds of `most` are peers that were not reached yet, because a node passes on a newcomer only
   * after it has reached it. The one that was heard of last comes first, so that news spreads at once; all others are
   * random.
   */
  #somePeers(most: number): PeerId[] {
    const all = [...this.records];
    const isReached = ({ id, addrs }: PeerRecord): boolean => addrs.some((addr) => this.#book.isReached(id, addr));
    const latest = all.findLast((record) => !isReached(record));
    shuffle(this.#swarm.realm, all);
    const fresh = all.filter((record) => record !== latest && !isReached(record));
    if (latest !== undefined) fresh.unshift(latest);
    return [...fresh.slice(0, Math.ceil((2 * most) / 3)), ...all.filter(isReached)].map(({ id }) => id);
  }

  /** One address each of some peers, each noted as tried. */
  #someTargets(most: number): Target[] {
    const targets: Target[] = [];
    for (const id of this.#somePeers(most)) {
      if (targets.length >= most) break;
      targets.push(...this.#targets(id, 1));
    }
    return targets;
  }

  /** Whom to ask in a round. */
  #someAddrs(most: number): Visit<A>[] {
    if (!this.#isById) {
      return this.#someTargets(most).flatMap(({ candidate }) => {
        const dst = this.#swarm.tryParseAddr(candidate.addr);
        return dst === undefined ? [] : [{ dst, candidate }];
      });
    }
    // The swarm finds the way, and not only by the addresses of this exchange: through a relay, for example.
    this.#pauses.retain((id) => this.record(id) !== undefined);
    const nowMs = this.#swarm.realm.nowMs();
    const due = this.#somePeers(most).filter((id) => this.#pauses.isDue(nowMs, id));
    return due.slice(0, most).flatMap((id) => {
      const dst = this.#swarm.tryParseAddr(id);
      return dst === undefined ? [] : [{ dst }];
    });
  }

  /** Exchanges with a peer whose address nobody has reached only after its probe. Never rejects. */
  async #visit({ candidate, dst }: Visit<A>): Promise<void> {
    const { probe } = this.#options;
    try {
      if (candidate !== undefined && candidate.trust !== 'reached' && probe !== undefined) {
        const what = (): string => `probe ${dst.text}`;
        const answered = await this.#waits.wait<unknown>({ what, defaultTimeoutMs: PROBE_TIMEOUT_MS }, (wait) => {
          probe(dst).then(wait.resolve, wait.reject);
        });
        if (answered !== true) return;
      }
      if (candidate !== undefined) await this.exchange(dst);
      else await this.#pauses.visit(this.#swarm.realm, peerIdOf(dst)!, () => this.exchange(dst));
    } catch (error) {
      if (candidate === undefined) return;
      this.failed({ id: candidate.id, addr: candidate.addr, reason: candidateFaultOf(error) });
    }
  }

  #armRound(): void {
    if (this.#round !== undefined || this.#disposed || this.#everyMs === Infinity) return;
    const { realm } = this.#swarm;
    const round = (): void => {
      this.#round = undefined;
      // A peer that does not answer is already noted as tried.
      for (const visit of this.#someAddrs(this.#fanOut)) void this.#visit(visit);
      this.#armRound();
    };
    this.#round = clockOf(realm).setTimer(realm.nowMs() + this.#everyMs, round, { background: true });
  }
}
