/**
 * `shoal/frag`: messages larger than the inner swarm's MTU, in parts. The same bytes as go-p2p's fragswarm
 * (docs/wire/frag.md).
 *
 * One lost part loses the message: for reliability use `quic`, or `mbapp` for asks.
 *
 * @example
 * ```ts
 * await using swarm = frag(await openUdpSwarm(), { maxMessageBytes: 1_000_000 });
 * ```
 */

import type { Addr } from '../core/addr.ts';
import type { Bytes } from '../base/bytes.ts';
import type { LayerDescription } from '../core/inspect.ts';
import { type Like, keep } from '../core/keep.ts';
import { wholeNumber } from '../base/checks.ts';
import type { Message, TellHandler } from '../core/message.ts';
import type { Timer } from '../core/realm.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { SAME_ADDRS } from '../swarm-kit/compose.ts';
import { PartSender, type PacingOptions, resolveBurstBytes } from '../swarm-kit/part-sender.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import {
  FRAG_OVERHEAD_BYTES,
  GO_P2P_MAX_PARTS,
  ID_COUNT,
  MAX_PARTS,
  decodePart,
  encodePart,
} from '../protocols/frag/part.ts';
import { Reassembly } from '../protocols/reassembly.ts';

/** How messages are split and reassembled. */
export interface FragOptions extends WrapOptions, PacingOptions {
  /**
   * The maximum bytes of a message, sent or received; up to 65 535 parts. Both sides need the same limit: go-p2p
   * supports 255 parts.
   * @default 255 parts, as many as go-p2p supports, and at most 16 MiB
   */
  readonly maxMessageBytes?: number | undefined;
  /** Incomplete messages of all sources. @default 1024 */
  readonly maxHalfBuiltMessages?: number | undefined;
  /** Incomplete messages of one source. @default 64 */
  readonly maxHalfBuiltMessagesPerSource?: number | undefined;
  /** Bytes of incomplete messages of all sources. @default 64 MiB, or four messages of the maximum size */
  readonly maxHalfBuiltBytes?: number | undefined;
  /** Bytes of incomplete messages of one source. @default 32 MiB, or two messages of the maximum size */
  readonly maxHalfBuiltBytesPerSource?: number | undefined;
  /** A message that is incomplete after this time is dropped. @default 10 000, as go-p2p */
  readonly maxAgeMs?: number | undefined;
}

/** The capacity of 255 parts of the largest datagrams. */
const DEFAULT_MAX_MESSAGE_BYTES = 16_777_216;
const MIB = 1_048_576;

/**
 * Wraps a swarm so that it carries larger messages; keeps the asks and keys of the inner swarm.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function frag<A extends Addr, S extends Swarm<A>>(inner: S & Swarm<A>, options: FragOptions = {}): Like<S, A> {
  const base = new FragSwarm<A>(inner, options);
  return keep<A, S, A>(inner, base, SAME_ADDRS, { guard: base.guard });
}

/** The number of recent destinations whose next message id is stored. */
const MAX_REMEMBERED_DESTINATIONS = 8192;

class FragSwarm<A extends Addr> extends SwarmOver<A, A> {
  readonly #tells: TellSlot<A>;
  readonly #reassembly: Reassembly;
  readonly #sender: PartSender<A>;
  readonly #maxParts: number;
  readonly #maxMessageBytes: number;
  readonly #limits: Readonly<Record<string, number>>;
  /** Bounded by {@link MAX_REMEMBERED_DESTINATIONS}: a full map is cleared, and ids continue from one counter. */
  readonly #ids = new Map<string, number>();
  #firstId = 0;
  #sweep: Timer | undefined;

  constructor(inner: Swarm<A>, options: FragOptions) {
    const { maxMessageBytes } = options;
    const largest = wholeNumber(
      maxMessageBytes,
      'maxMessageBytes',
      DEFAULT_MAX_MESSAGE_BYTES,
      1,
      Number.MAX_SAFE_INTEGER,
    );
    const bound = (name: keyof FragOptions & `max${string}`, fallback: number): number =>
      wholeNumber(options[name], name, fallback, 1, Number.MAX_SAFE_INTEGER);
    const limits = {
      maxParts: maxMessageBytes === undefined ? GO_P2P_MAX_PARTS : MAX_PARTS,
      maxMessageBytes: largest,
      maxMessages: bound('maxHalfBuiltMessages', 1024),
      maxMessagesPerSource: bound('maxHalfBuiltMessagesPerSource', 64),
      maxBytes: bound('maxHalfBuiltBytes', Math.max(64 * MIB, 4 * largest)),
      maxBytesPerSource: bound('maxHalfBuiltBytesPerSource', Math.max(32 * MIB, 2 * largest)),
      maxAgeMs: bound('maxAgeMs', 10_000),
    };
    const burstBytes = resolveBurstBytes(options);
    super(inner, 'frag', options);
    this.#maxParts = limits.maxParts;
    this.#maxMessageBytes = largest;
    this.#limits = { ...limits, burstBytes };
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
    this.#reassembly = new Reassembly(limits);
    this.#sender = new PartSender(inner, burstBytes);
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  /** 0 when the inner MTU has no room for a header and a byte. */
  protected mtuTo(dst: A): number {
    return Math.min(this.#chunkBytes(dst) * this.#maxParts, this.#maxMessageBytes);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    this.counts.countSent(payload.length);
    const chunkBytes = this.#chunkBytes(dst);
    const id = this.#nextId(dst);
    if (payload.length <= chunkBytes) return this.inner.tell(dst, encodePart(id, 0, 1, payload), options);
    const total = Math.ceil(payload.length / chunkBytes);
    const partAt = (part: number): Bytes =>
      encodePart(id, part, total, payload.subarray(part * chunkBytes, (part + 1) * chunkBytes));
    return this.#sender.send(dst, { count: total, partAt }, options);
  }

  /** Also waits for unsent parts. */
  override drain(options?: CallOptions): Promise<void> {
    return this.#sender.drain(options, () => super.drain(options));
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.joined(this.#tells.listen(handler), () => this.inner.listen((message) => this.#receive(message)));
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    const { messages, bytes } = this.#reassembly;
    return { limits: this.#limits, state: { halfBuiltMessages: messages, halfBuiltBytes: bytes } };
  }

  protected release(): void {
    this.#tells.clear();
    this.#sweep?.cancel();
    this.#sender.close(this.latch.error('tell'));
  }

  #chunkBytes(dst: A): number {
    return Math.max(this.inner.mtu(dst) - FRAG_OVERHEAD_BYTES, 0);
  }

  #nextId(dst: A): number {
    const id = this.#ids.get(dst.text) ?? this.#firstId;
    if (this.#ids.size >= MAX_REMEMBERED_DESTINATIONS && !this.#ids.has(dst.text)) {
      for (const used of this.#ids.values()) this.#firstId = Math.max(this.#firstId, used);
      this.#ids.clear();
    }
    this.#ids.set(dst.text, (id + 1) % ID_COUNT);
    return id;
  }

  #receive({ src, dst, payload: packet }: Message<A>): void | Promise<void> {
    const part = decodePart(packet);
    if (part === undefined) {
      this.counts.countDrop('malformed');
      return undefined;
    }
    if (part.total === 1) {
      if (part.data.length <= this.#maxMessageBytes) return this.#tells.pass({ src, dst, payload: part.data });
      this.counts.countDrop('frag.too_large');
      return undefined;
    }
    const outcome = this.#reassembly.handlePart(this.realm.nowMs(), src, part);
    for (let evicted = this.#reassembly.takeEvicted(); evicted > 0; evicted--) this.counts.countDrop('frag.evicted');
    if (outcome.type === 'message') return this.#tells.pass({ src, dst, payload: outcome.payload satisfies Bytes });
    if (outcome.type === 'dropped' && outcome.reason !== 'evicted') this.counts.countDrop(`frag.${outcome.reason}`);
    this.#armSweep();
    return undefined;
  }

  #armSweep(): void {
    const { deadlineMs } = this.#reassembly;
    if (this.#sweep !== undefined || deadlineMs === undefined || this.latch.isClosed) return;
    const sweep = (): void => {
      this.#sweep = undefined;
      const incomplete = this.#reassembly.handleTimeout(this.realm.nowMs());
      for (let i = 0; i < incomplete; i++) this.counts.countDrop('frag.incomplete');
      this.#armSweep();
    };
    this.#sweep = clockOf(this.realm).setTimer(deadlineMs, sweep, { background: true });
  }
}
