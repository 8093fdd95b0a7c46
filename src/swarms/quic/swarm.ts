/** Messages over QUIC over any swarm: a tell is a unidirectional stream, an ask a bidirectional one. */

import { type Addr } from '../../core/addr.ts';
import { type AskOptions, DEFAULT_ASK_TIMEOUT_MS } from '../../core/ask.ts';
import { type Bytes, copyBytes } from '../../core/bytes.ts';
import { type Counters } from '../../core/counters.ts';
import { type Describes, inspect, type LayerDescription } from '../../core/describe.ts';
import { mtuError, P2PError } from '../../core/errors.ts';
import { assertBytes, wholeNumber } from '../../core/limits.ts';
import { type AskHandler, type TellHandler } from '../../core/message.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type Realm } from '../../core/realm.ts';
import { type PublicKey, type SecureAskSwarm } from '../../core/secure.ts';
import { type CallOptions, type Closed, type Swarm } from '../../core/swarm.ts';
import { type Answer, AskSlot, type Serving } from '../../kit/ask-slot.ts';
import { CloseLatch } from '../../kit/close-latch.ts';
import { CounterSet } from '../../kit/counter-set.ts';
import { later } from '../../kit/later.ts';
import { isPending, TellSlot } from '../../kit/tell-slot.ts';
import { RESOLVED, rejection } from '../../kit/rejection.ts';
import { checkCall, Waits } from '../../kit/waits.ts';
import { assertQuicAddr, parseQuicAddr, type QuicAddr, quicAddr } from './address.ts';
import { type MakeEndpoint } from './connections.ts';
import { type ResolvedOptions } from './options.ts';
import { Peers, type PeersUser } from './peers.ts';

/** How long a tell may wait for the peer, and a drain for acknowledgements, unless the call says otherwise. */
const DEFAULT_TIMEOUT_MS = 30_000;
/** QUIC on a swarm. Made by `quic`. */
export class QuicSwarm<I extends Addr> implements SecureAskSwarm<QuicAddr<I>>, Describes {
  readonly realm: Realm;
  readonly publicKey: PublicKey;
  readonly #id: PeerId;
  readonly #inner: Swarm<I>;
  readonly #options: ResolvedOptions<I>;
  readonly #peers: Peers<I>;
  readonly #counters: CounterSet;
  readonly #tells: TellSlot<QuicAddr<I>>;
  readonly #asks: AskSlot<QuicAddr<I>>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  /** Told when a tell is acknowledged. Bounded by the drains under way. */
  readonly #drains = new Set<() => void>();

  constructor(inner: Swarm<I>, options: ResolvedOptions<I>, makeEndpoint: MakeEndpoint) {
    const { realm } = inner;
    this.realm = realm;
    this.#inner = inner;
    this.#options = options;
    this.publicKey = options.publicKey;
    this.#id = options.id;
    this.#counters = new CounterSet('quic', inner.counters);
    this.#tells = new TellSlot({ realm, counters: this.#counters });
    this.#asks = new AskSlot({ realm, counters: this.#counters });
    this.#waits = new Waits(realm);
    this.#latch = new CloseLatch({ realm, layer: 'quic', release: () => this.#release() });
    this.#peers = new Peers(inner, options, this.#counters, this.#user(), makeEndpoint);
    this.#tells.onListen = () => this.#later(() => this.#peers.unpark());
    void inner.closed.then((how) => this.#latch.fail(how.cause ?? how));
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  localAddrs(): readonly QuicAddr<I>[] {
    if (this.#latch.isClosed) return [];
    return this.#inner.localAddrs().map((inner) => quicAddr(this.#id, inner));
  }

  parseAddr(text: string): QuicAddr<I> {
    return parseQuicAddr(text, (rest) => this.#inner.parseAddr(rest));
  }

  mtu(dst: QuicAddr<I>): number {
    assertQuicAddr(dst);
    return this.#options.maxMessageBytes;
  }

  maxRequestBytes(dst: QuicAddr<I>): number {
    return this.mtu(dst);
  }

  tell(dst: QuicAddr<I>, payload: Uint8Array, options?: CallOptions): Promise<void> {
    assertQuicAddr(dst);
    assertBytes(payload, 'payload');
    const refused = this.#check('tell', dst, payload, options);
    if (refused !== undefined) {
      this.#counters.countDrop('quic.tell_refused');
      return refused;
    }
    if (dst.id === this.#id) return this.#tellSelf(dst, payload);
    const session = this.#peers.session(dst.id);
    const what = (): string => `tell ${dst.text}`;
    let failed: P2PError | undefined;
    let settle: ((error?: P2PError) => void) | undefined;
    if (session !== undefined) {
      const taken = (error?: P2PError): void => {
        failed = error;
        settle?.(error);
      };
      if (session.tell(payload, taken)) return RESOLVED;
    }
    const told = this.#waits.wait<void>({ what, call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS }, (wait) => {
      settle = (error) => (error === undefined ? wait.resolve() : wait.reject(error));
      if (session !== undefined) {
        if (failed !== undefined) wait.reject(failed);
        return undefined;
      }
      return this.#peers.withSession(dst, wait.reject, (found) => {
        if (found.tell(payload, (error) => settle!(error))) wait.resolve();
      });
    });
    told.catch(() => this.#counters.countDrop('quic.tell_failed'));
    return told;
  }

  ask(dst: QuicAddr<I>, request: Uint8Array, options?: AskOptions): Promise<Bytes> {
    assertQuicAddr(dst);
    assertBytes(request, 'request');
    const { maxMessageBytes } = this.#options;
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
    let began = false;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    return this.#waits.wait<Bytes>({ what, call: options, defaultTimeoutMs: DEFAULT_ASK_TIMEOUT_MS, sent }, (wait) => {
      if (dst.id === this.#id) return this.#askSelf(dst, request, maxResponseBytes, wait.resolve, wait.reject);
      let undo: (() => void) | undefined;
      const waiting = this.#peers.withSession(dst, wait.reject, (session) => {
        began = true;
        undo = session.ask(request, maxResponseBytes, (result) => {
          if (result instanceof P2PError) wait.reject(result);
          else {
            this.#counters.countReceived(result.length);
            wait.resolve(result);
          }
        });
      });
      return () => {
        waiting();
        undo?.();
      };
    });
  }

  listen(handler: TellHandler<QuicAddr<I>>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('listen');
    return this.#tells.listen(handler);
  }

  serve(handler: AskHandler<QuicAddr<I>>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('serve');
    return this.#asks.serve(handler);
  }

  knownPublicKey(addr: QuicAddr<I>): PublicKey | undefined {
    assertQuicAddr(addr);
    if (addr.id === this.#id) return this.publicKey;
    return this.#peers.knownKey(addr.id);
  }

  lookupPublicKey(dst: QuicAddr<I>, options?: CallOptions): Promise<PublicKey> {
    assertQuicAddr(dst);
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error(`look up the key of ${dst.text}`));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    const known = this.knownPublicKey(dst);
    if (known !== undefined) return Promise.resolve(known);
    const what = (): string => `look up the key of ${dst.text}`;
    return this.#waits.wait<PublicKey>({ what, call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS }, (wait) =>
      this.#peers.withSession(dst, wait.reject, (session) => wait.resolve(session.publicKey)),
    );
  }

  /** Waits until the peers have acknowledged every tell. */
  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    if (this.#peers.acknowledged) return RESOLVED;
    return this.#waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS },
      (wait) => {
        const look = (): void => {
          if (this.#peers.acknowledged) wait.resolve();
        };
        this.#drains.add(look);
        return () => this.#drains.delete(look);
      },
    );
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { maxMessageBytes, limits } = this.#options;
    return {
      limits: { maxMessageBytes, ...limits },
      state: this.#peers.state,
      inner: [inspect(this.#inner)],
    };
  }

  #check(
    verb: 'tell' | 'ask',
    dst: QuicAddr<I>,
    payload: Uint8Array,
    options: CallOptions | undefined,
  ): Promise<never> | undefined {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error(`${verb} ${dst.text}`));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    const { maxMessageBytes } = this.#options;
    if (payload.length <= maxMessageBytes) return undefined;
    return rejection(mtuError(`${verb} ${dst.text}`, payload.length, maxMessageBytes, 'raise maxMessageBytes'));
  }

  /** Runs in a later turn, unless the swarm has closed by then. */
  #later(act: () => void): void {
    later(this.realm, () => {
      if (!this.#latch.isClosed) act();
    });
  }

  #user(): PeersUser<I> {
    const [tells, asks, latch] = [this.#tells, this.#asks, this.#latch];
    return {
      get listening() {
        return tells.occupied;
      },
      deliver: (message, budget) => void tells.deliver(message, budget),
      serve: (message, budget) => asks.handle(message, budget),
      settled: () => {
        for (const look of this.#drains) look();
      },
      closedError: (what) => (latch.isClosed ? latch.error(what) : undefined),
      failed: (bug) => latch.fail(bug),
      later: (act) => this.#later(act),
    };
  }

  #tellSelf(dst: QuicAddr<I>, payload: Uint8Array): Promise<void> {
    const message = { src: dst, dst, payload: copyBytes(payload) };
    this.#counters.countSent(payload.length);
    this.#later(() => void this.#tells.deliver(message));
    return RESOLVED;
  }

  #askSelf(
    dst: QuicAddr<I>,
    request: Uint8Array,
    maxResponseBytes: number,
    resolve: (answer: Bytes) => void,
    reject: (error: unknown) => void,
  ): () => void {
    const payload = copyBytes(request);
    let serving: Serving | undefined;
    this.#counters.countSent(payload.length);
    this.#later(() => {
      serving = this.#asks.handle({ src: dst, dst, payload });
      const settle = (answer: Answer): void => {
        if (!answer.ok) reject(new P2PError('refused', 'remote', `Cannot ask ${dst.text}: refused`));
        else if (answer.bytes.length > maxResponseBytes) {
          reject(new P2PError('limit_exceeded', 'local', `The answer has ${answer.bytes.length} bytes`));
        } else {
          this.#counters.countReceived(answer.bytes.length);
          resolve(copyBytes(answer.bytes));
        }
      };
      if (isPending(serving.answer)) void serving.answer.then(settle);
      else settle(serving.answer);
    });
    return () => serving?.abort(new P2PError('disconnected', 'local', 'The asker has given up'));
  }

  async #release(): Promise<void> {
    this.#tells.clear();
    const error = this.#latch.error('serve');
    this.#asks.clear(error);
    this.#waits.close(this.#latch.how?.cause);
    this.#peers.close();
    if (!this.#options.keepInner) await this.#inner.close();
  }
}
