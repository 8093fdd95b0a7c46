/** The end of a connection: runs `onDisconnect`, flushes the queue, closes this half, and waits for the other half. */

import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { Pipe } from '../net/pipe.ts';
import type { Disconnect, TcpConnection } from './connection.ts';
import { LATE, within } from './deadline.ts';
import type { Incoming } from './incoming.ts';
import type { DisconnectHook } from './on-disconnect.ts';
import type { NodeCount } from './stats.ts';
import type { Transform } from './transform.ts';

/** The time limits of closing a connection. */
export interface ClosePolicy {
  /** The time limit for sending the queue; 0: the queue is dropped. */
  readonly flushMs: number;
  /** The time limit for the peer to close its half after this side has closed its own; 0: no waiting. */
  readonly lingerMs: number;
}

/** For peers that violated the protocol or disconnected. */
export const CLOSE_ABRUPT: ClosePolicy = { flushMs: 0, lingerMs: 0 };
/** The time limit for a peer that has closed its half to read the queue. */
export const CLOSE_AFTER_PEER: ClosePolicy = { flushMs: 5000, lingerMs: 0 };
/** The time limit for a failing peer to read the reason. */
export const CLOSE_EXPLAINING: ClosePolicy = { flushMs: 1000, lingerMs: 1000 };

/** The parts of the connection that ends. */
export interface EndingParts<Out> {
  readonly connection: TcpConnection<Out> & {
    readonly realm: Realm;
    readonly count: NodeCount;
    readonly pipe: Pipe;
    readonly transform: Transform | undefined;
  };
  readonly writer:
    | {
        readonly queuedBytes: number;
        readonly canExplain: boolean;
        explain(reason: string): void;
        flushed(options: { readonly timeoutMs: number }): Promise<void>;
      }
    | undefined;
  readonly incoming: Incoming;
  readonly onDisconnect: DisconnectHook<Out> | undefined;
  readonly running: { onDisconnect: number };
  readonly how: Disconnect;
  readonly policy: ClosePolicy;
  /** Whether the peer had closed its half already. */
  readonly hasPeerEnded: boolean;
  /** Whether the pipe was closed already. */
  readonly isGone: boolean;
}

export class Ending<Out> {
  readonly #parts: EndingParts<Out>;
  /** Settles when no wait of the closing sequence remains. */
  readonly #cut = Promise.withResolvers<void>();
  readonly #peerEnd = Promise.withResolvers<void>();
  #hasPeerEnded: boolean;
  #isGone: boolean;

  constructor(parts: EndingParts<Out>) {
    this.#parts = parts;
    this.#hasPeerEnded = parts.hasPeerEnded;
    this.#isGone = parts.isGone;
  }

  /** Stops all waiting. */
  cut(): void {
    this.#isGone = true;
    this.#cut.resolve();
  }

  /** The peer has closed its half. */
  peerEnded(): void {
    this.#hasPeerEnded = true;
    this.#peerEnd.resolve();
  }

  /** Stops waiting for the peer's end. */
  waitNoMore(): void {
    this.#peerEnd.resolve();
  }

  /** The pipe has closed. */
  lost(): void {
    this.#isGone = true;
    this.#peerEnd.resolve();
  }

  /** Settles when the pipe can be destroyed. */
  async run(): Promise<void> {
    const { onDisconnect } = this.#parts;
    if (onDisconnect !== undefined) await this.#runHook(onDisconnect);
    await this.#flushAndLinger();
  }

  async #flushAndLinger(): Promise<void> {
    const { connection, writer, incoming, how, policy } = this.#parts;
    const { flushMs, lingerMs } = policy;
    const { realm, pipe, transform, stats } = connection;
    if (this.#isGone || flushMs === 0 || how.origin === 'writing') return;
    if (!this.#hasPeerEnded && writer?.canExplain === true) writer.explain(how.said ?? how.reason);
    if (writer !== undefined && writer.queuedBytes > 0) {
      const flushed = writer.flushed({ timeoutMs: flushMs }).then(
        () => true,
        () => false,
      );
      if ((await Promise.race([flushed, this.#cut.promise])) !== true) return;
    }
    const last = transform?.end?.() ?? [];
    if (last.length > 0) pipe.write(last, () => undefined);
    pipe.end();
    // Without sent messages nothing can be lost.
    if (lingerMs === 0 || this.#hasPeerEnded || this.#isGone || stats.sent.messages === 0) return;
    incoming.readToEnd();
    await within(realm, lingerMs, Promise.race([this.#peerEnd.promise, this.#cut.promise]));
  }

  async #runHook(hook: DisconnectHook<Out>): Promise<void> {
    const { connection, running, how } = this.#parts;
    const { count, realm } = connection;
    const abort = new AbortController();
    running.onDisconnect++;
    const ran = hook.run(connection, how, abort.signal).then(
      () => undefined,
      () => void count.hookErrors++,
    );
    void ran.then(() => running.onDisconnect--);
    const late = await within(realm, hook.timeoutMs, Promise.race([ran, this.#cut.promise.then(() => LATE)]));
    if (late !== LATE) return;
    count.hookErrors++;
    abort.abort(new P2PError('timeout', 'local', `Cannot wait for onDisconnect: not done within ${hook.timeoutMs} ms`));
  }
}
