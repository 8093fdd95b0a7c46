/** What connection managers ask each other beside the program, as a swarm that can ask: for peer exchange. */

import { DEFAULT_ASK_TIMEOUT_MS, type AskOptions, type AskSwarm } from '../core/ask.ts';
import { type Bytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { isPeerId } from '../core/peer-id.ts';
import { type AskHandler, type Message } from '../core/message.ts';
import { type Realm } from '../core/realm.ts';
import { type Closed } from '../core/swarm.ts';
import { RESOLVED, rejection } from '../runtime/promises.ts';
import { Waits } from '../runtime/waits.ts';
import { type Answer, AskSlot } from '../swarm-kit/ask-slot.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { parsePeerAddr, type PeerAddr, peerAddr } from './address.ts';
import { type LiveSession } from './live-session.ts';

/** What a channel needs from the connection manager. */
export interface ServiceHost {
  readonly realm: Realm;
  readonly own: PeerAddr;
  readonly closed: Promise<Closed>;
  readonly maxMessageBytes: number;
  withSession(dst: PeerAddr, fail: (error: P2PError) => void, use: (session: LiveSession) => void): () => void;
}

/** The largest answer of a service. */
const MAX_ANSWER_BYTES = 65_536;

export class ServiceChannel implements AskSwarm<PeerAddr> {
  readonly realm: Realm;
  readonly counters: CounterSet;
  readonly closed: Promise<Closed>;
  readonly addr: PeerAddr;
  readonly #service: number;
  readonly #host: ServiceHost;
  readonly #slot: AskSlot<PeerAddr>;
  readonly #waits: Waits;

  constructor(name: string, service: number, host: ServiceHost) {
    this.realm = host.realm;
    this.addr = host.own;
    this.closed = host.closed;
    this.counters = new CounterSet(name);
    this.#service = service;
    this.#host = host;
    this.#slot = new AskSlot({ realm: host.realm, counters: this.counters });
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

  mtu(): number {
    return this.#host.maxMessageBytes;
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

  tell(): Promise<void> {
    return rejection(new P2PError('unsupported', 'local', 'Cannot tell: a service takes asks only', { sent: 'no' }));
  }

  listen(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  drain(): Promise<void> {
    return RESOLVED;
  }

  close(): Promise<void> {
    this.#waits.close();
    this.#slot.clear(new P2PError('closed', 'local', 'Cannot serve: closed'));
    return RESOLVED;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
