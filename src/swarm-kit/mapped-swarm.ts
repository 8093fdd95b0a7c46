/** A swarm that translates the addresses of another swarm. */

import type { Addr } from '../core/addr.ts';
import type { LayerDescription } from '../core/inspect.ts';
import { type AddrMap, keep, type Like } from '../core/keep.ts';
import type { TellHandler } from '../core/message.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import { SwarmOver, type WrapOptions } from './swarm-over.ts';
import { TellSlot } from './tell-slot.ts';

/** How addresses are translated; `up(down(b))` must have the same text as `b`. */
export interface MapAddrsOptions<A extends Addr, B extends Addr> extends WrapOptions {
  /**
   * Translates an address of the inner swarm into one of yours. Called for the source and destination of every message.
   */
  up(addr: A): B;
  /**
   * Translates one of your addresses into one of the inner swarm. Throws a `TypeError` for a value that is not one of
   * your addresses.
   */
  down(addr: B): A;
  /**
   * Parses the text of one of your addresses. @default the inner swarm parses the text, and the result is translated
   */
  parse?(text: string): B;
}

/** The tells of `inner` with addresses `B`. */
class MappedSwarm<A extends Addr, B extends Addr> extends SwarmOver<A, B> {
  readonly #map: AddrMap<A, B>;
  readonly #options: MapAddrsOptions<A, B>;
  readonly #tells: TellSlot<B>;

  constructor(inner: Swarm<A>, map: AddrMap<A, B>, options: MapAddrsOptions<A, B>) {
    super(inner, 'map', options);
    this.#map = map;
    this.#options = options;
    this.#tells = new TellSlot({ realm: this.realm, counters: this.counts });
  }

  localAddrs(): readonly B[] {
    return this.latch.isClosed ? [] : this.inner.localAddrs().map((addr) => this.#map.up(addr));
  }

  parseAddr(text: string): B {
    return this.#options.parse?.(text) ?? this.#map.up(this.inner.parseAddr(text));
  }

  protected mtuTo(dst: B): number {
    return this.inner.mtu(this.#map.down(dst));
  }

  protected sendTell(dst: B, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    this.counts.countSent(payload.length);
    return this.inner.tell(this.#map.down(dst), payload, options);
  }

  listen(handler: TellHandler<B>): Disposable {
    if (this.latch.isClosed) throw this.latch.error('listen');
    const map = this.#map;
    return this.joined(this.#tells.listen(handler), () =>
      this.inner.listen(({ src, dst, payload }) => this.#tells.pass({ src: map.up(src), dst: map.up(dst), payload })),
    );
  }

  protected describeLayer(): Omit<LayerDescription, 'inner'> {
    return { limits: {} };
  }

  protected release(): void {
    this.#tells.clear();
  }
}

/**
 * Returns `inner` with addresses `B`, including its asks and keys. `mapAddrs` of `shoal/map` checks the options first.
 */
export function mappedSwarm<A extends Addr, B extends Addr, S extends Swarm<A>>(
  inner: S & Swarm<A>,
  options: MapAddrsOptions<A, B>,
): Like<S, B> {
  const map: AddrMap<A, B> = { up: (addr) => options.up(addr), down: (addr) => options.down(addr) };
  const base = new MappedSwarm<A, B>(inner, map, options);
  return keep<A, S, B>(inner, base, map, { guard: base.guard });
}
