/** What a node knows of the ring: who is before it, who are behind it, and fingers across. */

import { type Bytes, compareBytes, toHex } from '../../base/bytes.ts';
import { distanceForward, isBetween } from './distance.ts';
import { CHORD_ID_BYTES, type ChordFound } from './messages.ts';

/** A node with its place. */
export interface ChordPeer {
  readonly addr: string;
  readonly id: Bytes;
}

const BITS = 8 * CHORD_ID_BYTES;
/** How many nodes that are closer to a key an answer names. */
const MAX_CLOSER = 3;

/** The neighbours and fingers of one node. */
export class RingTable {
  readonly self: ChordPeer;
  predecessor: ChordPeer | undefined;
  /** From the nearest on; only this node itself while it is alone. Bounded by `maxSuccessors`. */
  successors: readonly ChordPeer[];
  readonly maxSuccessors: number;
  /** By the power of two that they are away. Bounded by the bits of a place. */
  readonly #fingers = new Map<number, ChordPeer>();

  constructor(self: ChordPeer, maxSuccessors: number) {
    this.self = self;
    this.maxSuccessors = maxSuccessors;
    this.successors = [self];
  }

  get successor(): ChordPeer {
    return this.successors[0]!;
  }

  get isAlone(): boolean {
    return this.successor.addr === this.self.addr;
  }

  get fingers(): readonly ChordPeer[] {
    return [...this.#fingers.values()];
  }

  /** Puts nodes behind this one in this order: each place once, whatever its addresses; this node never unless it is alone. */
  setSuccessors(peers: readonly ChordPeer[]): void {
    const seen = new Set([this.self.addr]);
    const places = new Set([toHex(this.self.id)]);
    const list: ChordPeer[] = [];
    for (const peer of peers) {
      // A list that has come around the ring goes on with those that were passed.
      if (seen.has(peer.addr) || list.length >= this.maxSuccessors) break;
      seen.add(peer.addr);
      const place = toHex(peer.id);
      // A node may have had another address before.
      if (!places.has(place)) list.push(peer);
      places.add(place);
    }
    this.successors = list.length === 0 ? [this.self] : list;
  }

  /** Forgets a node that does not answer. */
  remove(addr: string): void {
    if (this.predecessor?.addr === addr) this.predecessor = undefined;
    for (const [bit, finger] of this.#fingers) if (finger.addr === addr) this.#fingers.delete(bit);
    this.setSuccessors(this.successors.filter((peer) => peer.addr !== addr));
  }

  /** The place that finger number `bit` looks for: 2^bit behind this node. */
  fingerStart(bit: number): Bytes {
    const out = this.self.id.slice();
    let carry = 1 << (bit % 8);
    for (let i = CHORD_ID_BYTES - 1 - Math.floor(bit / 8); i >= 0 && carry > 0; i--) {
      carry += out[i]!;
      out[i] = carry;
      carry >>= 8;
    }
    return out;
  }

  /** The finger to look up behind this one: they go down from the farthest until they are nearer than the successor. */
  nextFinger(last: number | undefined): number {
    if (last === undefined || last === 0) return BITS - 1;
    const next = last - 1;
    const away = distanceForward(this.successor.id, this.self.id);
    const isNearer = compareBytes(distanceForward(this.fingerStart(next), this.self.id), away) <= 0;
    return this.isAlone || isNearer ? BITS - 1 : next;
  }

  setFinger(bit: number, peer: ChordPeer): void {
    if (peer.addr === this.self.addr) this.#fingers.delete(bit);
    else this.#fingers.set(bit, peer);
  }

  /** The first node at or behind a key, as far as this one can tell, or nodes that are closer before it. */
  find(key: Bytes): ChordFound {
    const { self, successors } = this;
    const isMine = compareBytes(key, self.id) === 0;
    if (isMine)
      return { kind: 'owners', addrs: [self.addr, ...successors.map(({ addr }) => addr)].slice(0, this.maxSuccessors) };
    // Only of the nearest one is it certain that nobody is before it.
    const { id } = this.successor;
    if (this.isAlone || compareBytes(key, id) === 0 || isBetween(key, self.id, id)) {
      return { kind: 'owners', addrs: successors.map(({ addr }) => addr) };
    }
    const closer = this.closest(key, MAX_CLOSER).map(({ addr }) => addr);
    return closer.length > 0 ? { kind: 'closer', addrs: closer } : { kind: 'owners', addrs: [this.successor.addr] };
  }

  /** Known nodes between this one and a key, the closest to the key first. */
  closest(key: Bytes, most: number): readonly ChordPeer[] {
    const between = new Map<string, ChordPeer>();
    for (const peer of [...this.successors, ...this.#fingers.values()]) {
      if (isBetween(peer.id, this.self.id, key)) between.set(peer.addr, peer);
    }
    const away = (peer: ChordPeer): Bytes => distanceForward(key, peer.id);
    return [...between.values()].toSorted((a, b) => compareBytes(away(a), away(b))).slice(0, most);
  }
}
