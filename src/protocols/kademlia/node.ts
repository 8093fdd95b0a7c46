/**
 * A node of the DHT as a machine without I/O: it answers requests, keeps its table, runs lookups, and stores. A driver
 * sends its requests and gives it the answers.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { createSeededRandom, type SeededRandom } from '../../base/seeded-random.ts';
import { Asks, type FailedAsk, Prepared, type Target } from './asks.ts';
import { decodeRequest, encodeAnswer, isBinary } from './binary-messages.ts';
import { Checks } from './checks.ts';
import { decodeJsonRequest, encodeJsonAnswer } from './json-messages.ts';
import type { LookupEnd } from './lookup.ts';
import { LookupRun, positionsOf, type RunSpec } from './lookup-run.ts';
import { FORM, type PutEntry, type Query } from './messages.ts';
import { NetworkSize } from './network-size.ts';
import type {
  Incoming,
  KadDrop,
  KadEvent,
  KadTransmit,
  NodeOptions,
  NodeRef,
  StoreReport,
  Times,
} from './node-types.ts';
import type { KeyText } from './position.ts';
import { Serving } from './serving.ts';
import { type StoreItem, Sweep, type SweepHost } from './sweep.ts';
import { Table } from './table.ts';
import { Upkeep } from './upkeep.ts';

/** Nodes that must answer in a lookup whose only use is that a bucket gets contacts, and requests for each of them. */
const REFRESH_WIDTH = 2;
const REFRESH_ASKS = 2;
/** Bits of a position beyond which no bucket is refreshed: deeper ones are those of the own neighbours. */
const MAX_REFRESHED_BITS = 64;
/** A record with as many copies found needs no more. */
const RECORD_QUORUM = 2;

export class KademliaNode implements Machine<KadTransmit, KadEvent> {
  readonly table: Table;
  readonly size: NetworkSize;
  readonly serving: Serving;
  readonly asks: Asks;
  readonly #options: NodeOptions;
  readonly #own: KeyText;
  readonly #host: SweepHost;
  readonly #outbox = new Outbox<KadTransmit, KadEvent, 'deadline' | 'upkeep'>();
  readonly #upkeep: Upkeep;
  readonly #random: SeededRandom;
  /** Lookups that run. Bounded by the calls of the program, and by refreshes: one a bucket. */
  readonly #runs = new Set<LookupRun>();
  readonly #checks: Checks;
  #op = 0;
  /** The wall clock less the monotonic one, at the last input. */
  #wallOffsetMs: number;

  constructor(times: Times, options: NodeOptions) {
    const { space, self, k, maxPerNetwork, maxPerNetworkInBucket } = options;
    this.#options = options;
    this.#wallOffsetMs = times.wallMs - times.now;
    this.#own = space.ofPeer(self);
    this.#random = createSeededRandom(options.seed);
    this.table = new Table({ own: this.#own, k, maxPerNetwork, maxPerNetworkInBucket });
    this.size = new NetworkSize(k);
    const drop = (reason: KadDrop, count = 1): void => this.#outbox.event({ type: 'dropped', reason, count });
    this.asks = new Asks(options, this.table, {
      transmit: (transmit) => this.#outbox.transmit(transmit),
      drop,
      clockDiffers: (peer, differenceMs) => this.#outbox.event({ type: 'clock_differs', peer, differenceMs }),
      onlineChanged: (at, isOnline) => this.#onlineChanged(at, isOnline),
    });
    this.#checks = new Checks(options, this.table, this.asks);
    this.serving = new Serving(options, this.table, {
      drop,
      probe: (at, id, addr, source) => this.#checks.probe(at, id, addr, source),
    });
    const start = (at: Times, run: LookupRun): void => this.#start(at, run);
    this.#host = { options, table: this.table, asks: this.asks, size: this.size, drop, serving: this.serving, start };
    this.#upkeep = new Upkeep(this.#random, options, {
      table: this.table,
      check: (at, target) => this.#checks.check(at, target),
      refresh: (at, index) => this.#refresh(at, index),
      refreshOwn: (at) => this.#lookOwn(at),
      store: (at, items) => this.#sweep(at, items, () => {}),
      expire: (now) => {
        this.serving.values.expire(now);
        this.serving.providers.expire(now);
      },
      isOffline: () => this.asks.isOffline,
    });
    this.#outbox.arm('upkeep', this.#upkeep.nextMs(times.now));
  }

  /** Whether the own lookups are done, so that nodes that ask are taken into the table. */
  get isJoined(): boolean {
    return this.#checks.isJoined;
  }

  /** Lookups that run now. */
  get running(): number {
    return this.#runs.size;
  }

  /** Things that this node stores again and again. */
  get published(): number {
    return this.#upkeep.published;
  }

  /**
   * Looks itself up, so that its neighbours are known and know it, and then one place in each part of the key space.
   *
   * @param seeds - nodes to begin with
   * @returns the number of the `joined` event.
   */
  join(times: Times, seeds: readonly NodeRef[]): number {
    const op = this.#op++;
    const targets = seeds.map((seed) => ({ ...seed, form: FORM.unknown }));
    this.#lookOwn(times, targets, (at, run) => {
      const report = run.report(at.now);
      let left = 1;
      const done = (then: Times): void => {
        if (--left > 0) return;
        this.#checks.joined(then);
        this.#outbox.event({ type: 'joined', op, report, peers: this.table.size });
      };
      for (let index = 0; index < Math.min(this.table.deepest, MAX_REFRESHED_BITS); index++) {
        if (this.table.liveIn(index) >= REFRESH_WIDTH) continue;
        left++;
        this.#refresh(at, index, done);
      }
      done(at);
    });
    return op;
  }

  /**
   * Finds the nodes closest to a peer, the peer itself among them.
   *
   * @param untilFound - ends as soon as the peer has answered
   * @returns the number of the `found` event
   */
  find(times: Times, peer: KeyText, untilFound: boolean): number {
    const op = this.#op++;
    const target = this.#options.space.ofPeer(peer);
    const query: Query = { op: 'find', position: target, peer, limit: this.#options.k };
    this.#look(times, {
      what: 'find',
      target,
      query,
      width: this.#options.k,
      onReply: (_, __, candidate) => untilFound && candidate.id === peer,
      onEnd: (at, run) => this.#outbox.event({ type: 'found', op, report: run.report(at.now) }),
    });
    return op;
  }

  /** Asks one node whether it answers. @returns the number of the `pong` event */
  ping(times: Times, to: NodeRef): number {
    const op = this.#op++;
    const request = new Prepared({ op: 'ping' }, this.#options);
    const startedMs = times.now;
    this.asks.send(times, {
      to: { ...to, form: FORM.unknown },
      request,
      done: (at, { answer }) => {
        const rttMs = answer === undefined ? undefined : at.now - startedMs;
        this.#outbox.event({ type: 'pong', op, rttMs });
      },
    });
    return op;
  }

  /** Finds the value of a key. @returns the number of the `value` event */
  get(times: Times, key: Bytes): number {
    const op = this.#op++;
    const { space, k, validate } = this.#options;
    const target = space.ofKey(key);
    const here = this.serving.values.get(times.now, target);
    let found = here;
    const run = this.#look(
      times,
      {
        what: 'get',
        target,
        query: { op: 'get', key },
        width: k,
        isGuarded: true,
        onReply: (_, reply) => {
          if (reply.op !== 'get' || reply.value === undefined) return false;
          if (!validate(key, reply.value)) {
            this.#host.drop('invalid_value');
            return false;
          }
          found = { value: reply.value, ttlMs: reply.ttlMs };
          return true;
        },
        onEnd: (at, ended) => {
          const report = ended.report(at.now);
          this.#outbox.event({ type: 'value', op, value: found?.value, ttlMs: found?.ttlMs ?? 0, report });
        },
      },
      here === undefined,
    );
    if (here !== undefined) run.stop(times, 'found');
    return op;
  }

  /**
   * Finds the signed record of a peer, or those of the peers that provide a key. Records go to the store of records.
   *
   * @returns the number of the `records` event
   */
  records(times: Times, of: { readonly peer: KeyText } | { readonly key: Bytes }, limit: number): number {
    const op = this.#op++;
    const { space, k, self } = this.#options;
    const isPeer = 'peer' in of;
    const target = isPeer ? space.ofPeer(of.peer) : space.ofKey(of.key);
    const issuedMs = new Map<KeyText, number>(); // Bounded by `limit`, and the records of one answer.
    let copies = 0;
    const take = (at: Times, bytes: Bytes, subject: KeyText | undefined, from: KeyText): boolean => {
      const taken = this.serving.take(at.wallMs, bytes, subject, from);
      if (taken === undefined) return false;
      issuedMs.set(taken.id, Math.max(taken.issuedMs, issuedMs.get(taken.id) ?? 0));
      return true;
    };
    this.#look(times, {
      what: isPeer ? 'record' : 'providers',
      target,
      query: isPeer ? { op: 'record', peer: of.peer } : { op: 'providers', position: target },
      width: k,
      isGuarded: true,
      onReply: (at, reply, candidate) => {
        if (reply.op === 'record' && isPeer) {
          if (reply.record === undefined || !take(at, reply.record, of.peer, candidate.id)) return false;
          // The peer itself has its latest record.
          return candidate.id === of.peer || ++copies >= RECORD_QUORUM;
        }
        if (reply.op !== 'providers') return false;
        for (const record of reply.records) take(at, record, undefined, candidate.id);
        return issuedMs.size >= limit;
      },
      onEnd: (at, run) => {
        if (!isPeer) {
          for (const id of this.serving.providers.get(at.now, target))
            if (id === self || issuedMs.size < limit) issuedMs.set(id, issuedMs.get(id) ?? 0);
        }
        const ids = [...issuedMs].toSorted((a, b) => b[1] - a[1]).map(([id]) => id);
        this.#outbox.event({ type: 'records', op, ids: ids.slice(0, limit), report: run.report(at.now) });
      },
    });
    return op;
  }

  /** Stores values, and again before they expire, until `forget`. @returns the number of the `stored` event */
  put(times: Times, entries: readonly PutEntry[], isRepeated: boolean): number {
    const items = entries.map((put): StoreItem => ({
      position: this.#options.space.ofKey(put.key),
      ttlMs: put.ttlMs,
      put,
    }));
    return this.#store(times, items, isRepeated);
  }

  /** Announces the own record, or that this node provides keys. @returns the number of the `stored` event */
  announce(times: Times, keys: readonly Uint8Array[] | undefined, ttlMs: number, isRepeated: boolean): number {
    const items =
      keys === undefined
        ? [{ position: this.#own, ttlMs, isOwnRecord: true }]
        : keys.map((key): StoreItem => ({ position: this.#options.space.ofKey(key), ttlMs }));
    return this.#store(times, items, isRepeated);
  }

  /** How many keys would be stored again and again with these. */
  publishedWith(keys: readonly Uint8Array[]): number {
    return this.#upkeep.publishedWith(keys.map((key) => this.#options.space.ofKey(key)));
  }

  /** Does not store a key again. @returns whether it would have been */
  forget(key: Uint8Array): boolean {
    return this.#upkeep.forget(this.#options.space.ofKey(key));
  }

  /** It has become known that others can reach a node. */
  reachable(times: Times, id: KeyText): void {
    this.#checks.reachable(times, id);
  }

  /** Ends the wait for an operation's lookups. */
  stop(times: Times, reason: LookupEnd): void {
    for (const run of this.#runs) run.stop(times, reason);
    this.asks.clear();
    this.#outbox.clear();
  }

  handleAnswer(times: Times, ask: number, bytes: Bytes): void {
    this.#wallOffsetMs = times.wallMs - times.now;
    this.asks.handleAnswer(times, ask, bytes);
  }

  handleFailure(times: Times, ask: number, why: FailedAsk): void {
    this.asks.handleFailure(times, ask, why);
  }

  /** The answer to a request; `undefined` when it is refused. */
  handleRequest(times: Times, incoming: Incoming): Bytes | undefined {
    const { networkName, space, form } = this.#options;
    const { payload } = incoming;
    const isClient = this.#options.isClient();
    if (isBinary(payload) && form === 'auto') {
      const request = decodeRequest(space.tag, payload);
      if (request === undefined) return this.#refuse('malformed');
      if (request === 'wrong_network') {
        this.#host.drop('wrong_network');
        return encodeAnswer({ reply: { op: 'wrong_network' }, isClient, wallMs: times.wallMs });
      }
      this.#checks.asked(times, incoming, request, FORM.binary);
      return encodeAnswer({
        reply: this.serving.reply(times, incoming, request.query),
        isClient,
        wallMs: times.wallMs,
      });
    }
    const read = decodeJsonRequest(networkName, payload, (peer) => space.ofPeer(peer));
    if (read === undefined) return this.#refuse('malformed');
    if (read === 'wrong_network') return this.#refuse('wrong_network');
    this.#checks.asked(times, incoming, read.request, read.isBinary ? FORM.binary : FORM.json);
    const reply = this.serving.reply(times, incoming, read.request.query);
    const answer = { reply, isClient, wallMs: times.wallMs };
    // Both speak the binary form: contacts in JSON cost ten times as much.
    if (read.isBinary && form === 'auto') return encodeAnswer(answer);
    return encodeJsonAnswer(answer) ?? this.#refuse('malformed');
  }

  handleTimeout(now: Millis): void {
    const times: Times = { now, wallMs: now + this.#wallOffsetMs };
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'upkeep') {
        this.#upkeep.tick(times);
        this.#outbox.arm('upkeep', this.#upkeep.nextMs(times.now));
      } else this.#stopLate(times);
    }
  }

  poll(): Output<KadTransmit, KadEvent> {
    return this.#outbox.poll();
  }

  #stopLate(times: Times): void {
    let earliest = Infinity;
    for (const run of this.#runs) {
      if (run.deadlineMs <= times.now) run.stop(times, 'deadline');
      else earliest = Math.min(earliest, run.deadlineMs);
    }
    this.#outbox.arm('deadline', earliest);
  }

  #refuse(reason: KadDrop): undefined {
    this.#host.drop(reason);
    return undefined;
  }

  /** Learns how many nodes there are from a lookup that found all of the closest ones. */
  #observe({ lookup, isCrowded }: LookupRun): void {
    const { target, width } = lookup.options;
    if (lookup.ended !== 'converged' || isCrowded || width < this.#options.k) return;
    const nearest = positionsOf(lookup.nearest());
    if (!this.size.isCrowded(target, nearest)) this.size.observe(target, nearest);
  }

  #start(times: Times, run: LookupRun): void {
    for (const each of this.#runs) if (each.isOver) this.#runs.delete(each);
    this.#runs.add(run);
    if (!this.#outbox.isArmed('deadline')) this.#outbox.arm('deadline', run.deadlineMs);
    run.pump(times);
  }

  #look(times: Times, spec: RunSpec, isStarted = true): LookupRun {
    const { onEnd } = spec;
    const run: LookupRun = new LookupRun(times, this.#host, {
      ...spec,
      onEnd: (at, ended) => {
        this.#observe(ended);
        onEnd(at, ended);
      },
    });
    if (isStarted) this.#start(times, run);
    return run;
  }

  #lookOwn(times: Times, seeds: readonly Target[] = [], onEnd?: RunSpec['onEnd']): void {
    const { self, k, space } = this.#options;
    this.table.looked(times.now, 8 * self.length);
    this.#look(times, {
      what: onEnd === undefined ? 'refresh' : 'join',
      target: this.#own,
      query: { op: 'find', position: this.#own, peer: self, limit: k },
      width: k,
      seeds: seeds.map((seed) => ({ ...seed, position: space.ofPeer(seed.id) })),
      onEnd: (at, run) => onEnd?.(at, run),
    });
  }

  /** Looks up a random place in the part of the key space that belongs to a bucket. */
  #refresh(times: Times, index: number, onEnd?: (times: Times) => void): void {
    this.table.looked(times.now, index);
    const target = this.#randomIn(index);
    const isNameless = this.#options.networkName === '';
    this.#look(times, {
      what: 'refresh',
      target,
      query: { op: 'find', position: target, peer: isNameless ? target : undefined, limit: this.#options.k },
      width: REFRESH_WIDTH,
      asksPerWidth: REFRESH_ASKS,
      onEnd: (at) => onEnd?.(at),
    });
  }

  /** A random position that shares `index` bits with the own one. */
  #randomIn(index: number): KeyText {
    const bytes = this.#random.bytes(this.#own.length);
    const [whole, bit] = [index >> 3, 0x80 >> (index & 7)];
    let text = '';
    for (let i = 0; i < bytes.length; i++) {
      const own = this.#own.charCodeAt(i);
      if (i < whole) text += this.#own[i]!;
      else if (i > whole) text += String.fromCharCode(bytes[i]!);
      else {
        const above = 0xff & ~(2 * bit - 1);
        text += String.fromCharCode((own & above) | (~own & bit) | (bytes[i]! & (bit - 1)));
      }
    }
    return text;
  }

  #sweep(times: Times, items: readonly StoreItem[], onEnd: (report: StoreReport) => void): void {
    const sweep = new Sweep(this.#host, items, (_, report) => onEnd(report));
    sweep.pump(times);
  }

  #store(times: Times, items: readonly StoreItem[], isRepeated: boolean): number {
    const op = this.#op++;
    if (isRepeated) this.#upkeep.publish(times.now, items);
    this.#sweep(times, items, (report) => this.#outbox.event({ type: 'stored', op, report }));
    return op;
  }

  #onlineChanged(times: Times, isOnline: boolean): void {
    this.#outbox.event({ type: isOnline ? 'online' : 'offline' });
    if (isOnline) this.#lookOwn(times);
    this.#outbox.arm('upkeep', this.#upkeep.nextMs(times.now));
  }
}
