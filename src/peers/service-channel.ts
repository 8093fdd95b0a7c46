/**
 * What connection managers say to each other beside the program, as a swarm: for peer exchange, relays, hole punching. Asks are those of the
 * session; tells are its datagrams, which may be lost.
 */

import { DEFAULT_ASK_TIMEOUT_MS, type AskOptions } from '../core/ask.ts';
import type { Bytes } from '../base/bytes.ts';
import { mtuError, P2PError } from '../core/errors.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import type { AskHandler, Message, TellHandler } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey, SecureAskSwarm } from '../core/secure.ts';
import type { CallOptions, Closed } from '../core/swarm.ts';
import { later } from '../runtime/later.ts';
import { markHandled, RESOLVED, rejection } from '../runtime/promises.ts';
import { Waits } from '../runtime/waits.ts';
import type { PeerConnections } from '../sessions/connections.ts';
import { type Answer, AskSlot } from '../swarm-kit/ask-slot.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import { parsePeerAddr, type PeerAddr, peerAddr } from './address.ts';
import type { LiveSession } from './live-session.ts';

/** What a channel needs from the connection manager. */
export interface ServiceHost {
  readonly realm: Realm;
  readonly own: PeerAddr;
  readonly publicKey: PublicKey;
  readonly closed: Promise<Closed>;
  readonly maxMessageBytes: number;
  withSession(dst: PeerAddr, fail: (error: P2PError) => void, use: (session: LiveSession) => void): () => void;
  /** The session that is open. */
  sessionOf(id: PeerId): LiveSession | undefined;
  knownKey(id: PeerId): PublicKey | undefined;
}

/** The largest answer of a service, and the largest tell. */
const MAX_ANSWER_BYTES = 65_536;
const MAX_TELL_BYTES = 65_535;
/** What a tell may have before there is a session: a datagram of the transports that have the least. */
const UNKNOWN_MTU_BYTES = 1400;
const TELL_TIMEOUT_MS = 10_000;

export class ServiceChannel implements SecureAskSwarm<PeerAddr>, PeerConnections {
  readonly realm: Realm;
  readonly counters: CounterSet;
  readonly closed: Promise<Closed>;
  readonly addr: PeerAddr;
  readonly publicKey: PublicKey;
  readonly #service: number;
  readonly #host: ServiceHost;
  readonly #slot: AskSlot<PeerAddr>;
  readonly #tells: TellSlot<PeerAddr>;
  readonly #waits: Waits;
  /** Bounded by the calls of `onDisconnected`. */
  readonly #listeners = new Set<(peer: PeerId, reason: string) => void>();

  /** @param service - whose messages are sent to peers. The owner hands in what comes for this channel. */
  constructor(name: string, service: number, host: ServiceHost) {
    this.realm = host.realm;
    this.addr = host.own;
    this.publicKey = host.publicKey;
    this.closed = host.closed;
    this.counters = new CounterSet(name);
    this.#service = service;
    this.#host = host;
    this.#slot = new AskSlot({ realm: host.realm, counters: this.counters });
    this.#tells = new TellSlot({ realm: host.realm, counters: this.counters });
    this.#waits = new Waits(host.realm);
  }

  localAddrs(): readonly PeerAddr[] {
    return [this.addr];
  }

  parseAddr(text: string): PeerAddr {
    return parsePeerAddr(text);
  }

  tryParseAddr(text: string): PeerAddr | undefined {
    return isPeerId(text) ? peerAddr(text) : undefined;
  }

  /** The largest tell. A peer of version 1 takes none. */
  mtu(dst: PeerAddr | string): number {
    const session = this.#host.sessionOf(this.#idOf(dst));
    return session === undefined ? UNKNOWN_MTU_BYTES : Math.min(MAX_TELL_BYTES, session.machine.datagramBytes);
  }

  maxRequestBytes(): number {
    return this.#host.maxMessageBytes;
  }

  ask(dst: PeerAddr | string, request: Uint8Array, options?: AskOptions): Promise<Bytes> {
    const addr = typeof dst === 'string' ? this.parseAddr(dst) : dst;
    const { maxResponseBytes = MAX_ANSWER_BYTES } = options ?? {};
    const what = (): string => `ask ${addr.text}`;
    return this.#waits.wait<Bytes>({ what, call: options, defaultTimeoutMs: DEFAULT_ASK_TIMEOUT_MS }, (wait) => {
      let undo: (() => void) | undefined;
      const settle = (result: Bytes | P2PError): void =>
        result instanceof P2PError ? wait.reject(result) : wait.resolve(result);
      const waiting = this.#host.withSession(addr, wait.reject, (session) => {
        undo = session.ask(request, maxResponseBytes, settle, undefined, undefined, this.#service);
      });
      return () => {
        waiting();
        undo?.();
      };
    });
  }

  serve(handler: AskHandler<PeerAddr>): Disposable {
    return this.#slot.serve(handler);
  }

  /** A request of a peer has come. */
  answer(message: Message<PeerAddr>): Answer | Promise<Answer> {
    return this.#slot.handle(message).answer;
  }

  /** A tell of a peer has come. */
  received(message: Message<PeerAddr>): void {
    this.counters.countReceived(message.payload.length);
    this.#tells.deliver(message);
  }

  tell(dst: PeerAddr | string, payload: Uint8Array, options?: CallOptions): Promise<void> {
    const id = this.#idOf(dst);
    const session = this.#host.sessionOf(id);
    if (session !== undefined) return this.#send(session, payload);
    const what = (): string => `tell ${id}`;
    const call = { what, call: options, defaultTimeoutMs: TELL_TIMEOUT_MS };
    const told = this.#waits.wait<void>(call, (wait) =>
      this.#host.withSession(peerAddr(id), wait.reject, (open) => {
        this.#send(open, payload).then(wait.resolve, wait.reject);
      }),
    );
    return markHandled(told);
  }

  /** Sends it now, or drops it as a full link does. */
  #send(session: LiveSession, payload: Uint8Array): Promise<void> {
    const limit = Math.min(MAX_TELL_BYTES, session.machine.datagramBytes);
    if (session.path !== undefined && payload.length > limit) {
      return markHandled(rejection(mtuError(`tell ${session.peer}`, payload.length, limit)));
    }
    if (session.datagram(this.#service, payload)) this.counters.countSent(payload.length);
    else this.counters.countDrop('queue_full');
    return RESOLVED;
  }

  listen(handler: TellHandler<PeerAddr>): Disposable {
    return this.#tells.listen(handler);
  }

  knownPublicKey(addr: PeerAddr | string): PublicKey | undefined {
    const id = this.#idOf(addr);
    return id === this.addr.id ? this.publicKey : this.#host.knownKey(id);
  }

  lookupPublicKey(dst: PeerAddr | string, options?: CallOptions): Promise<PublicKey> {
    const id = this.#idOf(dst);
    const known = this.knownPublicKey(id);
    if (known !== undefined) return Promise.resolve(known);
    const what = (): string => `look up the key of ${id}`;
    return this.#waits.wait<PublicKey>({ what, call: options, defaultTimeoutMs: TELL_TIMEOUT_MS }, (wait) =>
      this.#host.withSession(peerAddr(id), wait.reject, (session) => wait.resolve(session.publicKey)),
    );
  }

  onDisconnected(listener: (peer: PeerId, reason: string) => void): Disposable {
    const own = (peer: PeerId, reason: string): void => listener(peer, reason);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  disconnect(peer: PeerId): boolean {
    const session = this.#host.sessionOf(peer);
    session?.end('given up');
    return session !== undefined;
  }

  /** The session with a peer has ended. */
  lost(peer: PeerId, reason: string): void {
    if (this.#listeners.size === 0) return;
    later(this.realm, () => {
      for (const listener of this.#listeners) listener(peer, reason);
    });
  }

  drain(): Promise<void> {
    return RESOLVED;
  }

  close(): Promise<void> {
    this.#waits.close();
    this.#tells.clear();
    this.#listeners.clear();
    this.#slot.clear(new P2PError('closed', 'local', 'Cannot serve: closed'));
    return RESOLVED;
  }

  #idOf(dst: PeerAddr | string): PeerId {
    return typeof dst === 'string' ? parsePeerAddr(dst).id : dst.id;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
