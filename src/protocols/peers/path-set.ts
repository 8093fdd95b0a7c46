/** The paths of a session, and the one that messages go over. Source: docs/wire/peers.md §7. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { SPARE_MS } from './constants.ts';
import { encodePing, encodeSelect, type PathPacket } from './packets.ts';
import { Path, type PathOptions } from './path.ts';

/** What the paths need from the session. */
export interface PathSetOwner {
  /** Whether idle paths are asked: somebody wants the session although nothing flows. */
  readonly beats: boolean;
  event(
    event:
      | { readonly type: 'path'; readonly path: number | undefined; readonly reason: string }
      | { readonly type: 'spare'; readonly path: number },
  ): void;
  transmit(path: number, packet: Bytes): void;
  progress(path: number): number;
}

export class PathSet {
  readonly #tag: number;
  readonly #chooses: boolean;
  readonly #owner: PathSetOwner;
  /** Bounded by its owner, which has one path for each transport. */
  readonly #paths = new Map<number, Path>();
  #current: Path | undefined;
  /** The path that the other side has chosen. */
  #selected: Path | undefined;
  #epoch = 0;
  #chosenMs: Millis = 0;

  /** @param chooses - whether this side chooses the path */
  constructor(tag: number, chooses: boolean, owner: PathSetOwner) {
    this.#tag = tag;
    this.#chooses = chooses;
    this.#owner = owner;
  }

  /** The path to send on. */
  get current(): Path | undefined {
    return this.#current;
  }

  get size(): number {
    return this.#paths.size;
  }

  get ids(): readonly number[] {
    return [...this.#paths.keys()];
  }

  has(id: number): boolean {
    return this.#paths.has(id);
  }

  get(id: number): Path | undefined {
    return this.#paths.get(id);
  }

  add(now: Millis, id: number, options: PathOptions): void {
    if (this.#paths.has(id)) return;
    const path = new Path(id, options, now);
    if (options.isPeers === true) this.hurry(now);
    this.#paths.set(id, path);
    // It has to show what it is worth before it is closed as a spare one.
    this.#chosenMs = now;
    this.#choose(now, 'a path was found');
    // Its round trip is not known yet.
    this.#owner.transmit(id, encodePing('ping', this.#tag, path.ping(now)));
  }

  /** False when there is no such path. */
  remove(now: Millis, id: number, reason: string): boolean {
    const path = this.#paths.get(id);
    if (path === undefined) return false;
    this.#paths.delete(id);
    if (this.#selected === path) this.#selected = undefined;
    if (this.#current === path) {
      this.#current = undefined;
      this.#choose(now, reason);
      if (this.#current === undefined) this.#owner.event({ type: 'path', path: undefined, reason });
    }
    return true;
  }

  /** A path is going away: it is used only while there is no other one. */
  demote(now: Millis, id: number): void {
    const path = this.#paths.get(id);
    if (path === undefined) return;
    path.rank = Infinity;
    this.#choose(now, 'another path goes away');
  }

  pending(id: number, bytes: number): void {
    const path = this.#paths.get(id);
    if (path !== undefined) path.pendingBytes += bytes;
  }

  taken(id: number, bytes: number): void {
    this.pending(id, -bytes);
  }

  /** A message was sent on it, and needs an acknowledgement. */
  used(now: Millis, id: number): void {
    const path = this.#paths.get(id);
    if (path === undefined) return;
    path.unacknowledged++;
    path.sent(now);
  }

  /** A message that was sent on it was acknowledged, or goes over another path. */
  released(id: number): void {
    const path = this.#paths.get(id);
    if (path !== undefined) path.unacknowledged--;
  }

  heard(now: Millis, id: number): void {
    const path = this.#paths.get(id);
    if (path === undefined) return;
    const { isConfirmed } = path;
    const { isInDoubt } = path;
    path.heard(now);
    if (!isConfirmed || isInDoubt) this.#choose(now, 'a path was found');
  }

  /** A packet of another session has come on it. @returns whether nothing else comes on it: it is dead for this session */
  isForeign(now: Millis, id: number): boolean {
    return this.#paths.get(id)?.isForeign(now) === true;
  }

  hurry(now: Millis): void {
    for (const path of this.#paths.values()) path.hurry(now);
  }

  handle(now: Millis, id: number, packet: PathPacket): void {
    const path = this.#paths.get(id);
    if (path === undefined) return;
    this.heard(now, id);
    if (packet.type === 'ping') this.#owner.transmit(id, encodePing('pong', this.#tag, packet.token));
    else if (packet.type === 'pong') {
      path.handlePong(now, packet.token);
      this.#choose(now, 'its round trip is shorter');
    } else if (!this.#chooses && packet.epoch > this.#epoch) {
      this.#epoch = packet.epoch;
      this.#selected = path;
      this.#choose(now, 'the peer has chosen it');
    }
  }

  /** Asks the paths that are due. @returns the paths that are dead */
  handleTimeout(now: Millis): readonly number[] {
    const dead: number[] = [];
    for (const path of this.#paths.values()) {
      const due = path.due(now, this.#owner.beats);
      if (due === undefined) continue;
      const hasMoved = path.hasMoved(now, this.#owner.progress(path.id));
      if (due === 'dead' && !hasMoved) dead.push(path.id);
      else this.#owner.transmit(path.id, encodePing('ping', this.#tag, path.ping(now)));
    }
    if (this.#chooses && this.#paths.size > 1 && now >= this.#spareMs) {
      for (const path of this.#paths.values()) {
        const isSpare = path !== this.#current && path.unacknowledged === 0 && this.#current?.isInDoubt === false;
        if (isSpare) this.#owner.event({ type: 'spare', path: path.id });
      }
      this.#chosenMs = now;
    }
    return dead;
  }

  get dueMs(): Millis {
    let due = this.#chooses && this.#paths.size > 1 ? this.#spareMs : Infinity;
    for (const path of this.#paths.values()) due = Math.min(due, path.dueMs(this.#owner.beats));
    return due;
  }

  clear(): void {
    this.#paths.clear();
    this.#current = this.#selected = undefined;
  }

  get #spareMs(): Millis {
    return this.#chosenMs + SPARE_MS;
  }

  #choose(now: Millis, reason: string): void {
    let best = this.#selected;
    if (best === undefined || best.isInDoubt) {
      best = this.#current;
      for (const path of this.#paths.values()) if (best === undefined || path.isBetterThan(best)) best = path;
    }
    if (best === undefined || best === this.#current) return;
    this.#current = best;
    this.#chosenMs = now;
    if (this.#chooses) this.#owner.transmit(best.id, encodeSelect(this.#tag, ++this.#epoch));
    this.#owner.event({ type: 'path', path: best.id, reason });
  }
}
