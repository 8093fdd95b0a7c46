/** The end of a connection: `onDisconnect`, what waits is flushed, this half is closed, the other half is waited for. */

import { P2PError } from '../core/errors.ts';
import { type Realm } from '../core/realm.ts';
import { type Pipe } from '../net/pipe.ts';
import { type Disconnect, type TcpConnection } from './connection.ts';
import { LATE, within } from './deadline.ts';
import { type Incoming } from './incoming.ts';
import { type DisconnectHook } from './on-disconnect.ts';
import { type NodeCount } from './stats.ts';
import { type Transform } from './transform.ts';

/** How politely a connection is closed. */
export interface ClosePolicy {
  /** How long what waits may take to go out; 0: it is dropped. */
  readonly flushMs: number;
  /** How long the peer may take to end its half, once we have ended ours; 0: nobody waits. */
  readonly lingerMs: number;
}

/** For peers at fault, or gone. */
export const CLOSE_ABRUPT: ClosePolicy = { flushMs: 0, lingerMs: 0 };
/** How long a peer that has closed its half may take to read what waits for it. */
export const CLOSE_AFTER_PEER: ClosePolicy = { flushMs: 5000, lingerMs: 0 };
/** How long a peer at fault may take to read why. */
export const CLOSE_EXPLAINING: ClosePolicy = { flushMs: 1000, lingerMs: 1000 };

/** What ends. */
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
  /** Whether the peer had closed its half before. */
  readonly hasPeerEnded: boolean;
  /** Whether the pipe was gone before. */
  readonly isGone: boolean;
}

export class Ending<Out> {
  readonly #parts: EndingParts<Out>;
  /** Settles when no wait of the end goes on. */
  readonly #cut = Promise.withResolvers<void>();
  readonly #peerEnd = Promise.withResolvers<void>();
  #hasPeerEnded: boolean;
  #isGone: boolean;

  constructor(parts: EndingParts<Out>) {
    this.#parts = parts;
    this.#hasPeerEnded = parts.hasPeerEnded;
    this.#isGone = parts.isGone;
  }

  /** Nothing is waited for any longer. */
  cut(): void {
    this.#isGone = true;
    this.#cut.resolve();
  }

  /** The peer has closed its half. */
  peerEnded(): void {
    this.#hasPeerEnded = true;
    this.#peerEnd.resolve();
  }

  /** The peer's end is not waited for any longer. */
  waitNoMore(): void {
    this.#peerEnd.resolve();
  }

  /** The pipe is gone. */
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
    // Where nothing was sent nothing can be lost.
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
