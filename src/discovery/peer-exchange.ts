/**
 * Peer exchange: peers tell each other of third ones, by records that these have signed. Whoever knows one peer can get
 * to know all.
 *
 * Nothing of what comes is believed beyond what its signature proves, and everything that is kept is bounded and
 * expires. What does not hold is dropped and counted: `exchange.malformed`, `exchange.bad_signature`,
 * `exchange.wrong_id`, `exchange.wrong_peer`, `exchange.expired`, `exchange.from_the_future`, `exchange.stale`,
 * `exchange.full`.
 */

import { type Addr, peerIdOf as peerIdOfAddr } from '../core/addr.ts';
import { type AskSwarm } from '../core/ask.ts';
import { type Bytes } from '../core/bytes.ts';
import { type Counters } from '../core/counters.ts';
import { P2PError, Refusal, closedError } from '../core/errors.ts';
import { assertFunction, describeOption, describeValue, wholeNumber } from '../core/limits.ts';
import { type Request } from '../core/message.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type CallOptions } from '../core/swarm.ts';
import { type Signer } from '../formats/key-algorithm.ts';
import { peerIdOf } from '../keys/fingerprints.ts';
import { CounterSet } from '../kit/counter-set.ts';
import { rejection } from '../kit/rejection.ts';
import { type Candidate } from './candidate.ts';
import { decodeRecords, encodeRecords } from './exchange-message.ts';
import { PeerBook, type PeerBookOptions } from './peer-book.ts';
import { MAX_LIFETIME_MS, MAX_RECORD_ADDRS, type PeerRecord, signPeerRecord } from './peer-record.ts';

/** How an exchange is made. */
export interface PeerExchangeOptions extends PeerBookOptions {
  /** The key that the swarm's own addresses hold; it signs this node's record. */
  readonly privateKey: Signer;
  /**
   * The address texts under which others reach this node, best first; the first {@link MAX_RECORD_ADDRS} are told.
   * @default those of the swarm
   */
  readonly addrs?: (() => readonly string[]) | undefined;
  /** How long this node's word holds good; it is signed anew at half of that. @default 600_000, ten minutes */
  readonly lifetimeMs?: number | undefined;
  /** Bytes of the largest answer that is given and taken. @default 65_536 */
  readonly maxAnswerBytes?: number | undefined;
  /** Called when a peer is heard of for the first time, and when it has a newer record. */
  readonly onRecord?: ((record: PeerRecord) => void) | undefined;
}

/** One node's part in peer exchange. */
export interface PeerExchange<A extends Addr> extends Disposable {
  /** This node's own record, signed anew where it has moved or the old one is at half its life. */
  readonly own: PeerRecord;
  /** What is known of others and holds good. */
  readonly records: readonly PeerRecord[];
  readonly counters: Counters;
  /** What is known of one peer. */
  record(id: PeerId): PeerRecord | undefined;
  /** Where to try a peer, best first: an address source for `peerSwarm`. */
  candidates(id: PeerId): readonly Candidate[];
  /** Forgets a peer, one that does not answer for example. */
  forget(id: PeerId): boolean;
  /**
   * Tells a peer who and where we are, and learns whom it knows.
   *
   * @returns the records that were new.
   * @throws {P2PError} (by rejection) as `ask`; `refused` also when the peer answers nothing that can be read.
   */
  exchange(dst: A, options?: CallOptions): Promise<readonly PeerRecord[]>;
}

/**
 * Takes part in peer exchange over a swarm that can ask; it takes the swarm's serve slot, so give it a channel of its own
 * (`mux`). On a swarm that authenticates, nobody can speak for another.
 *
 * @throws {TypeError | RangeError} for options out of bounds, and when the swarm has a serve handler.
 */
export function peerExchange<A extends Addr>(swarm: AskSwarm<A>, options: PeerExchangeOptions): PeerExchange<A> {
  if (typeof swarm !== 'object' || swarm === null || !('ask' in swarm)) {
    throw new TypeError(`Cannot take swarm: expected one that can ask, got ${describeValue(swarm)}`);
  }
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  return new Exchange(swarm, options);
}

class Exchange<A extends Addr> implements PeerExchange<A> {
  readonly counters: CounterSet;
  readonly #swarm: AskSwarm<A>;
  readonly #signer: Signer;
  readonly #id: PeerId;
  readonly #addrs: () => readonly string[];
  readonly #lifetimeMs: number;
  readonly #maxAnswerBytes: number;
  readonly #onRecord: ((record: PeerRecord) => void) | undefined;
  readonly #book: PeerBook;
  readonly #serving: Disposable;
  #own: PeerRecord | undefined;
  #disposed = false;

  constructor(swarm: AskSwarm<A>, options: PeerExchangeOptions) {
    const { privateKey, addrs, onRecord } = options;
    if (typeof privateKey?.sign !== 'function') {
      throw new TypeError(
        `Cannot take privateKey: expected a private key, got ${describeOption('privateKey', privateKey)}`,
      );
    }
    if (addrs !== undefined) assertFunction(addrs, 'addrs');
    if (onRecord !== undefined) assertFunction(onRecord, 'onRecord');
    this.#swarm = swarm;
    this.#signer = privateKey;
    this.#id = peerIdOf(privateKey.publicKey);
    this.#addrs = addrs ?? (() => swarm.localAddrs().map(({ text }) => text));
    this.#lifetimeMs = wholeNumber(options.lifetimeMs, 'lifetimeMs', 600_000, 1000, MAX_LIFETIME_MS);
    this.#maxAnswerBytes = wholeNumber(options.maxAnswerBytes, 'maxAnswerBytes', 65_536, 1024, 2 ** 24);
    this.#onRecord = onRecord;
    this.#book = new PeerBook(options);
    this.counters = new CounterSet('exchange', swarm.counters);
    this.#serving = swarm.serve((request) => this.#answer(request));
  }

  get own(): PeerRecord {
    const wallMs = Math.floor(this.#swarm.realm.wallMs());
    const addrs = this.#addrs().slice(0, MAX_RECORD_ADDRS);
    const before = this.#own;
    const moved = before === undefined || before.addrs.join('\n') !== addrs.join('\n');
    if (!moved && wallMs < before.issuedMs + this.#lifetimeMs / 2 && wallMs >= before.issuedMs) return before;
    // Later than the last one, whatever the clock says, or others would not take it.
    const issuedMs = Math.max(wallMs, (before?.issuedMs ?? 0) + 1);
    return (this.#own = signPeerRecord(this.#signer, { addrs, issuedMs, lifetimeMs: this.#lifetimeMs }));
  }

  get records(): readonly PeerRecord[] {
    return this.#book.records(this.#swarm.realm.wallMs());
  }

  record(id: PeerId): PeerRecord | undefined {
    return this.#book.get(this.#swarm.realm.wallMs(), id);
  }

  candidates(id: PeerId): readonly Candidate[] {
    return this.#book.candidates(this.#swarm.realm.wallMs(), id);
  }

  forget(id: PeerId): boolean {
    return this.#book.delete(id);
  }

  exchange(dst: A, options?: CallOptions): Promise<readonly PeerRecord[]> {
    if (this.#disposed) return rejection(closedError(`exchange peers with ${dst.text}`));
    const request = encodeRecords([this.own.bytes], this.#swarm.maxRequestBytes(dst));
    return this.#swarm.ask(dst, request, { ...options, maxResponseBytes: this.#maxAnswerBytes }).then((answer) => {
      const records = decodeRecords(answer);
      if (records !== undefined) return this.#take(records, peerIdOfAddr(dst));
      this.counters.countDrop('exchange.malformed');
      const what = `Cannot exchange peers with ${dst.text}: its answer of ${answer.length} bytes is no list of records`;
      throw new P2PError('refused', 'remote', what);
    });
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#serving[Symbol.dispose]();
  }

  #answer({ src, payload }: Request<A>): Uint8Array {
    const records = decodeRecords(payload);
    const asker = peerIdOfAddr(src);
    if (records === undefined || records.length > 1) {
      this.counters.countDrop('exchange.malformed');
      throw new Refusal('that is no peer exchange');
    }
    const [mine, ...others] = [this.own, ...this.#shuffled()].filter(({ id }) => id !== asker);
    this.#take(records, asker, asker);
    const bytes = [mine, ...others].flatMap((record) => (record === undefined ? [] : [record.bytes]));
    return encodeRecords(bytes, this.#maxAnswerBytes);
  }

  /** In an order of chance, so that whoever asks again learns of those that did not fit. */
  #shuffled(): PeerRecord[] {
    const records = this.#book.records(this.#swarm.realm.wallMs());
    const draws = this.#swarm.realm.random(4 * records.length);
    const view = new DataView(draws.buffer, draws.byteOffset);
    for (let i = records.length - 1; i > 0; i--) {
      const j = view.getUint32(4 * i) % (i + 1);
      [records[i], records[j]] = [records[j]!, records[i]!];
    }
    return records;
  }

  /** @param only - whose records may be among them; anybody's when it is not given. */
  #take(records: readonly Bytes[], teller: PeerId | undefined, only?: PeerId): readonly PeerRecord[] {
    const wallMs = this.#swarm.realm.wallMs();
    const taken: PeerRecord[] = [];
    for (const bytes of records) {
      const record = this.#takeOne(wallMs, bytes, teller, only);
      if (record !== undefined) taken.push(record);
    }
    for (const record of taken) this.#report(record);
    return taken;
  }

  #takeOne(wallMs: number, bytes: Bytes, teller: PeerId | undefined, only: PeerId | undefined): PeerRecord | undefined {
    const verified = this.#book.check(bytes);
    if (typeof verified === 'string') {
      this.counters.countDrop(`exchange.${verified}`);
      return undefined;
    }
    if (verified.id === this.#id) return undefined;
    if (only !== undefined && verified.id !== only) {
      this.counters.countDrop('exchange.wrong_peer');
      return undefined;
    }
    const taken = this.#book.addVerified(wallMs, verified, teller);
    if (typeof taken !== 'string') return taken;
    // Hearing the same again is how it goes, and no fault.
    if (taken !== 'stale' || this.#book.get(wallMs, verified.id)!.issuedMs > verified.issuedMs) {
      this.counters.countDrop(`exchange.${taken}`);
    }
    return undefined;
  }

  #report(record: PeerRecord): void {
    try {
      this.#onRecord?.(record);
    } catch (cause) {
      const { realm } = this.#swarm;
      this.counters.countDrop('handler_error');
      realm.trace?.({ layer: 'exchange', type: 'handler_error', atMs: realm.nowMs(), cause });
    }
  }
}
