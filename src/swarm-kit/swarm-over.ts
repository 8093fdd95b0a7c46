/** The common base of swarms that wrap another swarm: close, checks, and address parsing. */

import type { Addr } from '../core/addr.ts';
import type { AskOptions } from '../core/ask.ts';
import type { Counters, DropReason } from '../core/counters.ts';
import { type Describes, type LayerDescription, inspect } from '../core/inspect.ts';
import { P2PError, mtuError } from '../core/errors.ts';
import { assertBytes } from '../base/checks.ts';
import type { TellHandler } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import { type CallOptions, type Closed, type Swarm, assertSwarm } from '../core/swarm.ts';
import { bestAddr, TextAddrs } from '../core/text-addrs.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { CounterSet } from './counter-set.ts';
import { joinListening } from './join-listening.ts';
import { rejection } from '../runtime/promises.ts';
import { checkAsk, checkCall } from '../runtime/waits.ts';

/** Options of every wrapper. */
export interface WrapOptions {
  /** Closing the wrapper only detaches it; the inner swarm stays open. @default false */
  readonly keepInner?: boolean | undefined;
}

/** Base of swarms with addresses `B` over a swarm with addresses `A`. */
export abstract class SwarmOver<A extends Addr, B extends Addr> implements Swarm<B>, Describes {
  readonly realm: Realm;
  protected readonly inner: Swarm<A>;
  protected readonly counts: CounterSet;
  protected readonly latch: CloseLatch;
  readonly #keepInner: boolean;
  /** Addresses that callers gave as text; `textSecure` and `textAsks` use it too. */
  readonly texts: TextAddrs<B> = new TextAddrs<B>((text) => this.parseAddr(text));

  /**
   * @param layer - the layer's name; it prefixes its drop reasons.
   * @param below - the counters of the layers below, if they are not those of the inner swarm alone.
   */
  constructor(inner: Swarm<A>, layer: string, options: WrapOptions, below?: Counters) {
    assertSwarm(inner, 'inner');
    this.realm = inner.realm;
    this.inner = inner;
    this.#keepInner = options.keepInner ?? false;
    this.counts = new CounterSet(layer, below ?? inner.counters);
    this.latch = new CloseLatch({ realm: inner.realm, layer, release: () => this.#end() });
    void inner.closed.then((how) =>
      this.latch.fail(how.cause ?? new P2PError('closed', 'local', `The swarm under ${layer} was closed`)),
    );
    // The event has no address: the subclass is not constructed yet.
    this.realm.trace?.({ layer, type: 'opened', atMs: this.realm.nowMs() });
  }

  get counters(): Counters {
    return this.counts;
  }

  get closed(): Promise<Closed> {
    return this.latch.closed;
  }

  get addr(): B {
    return bestAddr(this.localAddrs());
  }

  tryParseAddr(text: string): B | undefined {
    return this.texts.tryParse(text);
  }

  abstract localAddrs(): readonly B[];
  abstract parseAddr(text: string): B;

  mtu(dst: B | string): number {
    return this.mtuTo(this.texts.addrOf(dst));
  }

  tell(dst: B | string, payload: Uint8Array, options?: CallOptions): Promise<void> {
    if (typeof dst === 'string') return this.#tellText(dst, payload, options);
    return this.#refuseTell(dst, payload, options) ?? this.sendTell(dst, payload, options);
  }

  abstract listen(handler: TellHandler<B>): Disposable;

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    return this.latch.isClosed ? rejection(this.latch.error('drain')) : this.inner.drain(options);
  }

  close(): Promise<void> {
    return this.latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    return { ...this.describeLayer(), inner: [inspect(this.inner)] };
  }

  /** For `keep`: fails calls on kept abilities once this layer is closed. */
  readonly guard = (what: string): P2PError | undefined => (this.latch.isClosed ? this.latch.error(what) : undefined);

  /**
   * The maximum bytes of a tell to `dst`, 0 or more. @throws {TypeError} when `dst` is not an address of this swarm.
   */
  protected abstract mtuTo(dst: B): number;

  /** Sends a checked tell: at most `mtuTo(dst)` bytes, on an open swarm. Must not be an `async` function. */
  protected abstract sendTell(dst: B, payload: Uint8Array, options: CallOptions | undefined): Promise<void>;

  /** The layer's own limits and state. */
  protected abstract describeLayer(): Omit<LayerDescription, 'inner'>;

  /** Releases the resources of this layer. Called once. */
  protected abstract release(): void;

  /**
   * The checks of every ask, for layers with their own asks: misuse throws; a request that cannot be sent now gives a
   * rejection.
   *
   * @param maxBytes - the layer's `maxRequestBytes(dst)`.
   * @returns the rejection, or `undefined` when the request may be sent.
   */
  protected refuseAsk(
    dst: B,
    request: Uint8Array,
    options: AskOptions | undefined,
    maxBytes: number,
  ): Promise<never> | undefined {
    assertBytes(request, 'request');
    checkAsk(options);
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    if (this.latch.isClosed) return rejection(this.latch.error(`ask ${dst.text}`));
    if (request.length <= maxBytes) return undefined;
    return rejection(mtuError(`ask ${dst.text} over ${this.counts.layer}`, request.length, maxBytes));
  }

  /** The checks of every tell: misuse throws; a tell that cannot be sent now gives a counted rejection. */
  #refuseTell(dst: B, payload: Uint8Array, options: CallOptions | undefined): Promise<void> | undefined {
    const mtu = this.mtuTo(dst);
    assertBytes(payload, 'payload');
    const { layer } = this.counts;
    if (options !== undefined) {
      checkCall(options);
      if (options.signal?.aborted === true) return this.reject('tell.aborted', options.signal.reason);
    }
    if (this.latch.isClosed) return this.reject('tell.closed', this.latch.error(`tell ${dst.text}`));
    if (payload.length <= mtu) return undefined;
    return this.reject('tell.mtu_exceeded', mtuError(`tell ${dst.text} over ${layer}`, payload.length, mtu));
  }

  /** Sends a tell to an address that the caller gave as text. */
  #tellText(text: string, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    assertBytes(payload, 'payload');
    checkCall(options);
    const tell = (dst: B): Promise<void> => this.tell(dst, payload, options);
    return this.texts.call('tell', text, tell, () => this.counts.countDrop('tell.unreachable'));
  }

  /** Counts a drop and returns the rejection of a tell. */
  protected reject(reason: DropReason, error: unknown): Promise<void> {
    this.counts.countDrop(reason);
    return rejection(error);
  }

  /**
   * Combines the listening of a wrapper and of its inner swarm into one disposable.
   *
   * @param below - begins the inner listening; when it throws, the wrapper stops listening too.
   */
  protected joined(own: Disposable, below: Disposable | (() => Disposable)): Disposable {
    return joinListening([() => own, typeof below === 'function' ? below : () => below]);
  }

  #end(): Promise<void> | void {
    this.release();
    return this.#keepInner ? undefined : this.inner.close();
  }
}
