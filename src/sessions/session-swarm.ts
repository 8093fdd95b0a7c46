/**
 * A swarm over sessions with authenticated peers: the common part of QUIC and TCP. It checks calls, waits, and closes.
 * The transport dials, and sends over its sessions.
 */

import type { Recheckable } from '../core/accept.ts';
import { type AskOptions, DEFAULT_ASK_TIMEOUT_MS } from '../core/ask.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Counters } from '../core/counters.ts';
import type { Describes, Inspection, LayerDescription } from '../core/inspect.ts';
import { mtuError, P2PError } from '../core/errors.ts';
import { assertBytes, assertFunction, describeValue, wholeNumber } from '../base/checks.ts';
import type { AskHandler, TellHandler } from '../core/message.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey, SecureAskSwarm } from '../core/secure.ts';
import type { CallOptions, Closed } from '../core/swarm.ts';
import { bestAddr, TextAddrs } from '../core/text-addrs.ts';
import { AskSlot } from '../swarm-kit/ask-slot.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { later } from '../runtime/later.ts';
import { RESOLVED, rejection } from '../runtime/promises.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { checkCall, Waits } from '../runtime/waits.ts';
import type { KeyedAddr, PeerSession, PeerSessions, SessionsHooks } from './peer-sessions.ts';
import type { PeerConnections } from './connections.ts';
import { SelfCalls } from './self-calls.ts';

/** The default time limit of a tell that waits for the peer, and of a drain that waits for acknowledgements. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** The parts of a swarm over sessions. */
export interface SessionSwarmParts<A extends KeyedAddr> {
  /** The swarm's name in counters, traces and errors; its addresses have it as their `net`. */
  readonly layer: string;
  readonly realm: Realm;
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** The counters of the layer below. */
  readonly inner: Counters | undefined;
  /** The largest answer that is accepted, unless the call gives another limit. */
  readonly maxMessageBytes: number;
  /** For `inspect`. */
  readonly limits: Readonly<Record<string, number>>;
  readonly inspectInner?: (() => readonly Inspection[]) | undefined;
  /** The addresses under which this swarm is reached; called only while open. */
  readonly localAddrs: () => readonly A[];
  readonly parseAddr: (text: string) => A;
  /** The maximum message size for a destination, if it is not the same for all peers. @default maxMessageBytes */
  readonly mtu?: ((dst: A) => number) | undefined;
  readonly sessions: (hooks: SessionsHooks<A>) => PeerSessions<A>;
  /** Closes the layer below, after the sessions. */
  readonly release: () => Promise<void>;
}

export class SessionSwarm<A extends KeyedAddr> implements SecureAskSwarm<A>, Recheckable, PeerConnections, Describes {
  readonly realm: Realm;
  readonly publicKey: PublicKey;
  readonly #parts: SessionSwarmParts<A>;
  readonly #sessions: PeerSessions<A>;
  readonly #counters: CounterSet;
  readonly #tells: TellSlot<A>;
  readonly #asks: AskSlot<A>;
  readonly #self: SelfCalls<A>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #texts: TextAddrs<A> = new TextAddrs<A>((text) => this.parseAddr(text));
  /** Called when a tell is acknowledged. Bounded by the pending drains. */
  readonly #drains = new Set<() => void>();
  /** Bounded by the layers above. */
  readonly #gone = new Set<(peer: PeerId, reason: string) => void>();

  constructor(parts: SessionSwarmParts<A>) {
    const { realm, layer } = parts;
    this.realm = realm;
    this.publicKey = parts.publicKey;
    this.#parts = parts;
    this.#counters = new CounterSet(layer, parts.inner);
    this.#tells = new TellSlot({ realm, counters: this.#counters });
    this.#asks = new AskSlot({ realm, counters: this.#counters });
    this.#self = new SelfCalls(this.#counters, this.#tells, this.#asks, (act) => this.#later(act));
    this.#waits = new Waits(realm);
    this.#latch = new CloseLatch({ realm, layer, release: () => this.#release() });
    this.#sessions = parts.sessions(this.#hooks());
    this.#tells.onListen = () => this.#later(() => this.#sessions.unpark());
    realm.trace?.({ layer, type: 'opened', atMs: realm.nowMs() });
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  get addr(): A {
    return bestAddr(this.localAddrs());
  }

  tryParseAddr(text: string): A | undefined {
    return this.#texts.tryParse(text);
  }

  localAddrs(): readonly A[] {
    if (this.#latch.isClosed) return [];
    return this.#parts.localAddrs();
  }

  parseAddr(text: string): A {
    return this.#parts.parseAddr(text);
  }

  mtu(dst: A | string): number {
    const addr = this.#texts.addrOf(dst);
    this.#assertAddr(addr);
    return this.#mtuOf(addr);
  }

  maxRequestBytes(dst: A | string): number {
    return this.mtu(dst);
  }

  tell(dst: A | string, payload: Uint8Array, options?: CallOptions): Promise<void> {
    assertBytes(payload, 'payload');
    if (typeof dst === 'string') {
      const refused = (): void => this.#counters.countDrop(`${this.#parts.layer}.tell_refused`);
      return this.#texts.call('tell', dst, (addr) => this.tell(addr, payload, options), refused);
    }
    this.#assertAddr(dst);
    const refused = this.#check('tell', dst, payload, options);
    if (refused !== undefined) {
      this.#counters.countDrop(`${this.#parts.layer}.tell_refused`);
      return refused;
    }
    if (dst.id === this.#parts.id) return this.#self.tell(dst, payload);
    const session = this.#sessions.inUse.get(dst.id);
    let failed: P2PError | undefined;
    let settle: ((error?: P2PError) => void) | undefined;
    let undo: (() => void) | undefined;
    if (session !== undefined) {
      const taken = (error?: P2PError): void => {
        failed = error;
        settle?.(error);
      };
      const told = session.tell(payload, taken, options?.priority, this.#expiryOf(options));
      if (told === true) return RESOLVED;
      undo = told;
    }
    const what = (): string => `tell ${dst.text}`;
    const expiresMs = this.#expiryOf(options);
    let began = session !== undefined;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    const told = this.#waits.wait<void>({ what, call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS, sent }, (wait) => {
      settle = (error) => (error === undefined ? wait.resolve() : wait.reject(error));
      if (session !== undefined) {
        if (failed !== undefined) wait.reject(failed);
        return undo;
      }
      const waiting = this.#withSession(dst, expiresMs, wait.reject, (found) => {
        began = true;
        const taken = found.tell(payload, (error) => settle!(error), options?.priority, expiresMs);
        if (taken === true) wait.resolve();
        else undo = taken;
      });
      return () => {
        waiting();
        undo?.();
      };
    });
    told.catch(() => this.#counters.countDrop(`${this.#parts.layer}.tell_failed`));
    return told;
  }

  ask(dst: A | string, request: Uint8Array, options?: AskOptions): Promise<Bytes> {
    assertBytes(request, 'request');
    if (typeof dst === 'string') return this.#texts.call('ask', dst, (addr) => this.ask(addr, request, options));
    this.#assertAddr(dst);
    const { maxMessageBytes } = this.#parts;
    const maxResponseBytes = wholeNumber(
      options?.maxResponseBytes,
      'maxResponseBytes',
      maxMessageBytes,
      0,
      Number.MAX_SAFE_INTEGER,
    );
    const refused = this.#check('ask', dst, request, options);
    if (refused !== undefined) return refused;
    const what = (): string => `ask ${dst.text}`;
    const expiresMs = this.#expiryOf(options);
    let began = false;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    return this.#waits.wait<Bytes>({ what, call: options, defaultTimeoutMs: DEFAULT_ASK_TIMEOUT_MS, sent }, (wait) => {
      if (dst.id === this.#parts.id) return this.#self.ask(dst, request, maxResponseBytes, wait);
      const settle = (result: Bytes | P2PError): void => {
        if (result instanceof P2PError) wait.reject(result);
        else {
          this.#counters.countReceived(result.length);
          wait.resolve(result);
        }
      };
      const ask = (session: PeerSession): (() => void) => {
        began = true;
        return session.ask(request, maxResponseBytes, settle, options?.priority, expiresMs);
      };
      const current = this.#sessions.inUse.get(dst.id);
      if (current !== undefined) return ask(current);
      let undo: (() => void) | undefined;
      const waiting = this.#withSession(dst, expiresMs, wait.reject, (session) => (undo = ask(session)));
      return () => {
        waiting();
        undo?.();
      };
    });
  }

  listen(handler: TellHandler<A>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('listen');
    return this.#tells.listen(handler);
  }

  serve(handler: AskHandler<A>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('serve');
    return this.#asks.serve(handler);
  }

  knownPublicKey(addr: A | string): PublicKey | undefined {
    const known = typeof addr === 'string' ? this.#texts.tryParse(addr) : addr;
    if (known === undefined && typeof addr === 'string') return undefined;
    this.#assertAddr(known);
    if (known.id === this.#parts.id) return this.publicKey;
    return this.#sessions.knownKey(known.id);
  }

  lookupPublicKey(dst: A | string, options?: CallOptions): Promise<PublicKey> {
    if (typeof dst === 'string') {
      return this.#texts.call('look up the key of', dst, (addr) => this.lookupPublicKey(addr, options));
    }
    this.#assertAddr(dst);
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error(`look up the key of ${dst.text}`));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    const known = this.knownPublicKey(dst);
    if (known !== undefined) return Promise.resolve(known);
    const what = (): string => `look up the key of ${dst.text}`;
    return this.#waits.wait<PublicKey>({ what, call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS }, (wait) =>
      this.#sessions.withSession(dst, wait.reject, (session) => wait.resolve(session.publicKey)),
    );
  }

  /** Waits until the peers have acknowledged every tell. */
  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    if (this.#sessions.acknowledged) return RESOLVED;
    return this.#waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS },
      (wait) => {
        const look = (): void => {
          if (this.#sessions.acknowledged) wait.resolve();
        };
        this.#drains.add(look);
        this.#sessions.requestAcknowledgements?.();
        return () => this.#drains.delete(look);
      },
    );
  }

  onDisconnected(listener: (peer: PeerId, reason: string) => void): Disposable {
    assertFunction(listener, 'listener');
    const each = (peer: PeerId, reason: string): void => listener(peer, reason);
    this.#gone.add(each);
    return { [Symbol.dispose]: () => void this.#gone.delete(each) };
  }

  disconnect(peer: PeerId): boolean {
    return !this.#latch.isClosed && this.#sessions.disconnect(peer);
  }

  progress(peer: PeerId): number {
    return this.#sessions.progress?.(peer) ?? 0;
  }

  recheck(): Promise<void> {
    return this.#latch.isClosed ? RESOLVED : this.#sessions.recheck();
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { maxMessageBytes, limits } = this.#parts;
    return {
      limits: { maxMessageBytes, ...limits },
      state: this.#sessions.state,
      inner: this.#parts.inspectInner?.(),
    };
  }

  #assertAddr(value: A | undefined): asserts value is A {
    if (typeof value === 'object' && value !== null && value.net === this.#parts.layer && 'id' in value) return;
    const kind = this.#parts.layer.toUpperCase();
    throw new TypeError(`Cannot take dst: expected a ${kind} address (see parseAddr), got ${describeValue(value)}`);
  }

  #mtuOf(dst: A): number {
    return this.#parts.mtu === undefined ? this.#parts.maxMessageBytes : this.#parts.mtu(dst);
  }

  #check(
    verb: 'tell' | 'ask',
    dst: A,
    payload: Uint8Array,
    options: CallOptions | undefined,
  ): Promise<never> | undefined {
    if (options !== undefined) checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error(`${verb} ${dst.text}`));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    const limit = this.#mtuOf(dst);
    if (payload.length <= limit) return undefined;
    return rejection(mtuError(`${verb} ${dst.text}`, payload.length, limit, 'raise maxMessageBytes'));
  }

  /** When a message is not worth sending any more, on the realm's clock. */
  #expiryOf(options: CallOptions | undefined): number | undefined {
    return options?.expiresMs === undefined ? undefined : this.realm.nowMs() + options.expiresMs;
  }

  /** As `withSession` of the sessions; what expires before there is one fails. */
  #withSession(
    dst: A,
    expiresMs: number | undefined,
    fail: (error: P2PError) => void,
    use: (session: PeerSession) => void,
  ): () => void {
    if (expiresMs === undefined) return this.#sessions.withSession(dst, fail, use);
    const timer = clockOf(this.realm).setTimer(expiresMs, () => {
      undo();
      fail(
        new P2PError('timeout', 'local', `Cannot reach ${dst.text}: the message expired before it was sent`, {
          sent: 'no',
        }),
      );
    });
    const waiting = this.#sessions.withSession(dst, fail, (session) => {
      timer.cancel();
      use(session);
    });
    const undo = (): void => {
      timer.cancel();
      waiting();
    };
    return undo;
  }

  /** Calls `act` asynchronously, unless the swarm has closed by then. */
  #later(act: () => void): void {
    later(this.realm, () => {
      if (!this.#latch.isClosed) act();
    });
  }

  #hooks(): SessionsHooks<A> {
    const [tells, asks, latch] = [this.#tells, this.#asks, this.#latch];
    return {
      realm: this.realm,
      counters: this.#counters,
      get listening() {
        return tells.occupied;
      },
      deliver: (message, budget) => void tells.deliver(message, budget),
      pass: (message) => tells.pass(message),
      serve: (message, budget) => asks.handle(message, budget),
      settled: () => {
        for (const look of this.#drains) look();
      },
      disconnected: (peer, reason) => {
        if (this.#gone.size === 0) return;
        this.#later(() => {
          for (const gone of this.#gone) gone(peer, reason);
        });
      },
      closedError: (what) => (latch.isClosed ? latch.error(what) : undefined),
      failed: (bug) => latch.fail(bug),
      later: (act) => this.#later(act),
    };
  }

  #release(): Promise<void> {
    this.#tells.clear();
    const error = this.#latch.error('serve');
    this.#asks.clear(error);
    this.#waits.close(this.#latch.how?.cause);
    this.#sessions.close();
    return this.#parts.release();
  }
}

/** Makes a swarm over sessions. */
export function sessionSwarm<A extends KeyedAddr>(
  parts: SessionSwarmParts<A>,
): SecureAskSwarm<A> & Recheckable & PeerConnections {
  return new SessionSwarm(parts);
}
