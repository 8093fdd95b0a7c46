/**
 * `shoal/multi`: several swarms as one, with addresses `scheme://inner`. An application on `multi({ udp })` can add a
 * second transport in one line, and stored addresses stay valid. The texts are those of go-p2p's multiswarm
 * (docs/wire/multi.md).
 *
 * @example
 * ```ts
 * await using swarm = multi({ udp: p2pke(udp, keys), quic: await openQuicSwarm(keys) });
 * await swarm.tell(swarm.parseAddr('quic://…'), payload);
 * ```
 */

import { type Addr, type AddrOf, type NestedAddr, assertAddr, makeAddr } from '../core/addr.ts';
import { type AskSwarm, canAsk } from '../core/ask.ts';
import { equalBytes } from '../base/bytes.ts';
import type { Counters, DropReason } from '../core/counters.ts';
import { type Describes, type LayerDescription, inspect } from '../core/inspect.ts';
import { P2PError, mtuError } from '../core/errors.ts';
import { type AddrAsks, type AddrSecure, type Common, textAsks, textSecure } from '../core/keep.ts';
import { assertBytes, assertFunction, assertString, describeValue } from '../base/checks.ts';
import type { TellHandler } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import { type PublicKey, type SecureSwarm, isSecure } from '../core/secure.ts';
import type { CallOptions, Closed, Swarm } from '../core/swarm.ts';
import { bestAddr, TextAddrs } from '../core/text-addrs.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { joinListening } from '../swarm-kit/join-listening.ts';
import { rejection } from '../runtime/promises.ts';
import type { WrapOptions } from '../swarm-kit/swarm-over.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import { checkAsk, checkCall } from '../runtime/waits.ts';

/** An address of one member: its text is `scheme://` and the member's address. */
export interface SchemeAddr<L, I extends Addr> extends NestedAddr<I> {
  readonly scheme: L;
}

/** The addresses of all members. */
export type MultiAddr<M> = { [K in keyof M]: SchemeAddr<K, AddrOf<M[K]>> }[keyof M];

/** RFC 3986 §3.1. */
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;

/**
 * Joins swarms into one. It has the abilities that all of them share. They must have the same realm, and the same key
 * if they have keys.
 *
 * When a member fails, its addresses disappear and the others continue; when the last one has ended, this swarm ends.
 *
 * @param members - swarms by scheme; a scheme is a letter, then letters, digits, `+`, `.` or `-`.
 * @throws {TypeError} when no swarm is given, when realms or keys differ, or for an invalid scheme.
 */
// Swarms are invariant in their addresses: only `any` matches members of different networks.
// oxlint-disable-next-line typescript/no-explicit-any
export function multi<M extends Readonly<Record<string, Swarm<any>>>>(
  members: M,
  options: WrapOptions = {},
): Common<M[keyof M], MultiAddr<M>> {
  const swarms = new Map<string, Swarm<Addr>>(Object.entries(members));
  const [first] = swarms.values();
  if (first === undefined) throw new TypeError('Cannot make multi: expected at least one member');
  for (const [scheme, swarm] of swarms) {
    if (!SCHEME.test(scheme)) {
      throw new TypeError(
        `Cannot make multi: ${describeValue(scheme)} is not a scheme; expected a letter, then letters, digits, +, . or -`,
      );
    }
    if (typeof swarm !== 'object' || swarm === null || typeof swarm.tell !== 'function') {
      throw new TypeError(`Cannot make multi: expected a swarm as member ${scheme}, got ${describeValue(swarm)}`);
    }
    if (swarm.realm !== first.realm)
      throw new TypeError(`Cannot make multi: member ${scheme} belongs to another realm`);
  }
  const all = [...swarms.values()];
  const base = new MultiSwarm(swarms, options);
  // The abilities that all members share, as in Common.
  return Object.assign(
    base,
    all.every((swarm) => canAsk(swarm)) ? textAsks(base.asks(), base.texts) : undefined,
    all.every((swarm) => isSecure(swarm)) ? textSecure(base.secure(oneKey(all)), base.texts) : undefined,
  ) as unknown as Common<M[keyof M], MultiAddr<M>>;
}

function oneKey(members: readonly SecureSwarm<Addr>[]): PublicKey {
  const [first] = members;
  for (const { publicKey } of members) {
    if (!equalBytes(publicKey.spki, first!.publicKey.spki)) {
      throw new TypeError('Cannot make multi: members have different keys, and a peer has one');
    }
  }
  return first!.publicKey;
}

type Multi = SchemeAddr<string, Addr>;

class MultiSwarm implements Swarm<Multi>, Describes {
  readonly realm: Realm;
  readonly #members: ReadonlyMap<string, Swarm<Addr>>;
  readonly #counters: CounterSet;
  readonly #tells: TellSlot<Multi>;
  readonly #latch: CloseLatch;
  readonly #keepInner: boolean;
  readonly texts: TextAddrs<Multi> = new TextAddrs<Multi>((text) => this.parseAddr(text));
  /** Mapped addresses, by inner address. */
  readonly #known = new WeakMap<Addr, Multi>();

  constructor(members: ReadonlyMap<string, Swarm<Addr>>, options: WrapOptions) {
    const [first] = members.values();
    this.realm = first!.realm;
    this.#members = members;
    this.#counters = new CounterSet('multi', new SummedCounters([...members.values()]));
    this.#keepInner = options.keepInner ?? false;
    this.#tells = new TellSlot({ realm: this.realm, counters: this.#counters });
    this.#latch = new CloseLatch({ realm: this.realm, layer: 'multi', release: () => this.#release() });
    void Promise.all(Array.from(members.values(), (member) => member.closed)).then((ends) =>
      this.#latch.fail(
        ends.find(({ cause }) => cause !== undefined)?.cause ??
          new P2PError('closed', 'local', 'All members of multi were closed'),
      ),
    );
    this.realm.trace?.({ layer: 'multi', type: 'opened', atMs: this.realm.nowMs() });
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  get addr(): Multi {
    return bestAddr(this.localAddrs());
  }

  tryParseAddr(text: string): Multi | undefined {
    return this.texts.tryParse(text);
  }

  localAddrs(): readonly Multi[] {
    if (this.#latch.isClosed) return [];
    return [...this.#members].flatMap(([scheme, member]) => member.localAddrs().map((addr) => this.#up(scheme, addr)));
  }

  /** An unknown scheme parses, and prints unchanged: the address may belong to a transport that is added later. */
  parseAddr(text: string): Multi {
    assertString(text, 'address');
    const at = text.indexOf('://');
    const [scheme, rest] = [text.slice(0, at), text.slice(at + 3)];
    if (at < 0 || !SCHEME.test(scheme) || rest === '') {
      throw new TypeError(`Cannot parse address: expected scheme://address, got ${describeValue(text)}`);
    }
    const member = this.#members.get(scheme);
    return this.#up(scheme, member === undefined ? makeAddr<Addr>({ text: rest }) : member.parseAddr(rest));
  }

  /** 0 for an unknown scheme. */
  mtu(dst: Multi | string): number {
    const addr = this.texts.addrOf(dst);
    return this.#member(addr)?.mtu(addr.inner) ?? 0;
  }

  tell(dst: Multi | string, payload: Uint8Array, options?: CallOptions): Promise<void> {
    assertBytes(payload, 'payload');
    if (typeof dst === 'string') {
      const refused = (): void => this.#counters.countDrop('tell.unreachable');
      return this.texts.call('tell', dst, (addr) => this.tell(addr, payload, options), refused);
    }
    const member = this.#member(dst);
    checkCall(options);
    const refused = this.#refusal('tell', dst, options, member);
    if (refused === undefined && member !== undefined) {
      if (payload.length > member.mtu(dst.inner)) {
        return this.#rejected('tell.mtu_exceeded', mtuError(`tell ${dst.text}`, payload.length, member.mtu(dst.inner)));
      }
      this.#counters.countSent(payload.length);
      return member.tell(dst.inner, payload, options);
    }
    const error = refused?.error;
    return this.#rejected(P2PError.is(error) ? `tell.${error.code}` : 'tell.aborted', error);
  }

  listen(handler: TellHandler<Multi>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('listen');
    const below = this.#open().map(
      ([scheme, member]) =>
        () =>
          member.listen(({ src, dst, payload }) =>
            this.#tells.pass({ src: this.#up(scheme, src), dst: this.#up(scheme, dst), payload }),
          ),
    );
    return joinListening([() => this.#tells.listen(handler), ...below]);
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    return Promise.all(this.#open().map(([, member]) => member.drain(options))).then(() => {});
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    return {
      limits: { schemes: [...this.#members.keys()].join(' ') },
      inner: this.#open().map(([, member]) => inspect(member)),
    };
  }

  /** The asks of all members, when all can ask. */
  asks(): AddrAsks<Multi> {
    const asking = (dst: Multi): AskSwarm<Addr> | undefined => {
      const member = this.#member(dst);
      return member !== undefined && canAsk(member) ? member : undefined;
    };
    return {
      maxRequestBytes: (dst) => asking(dst)?.maxRequestBytes(dst.inner) ?? 0,
      ask: (dst, request, options) => {
        const member = asking(dst);
        assertBytes(request, 'request');
        checkAsk(options);
        const refused = this.#refusal('ask', dst, options, member);
        if (refused !== undefined || member === undefined) return rejection(refused?.error);
        this.#counters.countSent(request.length);
        return member.ask(dst.inner, request, options);
      },
      serve: (handler) => {
        assertFunction(handler, 'handler');
        if (this.#latch.isClosed) throw this.#latch.error('serve');
        const below = this.#open().map(([scheme, member]) => () => {
          if (!canAsk(member)) throw new TypeError(`Cannot serve: member ${scheme} has no asks`);
          return member.serve((request) =>
            handler({
              src: this.#up(scheme, request.src),
              dst: this.#up(scheme, request.dst),
              payload: request.payload,
              get signal() {
                return request.signal;
              },
            }),
          );
        });
        return joinListening(below);
      },
    };
  }

  /** The keys of all members, which are the same. */
  secure(publicKey: PublicKey): AddrSecure<Multi> {
    const securing = (addr: Multi): SecureSwarm<Addr> | undefined => {
      const member = this.#member(addr);
      return member !== undefined && isSecure(member) ? member : undefined;
    };
    return {
      publicKey,
      knownPublicKey: (addr) => securing(addr)?.knownPublicKey(addr.inner),
      lookupPublicKey: (dst, options) => {
        const member = securing(dst);
        checkCall(options);
        const refused = this.#refusal('look up the key of', dst, options, member);
        if (refused !== undefined || member === undefined) return rejection(refused?.error);
        return member.lookupPublicKey(dst.inner, options);
      },
    };
  }

  #open(): [string, Swarm<Addr>][] {
    return [...this.#members].filter(([, member]) => member.localAddrs().length > 0);
  }

  /** The member of an address. @throws {TypeError} when it is not an address of a multi swarm. */
  #member(addr: Multi): Swarm<Addr> | undefined {
    assertAddr(addr, 'dst');
    if (typeof addr.scheme !== 'string' || typeof addr.inner !== 'object') {
      throw new TypeError(
        `Cannot take dst: expected an address with a scheme (see parseAddr), got ${describeValue(addr)}`,
      );
    }
    return this.#members.get(addr.scheme);
  }

  #refusal(
    verb: string,
    dst: Multi,
    options: CallOptions | undefined,
    member: Swarm<Addr> | undefined,
  ): { readonly error: unknown } | undefined {
    if (options?.signal?.aborted === true) return { error: options.signal.reason };
    if (this.#latch.isClosed) return { error: this.#latch.error(`${verb} ${dst.text}`) };
    if (member !== undefined) return undefined;
    const known = [...this.#members.keys()].join(', ');
    const message = `Cannot ${verb} ${dst.text}: no member has the scheme ${dst.scheme}, the schemes are ${known}`;
    return { error: new P2PError('unsupported', 'local', message, { sent: 'no' }) };
  }

  #up(scheme: string, inner: Addr): Multi {
    const known = this.#known.get(inner);
    if (known?.scheme === scheme) return known;
    const addr = makeAddr<Multi>({ scheme, inner, text: `${scheme}://${inner.text}` });
    this.#known.set(inner, addr);
    return addr;
  }

  #rejected(reason: `tell.${string}`, error: unknown): Promise<void> {
    this.#counters.countDrop(reason);
    return rejection(error);
  }

  #release(): Promise<unknown> | void {
    this.#tells.clear();
    if (this.#keepInner) return undefined;
    return Promise.all(Array.from(this.#members.values(), (member) => member.close()));
  }
}

/** The sums of all members' counters. */
class SummedCounters implements Counters {
  readonly layer = 'members';
  readonly #members: readonly Swarm<Addr>[];

  constructor(members: readonly Swarm<Addr>[]) {
    this.#members = members;
  }

  get sent(): number {
    return this.#sum('sent');
  }

  get received(): number {
    return this.#sum('received');
  }

  get sentBytes(): number {
    return this.#sum('sentBytes');
  }

  get receivedBytes(): number {
    return this.#sum('receivedBytes');
  }

  /** Of all layers of all members, because this is the last layer that is visible from above. */
  get drops(): ReadonlyMap<DropReason, number> {
    const drops = new Map<DropReason, number>();
    for (const member of this.#members) {
      for (let at: Counters | undefined = member.counters; at !== undefined; at = at.inner) {
        for (const [reason, count] of at.drops) drops.set(reason, (drops.get(reason) ?? 0) + count);
      }
    }
    return drops;
  }

  #sum(name: 'sent' | 'received' | 'sentBytes' | 'receivedBytes'): number {
    return this.#members.reduce((total, { counters }) => total + counters[name], 0);
  }
}
