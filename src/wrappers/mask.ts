/**
 * `shoal/mask`: makes the datagrams of a swarm look random. With a key that all its peers have, every datagram is a random
 * nonce and sealed bytes, padded by a random number of bytes; so nothing in it tells which protocol it belongs to.
 *
 * It hides the form of what a layer above encrypts, and adds no security to it: all who have the key can read and forge
 * datagrams. Times and numbers of datagrams stay visible; a censor that lets through only what it knows blocks them.
 * docs/wire/mask.md defines the bytes. TCP is masked by `maskStreams` of `shoal/net`, and by an option of the TCP swarm.
 *
 * @example
 * ```ts
 * await using secure = p2pke(mask(await openUdpSwarm(), { key }), { privateKey });
 * ```
 */

import type { Addr } from '../core/addr.ts';
import type { LayerDescription } from '../core/inspect.ts';
import { mtuError } from '../core/errors.ts';
import { describeValue } from '../base/checks.ts';
import type { TellHandler } from '../core/message.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import { DatagramMask, MASK_OVERHEAD_BYTES } from '../protocols/mask/datagram.ts';
import { assertMaskKey } from '../protocols/mask/key.ts';
import { SwarmOver, type WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';

/** How a swarm is masked. */
export interface MaskOptions extends WrapOptions {
  /** 32 random bytes that all peers have. */
  readonly key: Uint8Array;
}

/**
 * Masks the tells of a swarm. Its asks and keys are not visible: they would pass unmasked. The MTU is 29 bytes smaller.
 * What was not masked with the key is dropped as `mask.unknown`, and never answered.
 *
 * @throws {TypeError | RangeError} when the key is not 32 bytes.
 */
export function mask<A extends Addr>(inner: Swarm<A>, options: MaskOptions): Swarm<A> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  assertMaskKey(options.key);
  return new MaskedSwarm(inner, options);
}

class MaskedSwarm<A extends Addr> extends SwarmOver<A, A> {
  readonly #mask: DatagramMask;
  readonly #tells: TellSlot<A>;

  constructor(inner: Swarm<A>, options: MaskOptions) {
    super(inner, 'mask', options);
    this.#mask = new DatagramMask(options.key, (length) => this.realm.random(length));
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
  }

  localAddrs(): readonly A[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.inner.parseAddr(text);
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    return this.joined(this.#tells.listen(handler), () =>
      this.inner.listen(({ src, dst, payload: masked }) => {
        const payload = this.#mask.open(masked);
        if (payload !== undefined) return this.#tells.pass({ src, dst, payload });
        this.counts.countDrop('mask.unknown');
        return undefined;
      }),
    );
  }

  protected mtuTo(dst: A): number {
    return Math.max(0, this.inner.mtu(dst) - MASK_OVERHEAD_BYTES);
  }

  protected sendTell(dst: A, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const maxBytes = this.inner.mtu(dst);
    if (maxBytes < MASK_OVERHEAD_BYTES) {
      return this.reject('tell.mtu_exceeded', mtuError(`tell ${dst.text} over mask`, MASK_OVERHEAD_BYTES, maxBytes));
    }
    this.counts.countSent(payload.length);
    return this.inner.tell(dst, this.#mask.seal(payload, maxBytes), options);
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return { limits: { overheadBytes: MASK_OVERHEAD_BYTES } };
  }

  protected release(): void {
    this.#tells.clear();
  }
}
