/**
 * How a wrapper keeps the abilities of its inner swarm: in the type ({@link Like}, {@link Common}) and at run time
 * ({@link keep}).
 *
 * Only wrappers that pass on the same bytes with the same authentication may keep abilities. A layer that replaces them
 * (a security layer, for example) must not, or requests would bypass it in plaintext.
 */

import type { Addr } from './addr.ts';
import { assertFunction } from '../base/checks.ts';
import { type AskOptions, type AskSwarm, type Asks, canAsk } from './ask.ts';
import type { AskHandler } from './message.ts';
import type { Bytes } from '../base/bytes.ts';
import { type PublicKey, type Secure, type SecureAskSwarm, type SecureSwarm, isSecure } from './secure.ts';
import type { CallOptions, Swarm } from './swarm.ts';
import { TextAddrs } from './text-addrs.ts';

// The abilities of S do not depend on its address type, and Asks and Secure are invariant in it: only `any` matches
// them all.
/* oxlint-disable typescript/no-explicit-any */

/** The named swarm type for addresses `B` with the abilities of `S`; distributes over unions. */
export type Like<S, B extends Addr> = S extends Asks<any> & Secure<any>
  ? SecureAskSwarm<B>
  : S extends Asks<any>
    ? AskSwarm<B>
    : S extends Secure<any>
      ? SecureSwarm<B>
      : Swarm<B>;

/** The named swarm type for addresses `B` with the abilities that all members of the union `S` share. */
export type Common<S, B extends Addr> = [S] extends [Asks<any> & Secure<any>]
  ? SecureAskSwarm<B>
  : [S] extends [Asks<any>]
    ? AskSwarm<B>
    : [S] extends [Secure<any>]
      ? SecureSwarm<B>
      : Swarm<B>;

/* oxlint-enable typescript/no-explicit-any */

/** How a wrapper's addresses map to those of its inner swarm. */
export interface AddrMap<in out A extends Addr, in out B extends Addr> {
  /** From the wrapper's address to the inner one. */
  down(addr: B): A;
  /** From the inner address to the wrapper's. */
  up(addr: A): B;
}

/** The error of a call that cannot be made now; `undefined` when it can. */
export type Guard = (what: string) => Error | undefined;

/** The ask half of a layer, for parsed addresses. */
export interface AddrAsks<in out A extends Addr> {
  /** As of {@link Asks}, for an address. */
  readonly maxRequestBytes: (dst: A) => number;
  /** As of {@link Asks}, for an address. */
  readonly ask: (dst: A, request: Uint8Array, options?: AskOptions) => Promise<Bytes>;
  /** As of {@link Asks}. */
  readonly serve: (handler: AskHandler<A>) => Disposable;
}

/** The secure half of a layer, for parsed addresses. */
export interface AddrSecure<in out A extends Addr> {
  readonly publicKey: PublicKey;
  /** As of {@link Secure}, for an address. */
  readonly knownPublicKey: (addr: A) => PublicKey | undefined;
  /** As of {@link Secure}, for an address. */
  readonly lookupPublicKey: (dst: A, options?: CallOptions) => Promise<PublicKey>;
}

/** Asks that accept text in place of an address. */
export function textAsks<A extends Addr>(asks: AddrAsks<A>, texts: TextAddrs<A>): Asks<A> {
  return {
    maxRequestBytes: (dst) => asks.maxRequestBytes(texts.addrOf(dst)),
    ask: (dst, request, options) =>
      typeof dst === 'string'
        ? texts.call('ask', dst, (addr) => asks.ask(addr, request, options))
        : asks.ask(dst, request, options),
    serve: (handler) => asks.serve(handler),
  };
}

/** Key look-ups that accept text in place of an address. */
export function textSecure<A extends Addr>(secure: AddrSecure<A>, texts: TextAddrs<A>): Secure<A> {
  return {
    publicKey: secure.publicKey,
    knownPublicKey: (addr) => {
      const known = typeof addr === 'string' ? texts.tryParse(addr) : addr;
      return known === undefined ? undefined : secure.knownPublicKey(known);
    },
    lookupPublicKey: (dst, options) =>
      typeof dst === 'string'
        ? texts.call('look up the key of', dst, (addr) => secure.lookupPublicKey(addr, options))
        : secure.lookupPublicKey(dst, options),
  };
}

/** The ask half of `inner`, with mapped addresses. */
export function mapAsks<A extends Addr, B extends Addr>(
  inner: Asks<A>,
  map: AddrMap<A, B>,
  guard?: Guard,
): AddrAsks<B> {
  return {
    maxRequestBytes: (dst) => inner.maxRequestBytes(map.down(dst)),
    ask: (dst, request, options) => {
      const error = guard?.(`ask ${dst.text}`);
      return error === undefined ? inner.ask(map.down(dst), request, options) : Promise.reject(error);
    },
    serve: (handler) => {
      assertFunction(handler, 'handler');
      const error = guard?.('serve');
      if (error !== undefined) throw error;
      return inner.serve((request) =>
        handler({
          src: map.up(request.src),
          dst: map.up(request.dst),
          payload: request.payload,
          get signal() {
            return request.signal;
          },
        }),
      );
    },
  };
}

/** The secure half of `inner`, with mapped addresses. */
export function mapSecure<A extends Addr, B extends Addr>(
  inner: Secure<A>,
  map: AddrMap<A, B>,
  guard?: Guard,
): AddrSecure<B> {
  return {
    publicKey: inner.publicKey,
    knownPublicKey: (addr) => inner.knownPublicKey(map.down(addr)),
    lookupPublicKey: (dst, options) => {
      const below = map.down(dst);
      const error = guard?.(`look up the key of ${below.text}`);
      return error === undefined ? inner.lookupPublicKey(below, options) : Promise.reject(error);
    },
  };
}

/** How a layer changes the abilities it keeps. */
export interface KeepOptions<A extends Addr, B extends Addr> {
  /**
   * The layer's own asks, if its requests differ from those of the inner swarm. Used only when the inner swarm can ask.
   */
  readonly asks?: ((inner: AskSwarm<A>) => AddrAsks<B>) | undefined;
  /** Fails calls when the layer is closed but the inner swarm is open. */
  readonly guard?: Guard | undefined;
}

/**
 * Adds the abilities of `inner` to `base`, with mapped addresses. The only place where the run-time abilities and
 * {@link Like} meet.
 *
 * @param base - the wrapper's own swarm, which is changed and returned.
 */
export function keep<A extends Addr, S extends Swarm<A>, B extends Addr>(
  inner: S & Swarm<A>,
  base: Swarm<B>,
  map: AddrMap<A, B>,
  options: KeepOptions<A, B> = {},
): Like<S, B> {
  const { asks, guard } = options;
  const texts = new TextAddrs<B>((text) => base.parseAddr(text));
  return Object.assign(
    base,
    canAsk<A>(inner) ? textAsks(asks?.(inner) ?? mapAsks(inner, map, guard), texts) : undefined,
    isSecure<A>(inner) ? textSecure(mapSecure(inner, map, guard), texts) : undefined,
  ) as unknown as Like<S, B>;
}
