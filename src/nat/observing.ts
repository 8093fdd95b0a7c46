/**
 * A datagram swarm that observes: it asks others under which address they see its own socket, tells others under which address it sees
 * them, and takes the nonces of dial-backs. These messages are STUN, and stay below; all others pass.
 */

import type { IpAddr } from '../core/addr.ts';
import type { LayerDescription } from '../core/inspect.ts';
import type { TellHandler } from '../core/message.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import type { StunAnswer } from '../protocols/stun/client.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import type { DialBackNonces } from './dial-back-nonces.ts';
import { type ObserveOptions, StunHandler } from './stun-handler.ts';

/** How a swarm observes. */
export interface ObservingOptions extends WrapOptions {
  /** Whether it answers others. @default true */
  readonly serve?: boolean | undefined;
}

/** What {@link observing} makes. */
export interface ObservingSwarm<A extends IpAddr> extends Swarm<A> {
  /** Where helpers of this swarm's dial-backs are waited for. */
  readonly nonces: DialBackNonces;
  /**
   * Asks a peer or a STUN server under which address it sees this swarm.
   *
   * @throws {P2PError} (by rejection) `timeout`, `refused`, `limit_exceeded`, `closed`; the signal's reason.
   */
  observe(observer: A | string, options?: ObserveOptions): Promise<StunAnswer>;
}

/**
 * Makes a swarm observe. It takes the inner swarm's handler slot at once; addresses stay as they are.
 *
 * @throws {TypeError} when the inner swarm has a handler.
 */
export function observing<A extends IpAddr>(inner: Swarm<A>, options: ObservingOptions = {}): ObservingSwarm<A> {
  return new Observing(inner, options);
}

class Observing<A extends IpAddr> extends SwarmOver<A, A> implements ObservingSwarm<A> {
  readonly nonces: DialBackNonces;
  readonly #tells: TellSlot<A>;
  readonly #stun: StunHandler;
  readonly #listening: Disposable;
  readonly #serves: boolean;

  constructor(inner: Swarm<A>, options: ObservingOptions) {
    super(inner, 'observing', options);
    this.#serves = options.serve ?? true;
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
    this.#stun = new StunHandler(this.realm, (to, bytes) => this.#send(to, bytes), this.#serves);
    this.nonces = this.#stun.nonces;
    this.#listening = inner.listen(({ src, dst, payload }) => {
      if (this.#handle(src, dst, payload)) return undefined;
      return this.#tells.pass({ src, dst, payload });
    });
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  observe(observer: A | string, options?: ObserveOptions): Promise<StunAnswer> {
    const { ip, port } = this.texts.addrOf(observer);
    return this.#stun.observe({ ip, port }, options);
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.#tells.listen(handler);
  }

  protected mtuTo(dst: A): number {
    return this.inner.mtu(dst);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    this.counts.countSent(payload.length);
    return this.inner.tell(dst, payload, options);
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return { limits: { serve: this.#serves }, state: { awaitedNonces: this.nonces.size } };
  }

  protected release(): void {
    this.#listening[Symbol.dispose]();
    this.#tells.clear();
    this.#stun.close();
  }

  #send({ ip, port }: { readonly ip: string; readonly port: number }, bytes: Uint8Array): void {
    const dst = this.inner.tryParseAddr(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
    // What cannot be sent is repeated, and times out in the end.
    if (dst !== undefined) this.inner.tell(dst, bytes).catch(() => undefined);
  }

  /** @returns whether it was for this layer. */
  #handle(src: A, dst: A, payload: Uint8Array): boolean {
    const handled = this.#stun.handle({ ip: src.ip, port: src.port }, { ip: dst.ip, port: dst.port }, payload);
    if (handled === 'rate_limited') this.counts.countDrop('observing.rate_limited');
    return handled !== false;
  }
}
