/** Asks nodes whether they are there: those that asked, those that were silent for long, and addresses of records. */

import { type Asks, newContact, Prepared, type Target } from './asks.ts';
import { FORM, type Form } from './messages.ts';
import type { Incoming, NodeOptions, Times } from './node-types.ts';
import { closerTo, type KeyText } from './position.ts';
import type { Table } from './table.ts';

/** Nodes that asked before the own lookups were done, and are looked at afterwards. */
const MAX_EARLY = 64;
/** Checks under way at the same time. */
const MAX_CHECKS = 8;
/** Addresses of records whose probes run. */
const MAX_PROBES = 64;
/** The part of these three that one source may take. A source is the network of an IP, or a PeerID where there is no IP. */
const SHARE = 2;
/** Requests to a node whose check or probe is not answered. */
const MAX_TRIES = 2;

/** A node that asked, and what it counts as. */
interface Asker {
  readonly target: Target;
  readonly source: string;
}

/** Whether a source may have one more of so many. */
function hasRoom(taken: ReadonlyMap<string, { readonly source: string }>, source: string, most: number): boolean {
  if (taken.size >= most) return false;
  let own = 0;
  for (const each of taken.values()) if (each.source === source) own++;
  return own < most / SHARE;
}

export class Checks {
  readonly #options: NodeOptions;
  readonly #table: Table;
  readonly #asks: Asks;
  readonly #own: KeyText;
  /** Nodes that asked too early, or before it was known that others can reach them. Bounded by {@link MAX_EARLY}. */
  readonly #early = new Map<KeyText, Asker>();
  /** Nodes that are being checked. Bounded by {@link MAX_CHECKS} and those of one round of upkeep. */
  readonly #checks = new Map<KeyText, { readonly source: string }>();
  /** Probes under way, by PeerID and address. Bounded by {@link MAX_PROBES}. */
  readonly #probes = new Map<string, { readonly source: string }>();
  #isJoined = false;

  constructor(options: NodeOptions, table: Table, asks: Asks) {
    this.#options = options;
    this.#table = table;
    this.#asks = asks;
    this.#own = options.space.ofPeer(options.self);
  }

  /** Whether the own lookups are done, so that nodes that ask may come into the table. */
  get isJoined(): boolean {
    return this.#isJoined;
  }

  /** The own lookups are done: looks at the nodes that asked meanwhile. */
  joined(times: Times): void {
    this.#isJoined = true;
    for (const id of this.#early.keys()) this.reachable(times, id);
  }

  /** It may have become known that others can reach a node. */
  reachable(times: Times, id: KeyText): void {
    const asker = this.#early.get(id);
    if (asker === undefined || !this.#isJoined || !this.#options.isReachable(id)) return;
    this.#early.delete(id);
    this.#consider(times, asker);
  }

  /** A node has asked. Nobody is taken into the table because it asked: only because it answers. */
  asked(
    times: Times,
    { id, addr, source }: Incoming,
    from: { readonly isClient: boolean; readonly addr: string },
    form: Form,
  ): void {
    this.#asks.heard(times);
    const known = this.#table.get(id);
    if (from.isClient) {
      if (known !== undefined) this.#table.remove(id);
      return;
    }
    if (known !== undefined && known.answeredMs !== -Infinity) return;
    // A spare contact that asks again is no news.
    if (known !== undefined && this.#isJoined && this.#table.size >= this.#options.k) return;
    const asker: Asker = { target: { id, addr: from.addr === '' ? addr : from.addr, form }, source };
    if (this.#isJoined && this.#options.isReachable(id)) this.#consider(times, asker);
    else if (hasRoom(this.#early, source, MAX_EARLY)) this.#early.set(id, asker);
  }

  /** Asks a node whether it answers. @param source - what it counts as where it asked for it; empty: nothing */
  check(times: Times, target: Target, source = '', tries = 0): void {
    if (tries === 0 && this.#checks.has(target.id)) return;
    this.#checks.set(target.id, { source });
    this.#asks.send(times, {
      to: target,
      request: new Prepared({ op: 'ping' }, this.#options),
      tries,
      done: (at, { answer, isFinal, isDead }) => {
        if (answer === undefined && !isFinal && tries + 1 < MAX_TRIES) {
          this.check(at, target, source, tries + 1);
          return;
        }
        this.#checks.delete(target.id);
        if (answer === undefined && isDead) this.#asks.gaveUp(at, target.id);
      },
    });
  }

  /** Asks at an address of a record whether its subject is there. @param source - what the subject counts as */
  probe(times: Times, id: KeyText, addr: string, source: string, tries = 0): void {
    const { records } = this.#options;
    const known = this.#table.get(id);
    if (known?.addr === addr && known.answeredMs !== -Infinity) {
      records.reached(id, addr);
      return;
    }
    const name = id + addr;
    if (tries === 0 && (this.#probes.has(name) || !hasRoom(this.#probes, source, MAX_PROBES))) return;
    this.#probes.set(name, { source });
    this.#asks.send(times, {
      to: { id, addr, form: FORM.binary },
      request: new Prepared({ op: 'ping' }, this.#options),
      tries,
      isProbe: true,
      done: (at, { answer, isFinal }) => {
        if (answer === undefined && !isFinal && tries + 1 < MAX_TRIES) {
          this.probe(at, id, addr, source, tries + 1);
          return;
        }
        this.#probes.delete(name);
        if (answer !== undefined) records.reached(id, addr);
      },
    });
  }

  /** Keeps a node that asked as a spare one, and checks it at once when it is among the closest to this one. */
  #consider(times: Times, { target, source }: Asker): void {
    if (target.id === this.#options.self) return;
    const contact = this.#table.get(target.id) ?? newContact(this.#options, target);
    this.#table.named(contact);
    const isNeighbour = this.#table.size < this.#options.k || this.#isAmongNearest(contact.position);
    if (isNeighbour && hasRoom(this.#checks, source, MAX_CHECKS)) this.check(times, target, source);
  }

  #isAmongNearest(position: KeyText): boolean {
    const { k } = this.#options;
    if (this.#table.liveBeyond(this.#table.indexOf(position)) >= k) return false;
    const farthest = this.#table.closest(this.#own, k, 'healthy').at(-1);
    return farthest === undefined || closerTo(this.#own, position, farthest.position) < 0;
  }
}
