/** The swarm that carries asks: sends and receives packets, and dispatches them. */

import type { Addr } from '../../core/addr.ts';
import type { AskOptions, Asks } from '../../core/ask.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { LayerDescription } from '../../core/inspect.ts';
import { wholeNumber } from '../../base/checks.ts';
import type { AskHandler, Message, TellHandler } from '../../core/message.ts';
import type { Timer } from '../../core/realm.ts';
import type { CallOptions, Swarm } from '../../core/swarm.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { PartSender } from '../../swarm-kit/part-sender.ts';
import { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { SwarmOver } from '../../swarm-kit/swarm-over.ts';
import { TellSlot } from '../../swarm-kit/tell-slot.ts';
import {
  HEADER_BYTES,
  MAX_PARTS,
  type MessageHeader,
  NO_DEADLINE_MS,
  type Packet,
  decodePacket,
  encodePacket,
  partCount,
} from '../../protocols/mbapp/header.ts';
import { encodePhaseTime } from '../../protocols/mbapp/phase-time.ts';
import { Reassembly } from '../../protocols/reassembly.ts';
import { Asker } from './asker.ts';
import type { ResolvedMbapp } from './options.ts';
import { Server } from './server.ts';

/** A swarm with asks over any swarm. */
export class MbappSwarm<A extends Addr> extends SwarmOver<A, A> implements Asks<A> {
  readonly #options: ResolvedMbapp;
  readonly #tells: TellSlot<A>;
  readonly #asker: Asker<A>;
  readonly #server: Server<A>;
  readonly #sender: PartSender<A>;
  readonly #reassembly: Reassembly;
  readonly #receiving: Disposable;
  #counter = 0;
  #originMs = Number.NaN;
  #lastOrigin = 0;
  #sweep: Timer | undefined;

  constructor(inner: Swarm<A>, options: ResolvedMbapp) {
    super(inner, 'mbapp', { keepInner: options.keepInner });
    const { limits } = options;
    this.#options = options;
    this.#sender = new PartSender(inner, limits.burstBytes);
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts, budget: new PendingBudget(limits) });
    const link = {
      realm: this.realm,
      counters: this.counts,
      partBytes: (dst: A) => this.#partBytes(dst),
      send: (dst: A, header: MessageHeader, payload: Uint8Array, partBytes: number) =>
        this.#send(dst, header, payload, partBytes),
    };
    this.#asker = new Asker<A>(link, options);
    this.#server = new Server<A>(link, options);
    this.#reassembly = new Reassembly({
      maxParts: MAX_PARTS,
      maxMessageBytes: limits.maxMessageBytes,
      maxMessages: limits.maxHalfBuiltMessages,
      maxMessagesPerSource: limits.maxHalfBuiltMessagesPerSource,
      maxBytes: limits.maxHalfBuiltBytes,
      maxBytesPerSource: limits.maxHalfBuiltBytesPerSource,
      maxAgeMs: limits.maxAgeMs,
    });
    // Always attached: answers must be received even without a handler.
    this.#receiving = inner.listen((message) => this.#receive(message));
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  /** 0 when the inner MTU has no room for a header and a byte. */
  protected mtuTo(dst: A): number {
    return this.#maxBytes(this.#partBytes(dst));
  }

  maxRequestBytes(dst: A | string): number {
    return this.mtu(dst);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    this.counts.countSent(payload.length);
    const header = this.#header('tell', payload.length, NO_DEADLINE_MS);
    return this.#send(dst, header, payload, this.#partBytes(dst), options);
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.#tells.listen(handler);
  }

  ask(dst: A | string, request: Uint8Array, options?: AskOptions): Promise<Bytes> {
    if (typeof dst === 'string') return this.texts.call('ask', dst, (addr) => this.ask(addr, request, options));
    const partBytes = this.#partBytes(dst);
    const refused = this.refuseAsk(dst, request, options, this.#maxBytes(partBytes));
    if (refused !== undefined) return refused;
    const { maxMessageBytes } = this.#options.limits;
    const maxResponseBytes = wholeNumber(
      options?.maxResponseBytes,
      'maxResponseBytes',
      maxMessageBytes,
      0,
      Number.MAX_SAFE_INTEGER,
    );
    return this.#asker.ask({
      dst,
      request,
      options,
      maxResponseBytes,
      partBytes,
      header: (timeoutMs) => this.#header('request', request.length, timeoutMs),
    });
  }

  serve(handler: AskHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('serve');
    return this.#server.serve(handler);
  }

  /** Also waits for unsent parts. */
  override drain(options?: CallOptions): Promise<void> {
    return this.#sender.drain(options, () => super.drain(options));
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    const { messages, bytes } = this.#reassembly;
    return {
      limits: { ...this.#options.limits, resends: this.#options.resends },
      state: {
        asks: this.#asker.size,
        ...this.#server.state(),
        halfBuiltMessages: messages,
        halfBuiltBytes: bytes,
      },
    };
  }

  protected release(): void {
    this.#receiving[Symbol.dispose]();
    this.#tells.clear();
    this.#asker.close();
    this.#server.close(this.latch.error('answer'));
    this.#sender.close(this.latch.error('tell'));
    this.#sweep?.cancel();
  }

  #partBytes(dst: A): number {
    return Math.max(this.inner.mtu(dst) - HEADER_BYTES, 0);
  }

  /** The maximum bytes of a message with parts of this size. */
  #maxBytes(partBytes: number): number {
    return Math.min(partBytes * MAX_PARTS, this.#options.limits.maxMessageBytes);
  }

  #header(kind: 'tell' | 'request', sizeBytes: number, timeoutMs: number): MessageHeader {
    this.#counter = (this.#counter + 1) % 0x1_0000_0000;
    return {
      kind,
      code: 0,
      origin: this.#origin(),
      counter: this.#counter,
      sizeBytes,
      parts: sizeBytes === 0 ? 0 : 1,
      timeoutMs,
    };
  }

  /** The time as PhaseTime32; the same for all messages within a millisecond. */
  #origin(): number {
    const wallMs = Math.floor(this.realm.wallMs());
    if (wallMs !== this.#originMs) {
      this.#originMs = wallMs;
      this.#lastOrigin = encodePhaseTime(wallMs);
    }
    return this.#lastOrigin;
  }

  /** Sends a message in the number of parts that it needs now. */
  #send(dst: A, header: MessageHeader, payload: Uint8Array, partBytes: number, options?: CallOptions): Promise<void> {
    if (payload.length <= partBytes) return this.inner.tell(dst, encodePacket(header, 0, payload), options);
    const whole = { ...header, parts: partCount(payload.length, partBytes) };
    const partAt = (part: number): Bytes =>
      encodePacket(whole, part, payload.subarray(part * partBytes, (part + 1) * partBytes));
    return this.#sender.send(dst, { count: Math.max(whole.parts, 1), partAt }, options);
  }

  #receive({ src, dst, payload: bytes }: Message<A>): void {
    const packet = decodePacket(bytes);
    if (packet === undefined) {
      this.counts.countDrop('malformed');
      return;
    }
    if (packet.sizeBytes > this.#options.limits.maxMessageBytes && packet.kind !== 'reply') {
      this.counts.countDrop('oversize');
      return;
    }
    if (packet.kind === 'reply' && !this.#asker.expects(src, packet)) return;
    if (packet.kind === 'request' && this.#server.isKnown(src, packet)) return;
    const payload = packet.parts <= 1 ? packet.data : this.#assemble(src, packet);
    if (payload === undefined) return;
    if (packet.kind === 'tell') this.#tells.deliver({ src, dst, payload });
    else if (packet.kind === 'request') this.#server.handle({ src, dst, payload }, packet);
    else this.#asker.handleReply(packet, payload);
  }

  #assemble(src: A, packet: Packet): Bytes | undefined {
    const { kind, origin, counter, part, parts, sizeBytes, data } = packet;
    const id = `${kind} ${origin} ${counter}`;
    const outcome = this.#reassembly.handlePart(this.realm.nowMs(), src, {
      id,
      part,
      total: parts,
      sizeBytes,
      data,
    });
    for (let evicted = this.#reassembly.takeEvicted(); evicted > 0; evicted--) this.counts.countDrop('mbapp.evicted');
    if (outcome.type === 'message') return outcome.payload;
    if (outcome.type === 'dropped' && outcome.reason !== 'evicted') this.counts.countDrop(`mbapp.${outcome.reason}`);
    this.#armSweep();
    return undefined;
  }

  #armSweep(): void {
    const { deadlineMs } = this.#reassembly;
    if (this.#sweep !== undefined || deadlineMs === undefined || this.latch.isClosed) return;
    const sweep = (): void => {
      this.#sweep = undefined;
      const incomplete = this.#reassembly.handleTimeout(this.realm.nowMs());
      for (let i = 0; i < incomplete; i++) this.counts.countDrop('mbapp.incomplete');
      this.#armSweep();
    };
    this.#sweep = clockOf(this.realm).setTimer(deadlineMs, sweep, { background: true });
  }
}
