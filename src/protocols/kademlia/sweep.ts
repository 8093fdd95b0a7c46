/**
 * Stores many things at once: sorts them by position, and visits one region of the key space after the other. One lookup
 * finds the nodes of a region, and each of them gets all of its things in a few messages. Ten thousand keys cost about as
 * much as the number of nodes, not as ten thousand lookups.
 */

import { Prepared, type Target } from './asks.ts';
import type { Candidate } from './lookup.ts';
import { LookupRun, positionsOf, type RunHost } from './lookup-run.ts';
import {
  FORM,
  MAX_ANNOUNCED_KEYS,
  MAX_PUT_ENTRIES,
  type PutEntry,
  type Query,
  type RecordVerdict,
} from './messages.ts';
import type { LookupReport, StoreReport, Times } from './node-types.ts';
import { closerTo, type KeyText, POSITION_BYTES, sharedBits } from './position.ts';
import type { Serving } from './serving.ts';

/** A thing to store. */
export interface StoreItem {
  readonly position: KeyText;
  readonly ttlMs: number;
  /** A value; without one it is a key that this node provides, or its own record at its own position. */
  readonly put?: PutEntry | undefined;
  readonly isOwnRecord?: boolean | undefined;
}

/** What a sweep needs. */
export interface SweepHost extends RunHost {
  readonly serving: Serving;
}

/** The width of the lookup of a region, in k. */
const REGION_WIDTH = 4;
/** Regions at the same time. */
const MAX_REGIONS = 3;
/** Storing requests under way at the same time, over all regions. */
const MAX_STORING = 16;
/** Requests to a node that does not answer. */
const MAX_TRIES = 2;
/** A message of entries has room for heads. */
const HEAD_BYTES = 1024;

interface Indexed extends StoreItem {
  readonly index: number;
}

interface Parcel {
  readonly to: Target;
  readonly items: readonly Indexed[];
}

export class Sweep {
  readonly #host: SweepHost;
  readonly #onEnd: (times: Times, report: StoreReport) => void;
  /** By position. Bounded by what the caller stores. */
  #pending: readonly Indexed[];
  readonly #accepted: number[];
  readonly #records = new Map<RecordVerdict, number>(); // Bounded by the verdicts.
  /** Bounded by {@link MAX_REPORTS}. */
  readonly #reports: LookupReport[] = [];
  /** Bounded by the nodes of {@link MAX_REGIONS} regions and the messages that each gets. */
  readonly #parcels: Parcel[] = [];
  readonly #many: boolean;
  #regions = 0;
  #storing = 0;
  #asked = 0;
  #isOver = false;

  constructor(host: SweepHost, items: readonly StoreItem[], onEnd: (times: Times, report: StoreReport) => void) {
    this.#host = host;
    this.#onEnd = onEnd;
    this.#accepted = items.map(() => 0);
    this.#many = items.length > 1;
    const indexed = items.map((item, index): Indexed => ({ ...item, index }));
    this.#pending = indexed.toSorted((a, b) => (a.position < b.position ? -1 : 1));
  }

  pump(times: Times): void {
    while (!this.#isOver && this.#storing < MAX_STORING) {
      const parcel = this.#parcels.shift();
      if (parcel === undefined) break;
      this.#storing++;
      this.#store(times, parcel, 0);
    }
    while (!this.#isOver && this.#regions < MAX_REGIONS && this.#pending.length > 0 && this.#parcels.length === 0) {
      // One at a time at the beginning: the first may cover everything.
      if (this.#regions > 0 && this.#reports.length === 0) break;
      this.#visit(times);
    }
    if (this.#isOver || this.#regions + this.#storing + this.#parcels.length + this.#pending.length > 0) return;
    this.#isOver = true;
    this.#onEnd(times, {
      accepted: this.#accepted,
      asked: this.#asked,
      lookups: this.#reports,
      records: this.#records,
    });
  }

  /** Looks up the region of the first thing that is left; regions under way do not overlap: they are far apart. */
  #visit(times: Times): void {
    const { options } = this.#host;
    const at = Math.floor((this.#regions * this.#pending.length) / MAX_REGIONS);
    const { position: target, isOwnRecord = false } = this.#pending[at]!;
    const width = this.#many ? REGION_WIDTH * options.k : options.k;
    this.#regions++;
    const peer = options.networkName === '' ? target : isOwnRecord ? options.self : undefined;
    const query: Query = { op: 'find', position: target, limit: options.k, peer };
    const run = new LookupRun(times, this.#host, {
      what: 'store',
      target,
      query,
      width,
      isGuarded: !this.#many,
      onEnd: (at, ended) => this.#found(at, ended, target),
    });
    this.#host.start(times, run);
  }

  /** The nodes of a region are known: takes the things that belong there. */
  #found(times: Times, run: LookupRun, target: KeyText): void {
    const { options } = this.#host;
    const report = run.report(times.now);
    this.#regions--;
    this.#asked += report.asked;
    if (this.#reports.length < MAX_REPORTS) this.#reports.push(report);
    const nodes = this.#nodesOf(run);
    const bits = regionBits(target, nodes, run.lookup.width, options.k);
    const known = nodes.filter(({ position }) => sharedBits(position, target) >= bits);
    const here: Indexed[] = [];
    const left: Indexed[] = [];
    for (const item of this.#pending) {
      const belongs = item.position === target || sharedBits(item.position, target) >= bits;
      (belongs ? here : left).push(item);
    }
    this.#pending = left;
    this.#pack(times, here, bits > 8 * POSITION_BYTES ? nodes : known);
    this.pump(times);
  }

  /** The nodes that answered, and this one when it stores for others. */
  #nodesOf(run: LookupRun): Candidate[] {
    const { options } = this.#host;
    const nodes = run.lookup.nearest(run.lookup.width);
    if (options.isClient()) return nodes;
    const position = options.space.ofPeer(options.self);
    const self: Candidate = {
      id: options.self,
      position,
      addr: '',
      form: FORM.binary,
      hop: 0,
      path: 0,
      network: '',
      state: 'answered',
      tries: 0,
      teller: undefined,
      namedAnswered: 0,
      namedFailed: 0,
    };
    return [...nodes, self].toSorted((a, b) => closerTo(run.lookup.options.target, a.position, b.position));
  }

  /** Packs things for the nodes that are to have them. */
  #pack(times: Times, items: readonly Indexed[], nodes: readonly Candidate[]): void {
    const { options } = this.#host;
    const byNode = new Map<Candidate, Indexed[]>(); // Bounded by the nodes.
    for (const item of items) {
      for (const node of this.#targetsOf(item.position, nodes)) {
        const list = byNode.get(node) ?? [];
        list.push(item);
        byNode.set(node, list);
      }
    }
    for (const [node, list] of byNode) {
      if (node.id === options.self) this.#storeHere(times, list);
      else
        for (const part of partsOf(list, options.maxMessageBytes - HEAD_BYTES, node.form))
          this.#parcels.push({ to: node, items: part });
    }
  }

  /** The k closest nodes, or all of the region when it is crowded. */
  #targetsOf(position: KeyText, nodes: readonly Candidate[]): readonly Candidate[] {
    const { options, size } = this.#host;
    const sorted = nodes.toSorted((a, b) => closerTo(position, a.position, b.position));
    if (!size.isCrowded(position, positionsOf(sorted))) return sorted.slice(0, options.k);
    const region = sorted.filter((node) => size.isInRegion(position, node.position));
    return region.length < options.k ? sorted.slice(0, options.k) : region;
  }

  #storeHere(times: Times, items: readonly Indexed[]): void {
    const { options, serving } = this.#host;
    const own = { id: options.self, addr: '', source: options.self };
    for (const item of items) {
      const isTaken =
        item.isOwnRecord === true ||
        (item.put === undefined
          ? serving.providers.add(times.now, item.position, options.self, options.self, item.ttlMs) === undefined
          : serving.put(times, own, item.put) === undefined);
      if (isTaken) this.#accepted[item.index]!++;
    }
  }

  #store(times: Times, parcel: Parcel, tries: number): void {
    const { asks, options } = this.#host;
    this.#asked++;
    const known = this.#host.table.get(parcel.to.id);
    asks.send(times, {
      to: { ...parcel.to, form: known?.form ?? parcel.to.form },
      request: new Prepared(this.#queryOf(parcel.items), options),
      tries,
      done: (at, { answer, isFinal, isDead }) => {
        if (answer === undefined && !isFinal && tries + 1 < MAX_TRIES) {
          this.#store(at, parcel, tries + 1);
          return;
        }
        this.#storing--;
        if (answer === undefined) {
          if (isDead) asks.gaveUp(at, parcel.to.id);
        } else if (answer.reply.op === 'put') {
          for (const [i, item] of parcel.items.entries())
            if (answer.reply.accepted[i] === true) this.#accepted[item.index]!++;
        } else if (answer.reply.op === 'announce') {
          const { record, accepted } = answer.reply;
          this.#records.set(record, (this.#records.get(record) ?? 0) + 1);
          this.#count(parcel.items, record, accepted);
        }
        this.pump(at);
      },
    });
  }

  /** A node says how many keys it took, not which: with fewer than all, none counts. */
  #count(items: readonly Indexed[], record: RecordVerdict, accepted: number): void {
    const keys = items.filter(({ isOwnRecord }) => isOwnRecord !== true);
    for (const item of items) {
      // A stale verdict: the node has this record, or a newer one.
      const isTaken = item.isOwnRecord === true ? record === 'taken' || record === 'stale' : accepted >= keys.length;
      if (isTaken) this.#accepted[item.index]!++;
    }
  }

  #queryOf(items: readonly Indexed[]): Query {
    const { records } = this.#host.options;
    const entries = items.flatMap(({ put }) => put ?? []);
    if (entries.length > 0) return { op: 'put', entries };
    const positions = items.flatMap((item) => (item.isOwnRecord === true ? [] : [item.position]));
    return { op: 'announce', record: records.own(), positions, ttlMs: Math.max(...items.map(({ ttlMs }) => ttlMs)) };
  }
}

/** Reports of lookups that are kept of one sweep. */
const MAX_REPORTS = 16;

/**
 * The leading bits that a region shares with its target: all nodes in it are known, and there are at least k. More bits
 * than a position has when there is no such region; 0 when all nodes are known.
 */
function regionBits(target: KeyText, nodes: readonly Candidate[], width: number, k: number): number {
  if (nodes.length < width) return 0;
  const bits = sharedBits(nodes.at(-1)!.position, target) + 1;
  const inside = nodes.filter(({ position }) => sharedBits(position, target) >= bits).length;
  return inside >= k ? bits : 8 * POSITION_BYTES + 1;
}

/** Things for one node in messages of a bounded size: values and keys apart, and one value a message in the JSON form. */
function partsOf(items: readonly Indexed[], maxBytes: number, form: number): Indexed[][] {
  const parts: Indexed[][] = [];
  let [part, bytes]: [Indexed[], number] = [[], 0];
  const flush = (): void => {
    if (part.length > 0) parts.push(part);
    [part, bytes] = [[], 0];
  };
  const values = items.filter(({ put }) => put !== undefined);
  const maxEntries = form === FORM.binary ? MAX_PUT_ENTRIES : 1;
  for (const item of values) {
    const length = item.put!.key.length + item.put!.value.length + 16;
    if (part.length >= maxEntries || bytes + length > maxBytes) flush();
    part.push(item);
    bytes += length;
  }
  flush();
  for (const item of items) {
    if (item.put !== undefined) continue;
    if (part.length >= MAX_ANNOUNCED_KEYS || bytes + 32 > maxBytes) flush();
    part.push(item);
    bytes += 32;
  }
  flush();
  return parts;
}
