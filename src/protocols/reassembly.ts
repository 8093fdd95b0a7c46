/**
 * Reassembles messages from parts, sans-IO, within limits that no sender can exceed. Used by frag and mbapp, each with
 * its own wire format.
 */

import { type Addr, ipOf } from '../core/addr.ts';
import { type Bytes, concatBytes } from '../base/bytes.ts';
import type { Millis } from '../base/machine.ts';
import { sourceOf } from '../base/source-shares.ts';

/** The limits of incomplete messages. */
export interface ReassemblyLimits {
  /** A message with more parts is dropped. */
  readonly maxParts: number;
  /** A message that becomes larger is dropped. */
  readonly maxMessageBytes: number;
  readonly maxMessages: number;
  readonly maxMessagesPerSource: number;
  /** Payload bytes of all incomplete messages, plus {@link PART_COST_BYTES} per part. */
  readonly maxBytes: number;
  readonly maxBytesPerSource: number;
  /** A message that is incomplete after this time is dropped. */
  readonly maxAgeMs: number;
}

/** The cost of a part in addition to its bytes: a map entry and a view. A conservative estimate. */
export const PART_COST_BYTES = 128;

/** One part of a message of several. */
export interface MessagePart {
  /** Identifies this message among those of its source; from the wire, or derived from other fields. */
  readonly id: number | string;
  /** 0 to `total` − 1. */
  readonly part: number;
  /** The number of parts, 2 or more. */
  readonly total: number;
  /** Bytes of the whole message, if the wire format contains it. */
  readonly sizeBytes?: number | undefined;
  /** Kept until the message is complete. */
  readonly data: Bytes;
}

/** Why a part, or an incomplete message, was dropped. Layers add their name as a prefix. */
export type ReassemblyDrop =
  /** The total differs from that of earlier parts, or the parts do not match it; the whole message is dropped. */
  | 'inconsistent_total'
  /** This part was received already, or its message is complete. */
  | 'duplicate'
  /** The message is larger than this receiver accepts. */
  | 'too_large'
  /** Dropped for newer messages: too many were incomplete. */
  | 'evicted'
  /** Too old: a part was probably lost. */
  | 'incomplete';

/** The result of a part. */
export type PartOutcome =
  | { readonly type: 'message'; readonly payload: Bytes }
  | { readonly type: 'waiting' }
  | { readonly type: 'dropped'; readonly reason: ReassemblyDrop };

interface HalfBuilt {
  readonly source: Source;
  readonly id: number | string;
  readonly total: number;
  readonly sizeBytes: number | undefined;
  readonly bornMs: Millis;
  /** Bounded by `total` and by the byte limits. */
  readonly parts: Map<number, Bytes>;
  payloadBytes: number;
}

interface Source {
  readonly text: string;
  readonly network: Network;
  /** Oldest first. Bounded by `maxMessagesPerSource`. */
  readonly messages: Map<number | string, HalfBuilt>;
  bytes: number;
}

/** The incomplete messages of the sources of one network (/24, /64): one host with many ports or keys has one share. */
interface Network {
  readonly name: string;
  /** Oldest first. Bounded by `maxMessages`. */
  readonly messages: Set<HalfBuilt>;
  bytes: number;
}

/** How long, and how many, finished messages are remembered, so that late duplicates of their parts are recognised. */
const FINISHED_MS = 2000;
const MAX_FINISHED = 1024;

const WAITING: PartOutcome = { type: 'waiting' };

/** Incomplete messages of all sources. */
export class Reassembly {
  readonly #limits: ReassemblyLimits;
  /** Bounded by `maxMessages`: a source without messages is removed. */
  readonly #sources = new Map<string, Source>();
  /** Bounded by `maxMessages`: a network without messages is removed. */
  readonly #networks = new Map<string, Network>();
  /** All incomplete messages, oldest first. Bounded by `maxMessages`. */
  readonly #all = new Set<HalfBuilt>();
  /** When messages were completed, oldest first. Bounded by {@link MAX_FINISHED}. */
  readonly #finished = new Map<string, Millis>();
  #bytes = 0;
  #evicted = 0;

  constructor(limits: ReassemblyLimits) {
    this.#limits = limits;
  }

  /** The number of incomplete messages. */
  get messages(): number {
    return this.#all.size;
  }

  /** Their cost in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When the oldest incomplete message is dropped; `undefined` without any. */
  get deadlineMs(): Millis | undefined {
    for (const oldest of this.#all) return oldest.bornMs + this.#limits.maxAgeMs;
    return undefined;
  }

  /** The number of messages dropped for lack of room since the last call. */
  takeEvicted(): number {
    const evicted = this.#evicted;
    this.#evicted = 0;
    return evicted;
  }

  /** Drops messages that are too old. @returns how many. */
  handleTimeout(now: Millis): number {
    let incomplete = 0;
    for (const half of this.#all) {
      if (half.bornMs + this.#limits.maxAgeMs > now) break;
      this.#remove(half);
      incomplete++;
    }
    return incomplete;
  }

  /** Handles a part. `part.data` is kept. */
  handlePart(now: Millis, source: Addr, part: MessagePart): PartOutcome {
    const { maxParts, maxMessageBytes } = this.#limits;
    if (part.total > maxParts || (part.sizeBytes ?? 0) > maxMessageBytes) return dropped('too_large');
    const half = this.#find(now, source, part);
    if (half === undefined || half.parts.has(part.part)) return dropped('duplicate');
    if (half.total !== part.total || half.sizeBytes !== part.sizeBytes) {
      this.#remove(half);
      return dropped('inconsistent_total');
    }
    const payloadBytes = half.payloadBytes + part.data.length;
    const isLast = half.parts.size === half.total - 1;
    if (payloadBytes > maxMessageBytes || !fits(half.sizeBytes, payloadBytes, isLast)) {
      this.#remove(half);
      return dropped(payloadBytes > maxMessageBytes ? 'too_large' : 'inconsistent_total');
    }
    half.parts.set(part.part, part.data);
    half.payloadBytes += part.data.length;
    this.#charge(half.source, part.data.length + PART_COST_BYTES);
    if (half.parts.size === half.total) return { type: 'message', payload: this.#finish(now, half) };
    this.#keepBounds(half);
    return this.#all.has(half) ? WAITING : dropped('evicted');
  }

  /** The message of a part, created if necessary; `undefined` when it is complete already. */
  #find(now: Millis, addr: Addr, { id, total, sizeBytes }: MessagePart): HalfBuilt | undefined {
    const known = this.#sources.get(addr.text)?.messages.get(id);
    if (known !== undefined) return known;
    const finishedMs = this.#finished.get(`${id} ${addr.text}`);
    if (finishedMs !== undefined && now - finishedMs < FINISHED_MS) return undefined;
    const source = this.#sources.get(addr.text) ?? this.#addSource(addr);
    const half: HalfBuilt = { source, id, total, sizeBytes, bornMs: now, parts: new Map(), payloadBytes: 0 };
    source.messages.set(id, half);
    source.network.messages.add(half);
    this.#all.add(half);
    return half;
  }

  #addSource(addr: Addr): Source {
    const name = sourceOf(ipOf(addr) ?? addr.text);
    const network = this.#networks.get(name) ?? { name, messages: new Set(), bytes: 0 };
    this.#networks.set(name, network);
    const source: Source = { text: addr.text, network, messages: new Map(), bytes: 0 };
    this.#sources.set(addr.text, source);
    return source;
  }

  #charge(source: Source, bytes: number): void {
    this.#bytes += bytes;
    source.bytes += bytes;
    source.network.bytes += bytes;
  }

  /** A source above its limit loses its own oldest message; at the total limit, the network that uses the most does. */
  #keepBounds({ source }: HalfBuilt): void {
    const { maxMessages, maxMessagesPerSource, maxBytes, maxBytesPerSource } = this.#limits;
    while (source.messages.size > maxMessagesPerSource || source.bytes > maxBytesPerSource) {
      this.#evict(source.messages.values());
    }
    while (this.#all.size > maxMessages) this.#evict(this.#greediest(({ messages }) => messages.size));
    while (this.#bytes > maxBytes) this.#evict(this.#greediest(({ bytes }) => bytes));
  }

  /**
   * The messages, oldest first, of the network that uses the most; of equal ones, the network that has been present
   * longest.
   */
  #greediest(taken: (network: Network) => number): Iterable<HalfBuilt> {
    let greediest: Network | undefined;
    for (const network of this.#networks.values()) {
      if (greediest === undefined || taken(network) > taken(greediest)) greediest = network;
    }
    return greediest?.messages ?? [];
  }

  #evict(oldestFirst: Iterable<HalfBuilt>): void {
    for (const oldest of oldestFirst) {
      this.#remove(oldest);
      this.#evicted++;
      return;
    }
  }

  #remove(half: HalfBuilt): void {
    const { source } = half;
    const { network } = source;
    this.#charge(source, -(half.payloadBytes + half.parts.size * PART_COST_BYTES));
    source.messages.delete(half.id);
    if (source.messages.size === 0) this.#sources.delete(source.text);
    network.messages.delete(half);
    if (network.messages.size === 0) this.#networks.delete(network.name);
    this.#all.delete(half);
  }

  #finish(now: Millis, half: HalfBuilt): Bytes {
    this.#remove(half);
    const key = `${half.id} ${half.source.text}`;
    this.#finished.delete(key);
    this.#finished.set(key, now);
    if (this.#finished.size > MAX_FINISHED) {
      for (const oldest of this.#finished.keys()) {
        this.#finished.delete(oldest);
        break;
      }
    }
    return concatBytes(...Array.from({ length: half.total }, (_, i) => half.parts.get(i)!));
  }
}

/** Whether this many bytes of parts are possible for a message with an announced size, or all of it. */
function fits(sizeBytes: number | undefined, payloadBytes: number, isLast: boolean): boolean {
  if (sizeBytes === undefined) return true;
  return isLast ? payloadBytes === sizeBytes : payloadBytes <= sizeBytes;
}

function dropped(reason: ReassemblyDrop): PartOutcome {
  return { type: 'dropped', reason };
}
