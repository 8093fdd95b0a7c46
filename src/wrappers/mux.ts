/**
 * `shoal/mux`: several swarms over one; a channel id before each message identifies the channel. The same bytes as
 * go-p2p's p2pmux (docs/wire/mux.md).
 *
 * @example
 * ```ts
 * const channels = mux(swarm, 'string');
 * const chat = channels.open('chat');
 * const files = channels.open('files');
 * ```
 */

import type { Addr } from '../core/addr.ts';
import { type AskSwarm, canAsk } from '../core/ask.ts';
import { type Bytes, joinBytes, viewFrom } from '../base/bytes.ts';
import type { Counters } from '../core/counters.ts';
import type { LayerDescription } from '../core/inspect.ts';
import { P2PError, Refusal } from '../core/errors.ts';
import { type AddrAsks, type Like, keep } from '../core/keep.ts';
import { describeValue } from '../base/checks.ts';
import type { Message, Request, TellHandler } from '../core/message.ts';
import { type CallOptions, type Closed, type Swarm, assertSwarm } from '../core/swarm.ts';
import { type Answer, AskSlot } from '../swarm-kit/ask-slot.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { SAME_ADDRS } from '../swarm-kit/compose.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { PendingBudget, type PendingLimits, assertPendingLimits } from '../swarm-kit/pending-budget.ts';
import { isPending } from '../runtime/promises.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import { Waits } from '../runtime/waits.ts';
import { HeaderMap } from '../protocols/mux/header-map.ts';
import { type ChannelKind, channelKinds } from '../protocols/mux/channel-kinds.ts';

export { type ChannelHeader, type ChannelKind, channelKinds } from '../protocols/mux/channel-kinds.ts';

/** The id type of each kind of channel, by the name of the kind. */
export interface ChannelIds {
  readonly string: string;
  readonly u16: number;
  readonly u32: number;
  readonly u64: number | bigint;
  readonly varint: number | bigint;
}

/** Options of a mux. The pending limits apply to each channel. */
export interface MuxOptions extends WrapOptions, PendingLimits {}

/** Several swarms over one. */
export interface Mux<Id, S> extends AsyncDisposable {
  /** Resolves with the reason when the mux has ended; all channels have then ended. Never rejects. */
  readonly closed: Promise<Closed>;
  /** The totals of all channels; a message for a channel that is not open is counted as `mux.unknown_channel`. */
  readonly counters: Counters;
  /**
   * Opens the swarm of one channel id. Closing it does not affect the others, and the id can be opened again.
   *
   * @throws {P2PError} (at once) `in_use` when the channel is open; `closed` when the mux is.
   * @throws {TypeError | RangeError} (at once) when `id` is not an id of this kind.
   */
  open(id: Id): S;
  /** Closes all channels, and the inner swarm unless `keepInner`. Idempotent, never rejects. */
  close(): Promise<void>;
}

/**
 * Splits a swarm into channels. The mux takes the inner swarm's handler slots.
 *
 * @param kind - the encoding of ids: `'string'`, `'u16'`, `'u32'`, `'u64'`, `'varint'`, or a kind of your own. Both
 * sides need the same.
 */
export function mux<A extends Addr, S extends Swarm<A>, K extends keyof ChannelIds>(
  inner: S & Swarm<A>,
  kind: K,
  options?: MuxOptions,
): Mux<ChannelIds[K], Like<S, A>>;
export function mux<A extends Addr, S extends Swarm<A>, Id>(
  inner: S & Swarm<A>,
  kind: ChannelKind<Id>,
  options?: MuxOptions,
): Mux<Id, Like<S, A>>;
export function mux<A extends Addr, S extends Swarm<A>, Id>(
  inner: S & Swarm<A>,
  kind: ChannelKind<Id> | keyof ChannelIds,
  options: MuxOptions = {},
): Mux<Id, Like<S, A>> {
  return new SwarmMux<A, S, Id>(inner, kindOf<Id>(kind), options);
}

function kindOf<Id>(kind: ChannelKind<Id> | keyof ChannelIds): ChannelKind<Id> {
  // The overloads match each name with the type of its ids.
  const found = typeof kind === 'string' ? (channelKinds[kind] as unknown as ChannelKind<Id> | undefined) : kind;
  if (typeof found !== 'object' || typeof found.encode !== 'function' || typeof found.decode !== 'function') {
    const names = Object.keys(channelKinds).join(', ');
    throw new TypeError(`Cannot take kind: expected one of ${names} or a channel kind, got ${describeValue(kind)}`);
  }
  return found;
}

class SwarmMux<A extends Addr, S extends Swarm<A>, Id> implements Mux<Id, Like<S, A>> {
  readonly counters: CounterSet;
  readonly #inner: S & Swarm<A>;
  readonly #kind: ChannelKind<Id>;
  readonly #options: MuxOptions;
  readonly #latch: CloseLatch;
  readonly #channels = new HeaderMap<Channel<A>>();
  readonly #handlers: Disposable[] = [];

  constructor(inner: S & Swarm<A>, kind: ChannelKind<Id>, options: MuxOptions) {
    assertSwarm(inner, 'inner');
    assertPendingLimits(options);
    this.#inner = inner;
    this.#kind = kind;
    this.#options = options;
    this.counters = new CounterSet('mux', inner.counters);
    this.#latch = new CloseLatch({ realm: inner.realm, layer: 'mux', release: () => this.#release() });
    this.#handlers.push(inner.listen((message) => this.#receive(message)));
    if (canAsk<A>(inner)) this.#handlers.push(inner.serve((request) => this.#serve(request)));
    void inner.closed.then(({ cause }) =>
      this.#latch.fail(cause ?? new P2PError('closed', 'local', 'The swarm under mux was closed')),
    );
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  open(id: Id): Like<S, A> {
    const header = this.#kind.encode(id);
    const name = `${this.#kind.name} channel ${describeValue(typeof id === 'bigint' ? Number(id) : id)}`;
    if (this.#latch.isClosed) throw this.#latch.error(`open ${name}`);
    if (this.#channels.find(header) !== undefined) {
      throw new P2PError('in_use', 'local', `Cannot open ${name}: it is open; close it first`, { sent: 'no' });
    }
    const channel = new Channel<A>(this.#inner, this.counters, header, this.#options, () =>
      this.#channels.delete(channel),
    );
    this.#channels.add(channel);
    return keep<A, S, A>(this.#inner, channel, SAME_ADDRS, {
      asks: (inner) => channel.asksOver(inner),
      guard: channel.guard,
    });
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #channelOf(message: Bytes): { readonly channel: Channel<A>; readonly payload: Bytes } | undefined {
    const direct = this.#channels.find(message);
    if (direct !== undefined) return this.#found(direct, message, direct.header.length);
    // An id that is not encoded canonically, or whose channel is not open.
    const header = this.#kind.decode(message);
    const channel = header === undefined ? undefined : this.#channels.find(this.#kind.encode(header.id));
    if (header !== undefined && channel !== undefined) return this.#found(channel, message, header.end);
    this.counters.countDrop(header === undefined ? 'malformed' : 'mux.unknown_channel');
    return undefined;
  }

  #found(channel: Channel<A>, message: Bytes, end: number): { readonly channel: Channel<A>; readonly payload: Bytes } {
    const payload = viewFrom(message, end);
    this.counters.countReceived(payload.length);
    return { channel, payload };
  }

  #receive({ src, dst, payload: message }: Message<A>): void {
    const found = this.#channelOf(message);
    found?.channel.tells.deliver({ src, dst, payload: found.payload });
  }

  #serve(request: Request<A>): Uint8Array | Promise<Uint8Array> {
    const found = this.#channelOf(request.payload);
    if (found === undefined) throw new Refusal('no such channel');
    return found.channel.answer(request, found.payload);
  }

  #release(): Promise<void> | void {
    for (const handler of this.#handlers) handler[Symbol.dispose]();
    for (const channel of this.#channels.values()) void channel.close();
    return this.#options.keepInner === true ? undefined : this.#inner.close();
  }
}

/** One channel of a mux. */
class Channel<A extends Addr> extends SwarmOver<A, A> {
  readonly tells: TellSlot<A>;
  readonly asks: AskSlot<A>;
  readonly header: Bytes;
  readonly #forget: () => void;
  readonly #waits: Waits;

  constructor(inner: Swarm<A>, mux: Counters, header: Bytes, limits: PendingLimits, forget: () => void) {
    super(inner, 'mux', { keepInner: true }, mux);
    this.header = header;
    this.#forget = forget;
    this.#waits = new Waits(this.realm);
    const parts = { realm: this.realm, counters: this.counts };
    this.tells = new TellSlot({ ...parts, budget: new PendingBudget(limits) });
    this.asks = new AskSlot({ ...parts, budget: new PendingBudget(limits) });
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  protected mtuTo(dst: A): number {
    return Math.max(this.inner.mtu(dst) - this.header.length, 0);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    this.counts.countSent(payload.length);
    return this.inner.tell(dst, joinBytes(this.header, payload), options);
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.tells.listen(handler);
  }

  /** This channel's asks: those of the inner swarm, with the channel id before each request. */
  asksOver(inner: AskSwarm<A>): AddrAsks<A> {
    const maxRequestBytes = (dst: A): number => Math.max(inner.maxRequestBytes(dst) - this.header.length, 0);
    return {
      maxRequestBytes,
      ask: (dst, request, options) => {
        const refused = this.refuseAsk(dst, request, options, maxRequestBytes(dst));
        if (refused !== undefined) return refused;
        // The inner swarm handles deadline and signal, but does not know when this channel closes.
        const what = (): string => `ask ${dst.text}`;
        return this.#waits.wait<Bytes>({ what, defaultTimeoutMs: Infinity }, ({ resolve, reject }) => {
          this.counts.countSent(request.length);
          inner.ask(dst, joinBytes(this.header, request), options).then(resolve, reject);
        });
      },
      serve: (handler) => {
        if (this.latch.isClosed) throw this.latch.error('serve');
        return this.asks.serve(handler);
      },
    };
  }

  /** Passes a request to this channel's handler. */
  answer(request: Request<A>, payload: Bytes): Uint8Array | Promise<Uint8Array> {
    const serving = this.asks.handle({ src: request.src, dst: request.dst, payload });
    if (!isPending(serving.answer)) return given(serving.answer);
    const { signal } = request;
    const onAbort = (): void => serving.abort(signal.reason);
    signal.addEventListener('abort', onAbort);
    const what = (): string => `answer ${request.src.text}`;
    // When the channel closes, an asker need not wait for a handler that ignores its signal.
    const answered = this.#waits.wait<Answer>({ what, defaultTimeoutMs: Infinity }, ({ resolve, reject }) => {
      void Promise.resolve(serving.answer).then(resolve, reject);
      return () => signal.removeEventListener('abort', onAbort);
    });
    return answered.then(given, (error: unknown) => {
      throw P2PError.is(error, 'closed') ? new Refusal('closed') : error;
    });
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    const { maxMessages, maxBytes, messages } = this.tells.budget;
    return {
      limits: { headerBytes: this.header.length, maxPendingMessages: maxMessages, maxPendingBytes: maxBytes },
      state: { pendingMessages: messages },
    };
  }

  protected release(): void {
    this.tells.clear();
    this.#waits.close();
    this.asks.clear(this.latch.error('answer'));
    this.#forget();
  }
}

/** Converts an answer to the result of a serve handler of the inner swarm. */
function given(answer: Answer): Uint8Array {
  if (answer.ok) return answer.bytes;
  throw new Refusal('refused', answer.bytes, answer.code);
}
