/** A connection from the inside: from the first byte to its end. */

import { type Bytes, concatBytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { formatEndpoint } from '../base/ip.ts';
import { type Realm } from '../core/realm.ts';
import { type PublicKey } from '../core/secure.ts';
import { later } from '../runtime/later.ts';
import { type Waits } from '../runtime/waits.ts';
import { type Connection, type Disconnect, type DisconnectOrigin, type LocalRole } from './connection.ts';
import { LATE, within } from './deadline.ts';
import { type ConnectHook, type DisconnectHook } from './hook.ts';
import { type Reservation } from './limits.ts';
import { type NodeMemory } from './memory.ts';
import { type Link } from '../net/network.ts';
import { type Node } from './node.ts';
import { type Reader } from './reading.ts';
import { ConnectionCount, type DisconnectReason, type NodeCount } from './stats.ts';
import { type Pipe, type PipeSink } from '../net/pipe.ts';
import { type Transform } from './transport.ts';
import { type Writer } from './writing.ts';

/** What a connection needs of its node. */
export interface ConnectionHost {
  readonly node: Node;
  readonly realm: Realm;
  readonly count: NodeCount;
  readonly waits: Waits;
  readonly memory: NodeMemory;
  readonly running: { onConnect: number; onDisconnect: number };
  /** The connection has ended. */
  removed(connection: NodeConnection, how: Disconnect): void;
}

/** What was there before the connection. */
export interface ConnectionParts {
  readonly host: ConnectionHost;
  readonly id: number;
  readonly link: Link;
  readonly localRole: LocalRole;
  readonly tag: unknown;
  readonly reservation: Reservation;
}

/** How politely a connection ends. */
export interface Manners {
  /** How long what waits may take to go out; 0: it is dropped. */
  readonly flushMs: number;
  /** How long the peer may take to end its half, once we have ended ours; 0: nobody waits. */
  readonly lingerMs: number;
}

/** For peers at fault, or gone. */
export const ABRUPT: Manners = { flushMs: 0, lingerMs: 0 };
/** How long a peer that has closed its half may take to read what waits for it. */
const AFTER_PEER: Manners = { flushMs: 5000, lingerMs: 0 };
/** How long a peer at fault may take to read why. */
const EXPLAINING: Manners = { flushMs: 1000, lingerMs: 1000 };

export class NodeConnection implements Connection, PipeSink {
  readonly host: ConnectionHost;
  readonly realm: Realm;
  readonly id: number;
  readonly ip: string;
  readonly port: number;
  readonly addr: string;
  readonly localAddr: string;
  readonly localRole: LocalRole;
  readonly tag: unknown;
  readonly stats: ConnectionCount;
  readonly reservation: Reservation;
  pipe: Pipe;
  publicKey: PublicKey | undefined;
  state: 'connecting' | 'open' | 'closing' | 'closed' = 'connecting';
  transform: Transform | undefined;
  reader: Reader | undefined;
  writer: Writer | undefined;
  #onDisconnect: DisconnectHook | undefined;
  /** Made when somebody asks: most connections need none. */
  #abort: AbortController | undefined;
  #closed: PromiseWithResolvers<Disconnect> | undefined;
  #how: Disconnect | undefined;
  #hasPeerEnded = false;
  #isGone = false;
  #onPeerEnded: (() => void) | undefined;
  /** Whether what comes is still processed. */
  #isReading = true;
  /** Who wants the pipe not to be read. */
  readonly #pauses = new Set<'reader' | 'transform' | 'memory'>();
  /** The peer has closed its half, and the transform has not opened all that came before. */
  #endsLater = false;
  /** Cuts every wait of the end short. */
  #hurry: PromiseWithResolvers<void> | undefined;

  constructor(parts: ConnectionParts) {
    const { host, link } = parts;
    this.host = host;
    this.realm = host.realm;
    this.id = parts.id;
    this.ip = link.remote.ip;
    this.port = link.remote.port;
    this.addr = formatEndpoint(this.ip, this.port);
    this.localAddr = formatEndpoint(link.local.ip, link.local.port);
    this.localRole = parts.localRole;
    this.tag = parts.tag;
    this.reservation = parts.reservation;
    this.pipe = link.pipe;
    this.stats = new ConnectionCount(host.realm.nowMs(), () => this.#wire());
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#how !== undefined && !this.#abort.signal.aborted) this.#abort.abort(this.#error());
    return this.#abort.signal;
  }

  get closed(): Promise<Disconnect> {
    this.#closed ??= Promise.withResolvers();
    if (this.state === 'closed') this.#closed.resolve(this.#how!);
    return this.#closed.promise;
  }

  /**
   * The connection is up: from now on only `end` ends it.
   *
   * @param left - what the handshake has left: bytes read past it, and the peer's end.
   */
  open(
    hooks: { readonly onConnect: ConnectHook | undefined; readonly onDisconnect: DisconnectHook | undefined },
    left?: { readonly rest: Bytes; readonly hasEnded: boolean },
  ): void {
    this.state = 'open';
    this.#onDisconnect = hooks.onDisconnect;
    this.pipe.sink = this;
    if (hooks.onConnect !== undefined) void this.#runOnConnect(hooks.onConnect);
    const { reader } = this;
    if (reader === undefined) return;
    if (this.transform === undefined) this.pipe.readInto?.(reader);
    // In a turn of its own: no message is processed before the node knows of the connection.
    queueMicrotask(() => {
      if (left !== undefined && left.rest.length > 0) this.onData(left.rest);
      if (left?.hasEnded === true) this.onEnd();
      else if (this.state === 'open' && this.#pauses.size === 0) this.pipe.resume();
    });
  }

  /** It was never up. */
  abandon(): void {
    this.state = 'closed';
    this.#how = { origin: 'shutdown', reason: 'closed' };
    this.reader?.stop();
    this.writer?.stop(undefined);
    this.#closed?.resolve(this.#how);
  }

  /** Hands pieces to the pipe. @returns whether they could be sealed. */
  write(pieces: readonly Uint8Array[], done: (error?: Error | null) => void): boolean {
    let sealed = pieces;
    if (this.transform !== undefined) {
      try {
        sealed = this.transform.seal(pieces);
      } catch (error) {
        this.fail('writing', 'reset', error);
        return false;
      }
    }
    this.pipe.write(sealed, done);
    return true;
  }

  onData(chunk: Bytes): void {
    if (this.transform === undefined) {
      this.reader?.push(chunk);
      return;
    }
    const { transform } = this;
    this.#opened(() => transform.open(chunk));
    if (transform.more !== undefined && !this.#pauses.has('transform')) this.#openMore(() => transform.more!());
  }

  /** Hands on what the transform has opened; whether there was something. */
  #opened(open: () => readonly Bytes[] | undefined): boolean {
    let parts: readonly Bytes[] | undefined;
    try {
      parts = open();
    } catch (error) {
      this.fail('reading', 'malformed', error);
      return false;
    }
    if (parts === undefined) return false;
    const bytes = parts.length === 1 ? parts[0]! : concatBytes(...parts);
    if (bytes.length > 0) this.reader?.push(bytes);
    return true;
  }

  /** Opens in later turns what is left, and reads nothing meanwhile. */
  #openMore(more: () => readonly Bytes[] | undefined): void {
    this.pause('transform', true);
    later(this.realm, () => {
      if (this.state === 'closed' || !this.#isReading) return;
      if (this.#opened(more)) {
        this.#openMore(more);
        return;
      }
      this.pause('transform', false);
      if (this.#endsLater) this.onEnd();
    });
  }

  /** Reads the pipe or not. */
  pause(by: 'reader' | 'transform' | 'memory', pause: boolean): void {
    const wasPaused = this.#pauses.size > 0;
    if (pause) this.#pauses.add(by);
    else this.#pauses.delete(by);
    if (wasPaused === this.#pauses.size > 0) return;
    if (pause) this.pipe.pause();
    else this.pipe.resume();
  }

  onEnd(): void {
    this.#endsLater = this.#pauses.has('transform');
    if (this.#endsLater) return;
    if (this.reader !== undefined && this.#isReading) this.reader.end();
    else this.peerEnded(false);
  }

  onClose(cause: Error | undefined): void {
    this.#isGone = true;
    this.#onPeerEnded?.();
    this.fail('reading', 'reset', cause);
  }

  /** The peer has closed its half, and everything that came before has been processed. */
  peerEnded(isTruncated: boolean, said?: string): void {
    this.#hasPeerEnded = true;
    this.#onPeerEnded?.();
    this.end({ origin: 'reading', reason: isTruncated ? 'truncated' : 'closed_by_peer', said }, AFTER_PEER);
  }

  /** Ends the connection for a fault. */
  fail(origin: DisconnectOrigin, reason: DisconnectReason, cause?: unknown): void {
    if (this.state === 'closing') {
      // What the peer does while we end is no reason to wait for it any longer.
      this.#stopReading();
      this.#onPeerEnded?.();
      return;
    }
    const explains = origin !== 'writing' && !this.#isGone && this.writer?.canExplain === true;
    this.end({ origin, reason, cause }, explains ? EXPLAINING : ABRUPT);
  }

  /** Ends the connection, if nobody has. @returns whether this call did it */
  end(how: Disconnect, manners: Manners): boolean {
    if (this.state !== 'open') return false;
    this.state = 'closing';
    this.#how = how;
    this.#abort?.abort(this.#error());
    // A polite end goes on processing what the peer has sent before it learns of it.
    if (manners.lingerMs === 0 || how.origin !== 'user') this.#stopReading();
    void this.#tearDown(how, manners);
    return true;
  }

  /** Ends the end: whoever is waited for is waited for no longer. */
  kill(): void {
    this.#isGone = true;
    this.#hurry?.resolve();
  }

  async #tearDown(how: Disconnect, manners: Manners): Promise<void> {
    this.#hurry = Promise.withResolvers();
    if (this.#onDisconnect !== undefined) await this.#runOnDisconnect(this.#onDisconnect, how);
    try {
      await this.#farewell(how, manners);
    } finally {
      this.#stopReading();
      this.writer?.stop(how.cause);
      this.pipe.sink = undefined;
      this.pipe.destroy();
      this.state = 'closed';
      this.reservation.release();
      this.host.removed(this, how);
      this.#closed?.resolve(how);
    }
  }

  /** Flushes, closes this half, and waits for the other. */
  async #farewell(how: Disconnect, { flushMs, lingerMs }: Manners): Promise<void> {
    const { writer, realm } = this;
    if (this.#isGone || flushMs === 0 || how.origin === 'writing') return;
    if (!this.#hasPeerEnded && writer?.canExplain === true) writer.explain(how.said ?? how.reason);
    if (writer !== undefined && writer.queuedBytes > 0) {
      const flushed = writer.flushed({ timeoutMs: flushMs }).then(
        () => true,
        () => false,
      );
      if ((await Promise.race([flushed, this.#hurry!.promise])) !== true) return;
    }
    const last = this.transform?.end?.() ?? [];
    if (last.length > 0) this.pipe.write(last, () => undefined);
    this.pipe.end();
    // Where nothing was sent nothing can be lost.
    if (lingerMs === 0 || this.#hasPeerEnded || this.#isGone || this.stats.sent.messages === 0) return;
    const ended = new Promise<void>((resolve) => {
      this.#onPeerEnded = resolve;
    });
    if (this.reader === undefined || !this.#isReading) this.pipe.resume();
    await within(realm, lingerMs, Promise.race([ended, this.#hurry!.promise]));
  }

  #stopReading(): void {
    this.#isReading = false;
    this.reader?.stop();
  }

  async #runOnConnect(hook: ConnectHook): Promise<void> {
    const { running } = this.host;
    running.onConnect++;
    try {
      // In a turn of its own: whoever awaits `connect` goes first.
      await Promise.resolve();
      if (hook.abortable && this.state !== 'open') return;
      await hook.run(this);
    } catch (error) {
      if (this.state === 'open') this.fail('on_connect', 'on_connect_error', error);
      else this.host.count.hookErrors++;
    } finally {
      running.onConnect--;
    }
  }

  async #runOnDisconnect(hook: DisconnectHook, how: Disconnect): Promise<void> {
    const { running, count } = this.host;
    const abort = new AbortController();
    running.onDisconnect++;
    const ran = Promise.resolve(hook.run(this, how, abort.signal)).then(
      () => undefined,
      () => void count.hookErrors++,
    );
    void ran.then(() => running.onDisconnect--);
    const late = await within(this.realm, hook.timeoutMs, Promise.race([ran, this.#hurry!.promise.then(() => LATE)]));
    if (late !== LATE) return;
    count.hookErrors++;
    abort.abort(new P2PError('timeout', 'local', `Cannot wait for onDisconnect: not done within ${hook.timeoutMs} ms`));
  }

  #error(): P2PError {
    const how = this.#how!;
    return new P2PError('disconnected', 'path', `Connection with ${this.addr} ended: ${how.reason}`, {
      cause: how.cause,
    });
  }

  #wire(): { readonly sent: number; readonly received: number } {
    return { sent: this.pipe.wireSent, received: this.pipe.wireReceived };
  }
}
