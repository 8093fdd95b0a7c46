/**
 * Puts messages together from parts, sans-IO, within bounds that no sender can exceed. Shared by frag and mbapp; each
 * brings its own wire format.
 */

import { type Addr, ipOf } from '../core/addr.ts';
import { type Bytes, concatBytes } from '../base/bytes.ts';
import { type Millis } from '../base/machine.ts';
import { sourceOf } from '../base/source-shares.ts';

/** What half-built messages may cost. */
export interface ReassemblyLimits {
  /** A message with more parts is dropped. */
  readonly maxParts: number;
  /** A message that grows beyond is dropped. */
  readonly maxMessageBytes: number;
  readonly maxMessages: number;
  readonly maxMessagesPerSource: number;
  /** Payload bytes of all half-built messages, plus {@link PART_COST_BYTES} a part. */
  readonly maxBytes: number;
  readonly maxBytesPerSource: number;
  /** A message that is not whole after this is given up. */
  readonly maxAgeMs: number;
}

/** What keeping a part costs beyond its bytes: a map entry and a view. An estimate, on the high side. */
export const PART_COST_BYTES = 128;

/** One part of a message of several. */
export interface MessagePart {
  /** Tells this message of its source from others; from the wire, or made of what is there. */
  readonly id: number | string;
  /** 0 to `total` − 1. */
  readonly part: number;
  /** How many parts there are, 2 or more. */
  readonly total: number;
  /** Bytes of the whole message, where the wire says so. */
  readonly sizeBytes?: number | undefined;
  /** Kept until the message is whole. */
  readonly data: Bytes;
}

/** Why a part, or a half-built message, was given up. Layers put their name in front. */
export type ReassemblyDrop =
  /** Another total than the parts before it, or parts that do not add up to it; the whole message is given up. */
  | 'inconsistent_total'
  /** This part is there already, or its message is complete. */
  | 'duplicate'
  /** The message is larger than this receiver takes. */
  | 'too_large'
  /** Given up for newer messages: too much was half-built. */
  | 'evicted'
  /** Too old: a part must have been lost. */
  | 'incomplete';

/** What came of a part. */
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

/** What the sources of one network (/24, /64) have half-built: one host with many ports or keys takes one share. */
interface Network {
  readonly name: string;
  /** Oldest first. Bounded by `maxMessages`. */
  readonly messages: Set<HalfBuilt>;
  bytes: number;
}

/** How long, and how many, finished messages are remembered, so that late duplicates of their parts are known. */
const FINISHED_MS = 2000;
const MAX_FINISHED = 1024;

const WAITING: PartOutcome = { type: 'waiting' };

/** Half-built messages of all sources. */
export class Reassembly {
  readonly #limits: ReassemblyLimits;
  /** Bounded by `maxMessages`: a source without messages is forgotten. */
  readonly #sources = new Map<string, Source>();
  /** Bounded by `maxMessages`: a network without messages is forgotten. */
  readonly #networks = new Map<string, Network>();
  /** All half-built messages, oldest first. Bounded by `maxMessages`. */
  readonly #all = new Set<HalfBuilt>();
  /** When messages were finished, oldest first. Bounded by {@link MAX_FINISHED}. */
  readonly #finished = new Map<string, Millis>();
  #bytes = 0;
  #evicted = 0;

  constructor(limits: ReassemblyLimits) {
    this.#limits = limits;
  }

  /** Half-built messages now. */
  get messages(): number {
    return this.#all.size;
  }

  /** What they cost now, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When the oldest half-built message is given up; `undefined` without any. */
  get deadlineMs(): Millis | undefined {
    for (const oldest of this.#all) return oldest.bornMs + this.#limits.maxAgeMs;
    return undefined;
  }

  /** How many messages were given up for want of room since the last call. */
  takeEvicted(): number {
    const evicted = this.#evicted;
    this.#evicted = 0;
    return evicted;
  }

  /** Gives up what is too old. @returns how many. */
  handleTimeout(now: Millis): number {
    let incomplete = 0;
    for (const half of this.#all) {
      if (half.bornMs + this.#limits.maxAgeMs > now) break;
      this.#remove(half);
      incomplete++;
    }
    return incomplete;
  }

  /** Takes a part. `part.data` is kept. */
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

  /** The message a part belongs to, begun if need be; `undefined` when it is finished. */
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

  /** A source that asks for too much pays with its own oldest message; all together, the network that takes the most. */
  #keepBounds({ source }: HalfBuilt): void {
    const { maxMessages, maxMessagesPerSource, maxBytes, maxBytesPerSource } = this.#limits;
    while (source.messages.size > maxMessagesPerSource || source.bytes > maxBytesPerSource) {
      this.#evict(source.messages.values());
    }
    while (this.#all.size > maxMessages) this.#evict(this.#greediest(({ messages }) => messages.size));
    while (this.#bytes > maxBytes) this.#evict(this.#greediest(({ bytes }) => bytes));
  }

  /** The messages, oldest first, of the network that takes the most; of equals the one that is there for longest. */
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

/** Whether parts of so many bytes can be, or are, all of a message whose size was announced. */
function fits(sizeBytes: number | undefined, payloadBytes: number, isLast: boolean): boolean {
  if (sizeBytes === undefined) return true;
  return isLast ? payloadBytes === sizeBytes : payloadBytes <= sizeBytes;
}

function dropped(reason: ReassemblyDrop): PartOutcome {
  return { type: 'dropped', reason };
}
