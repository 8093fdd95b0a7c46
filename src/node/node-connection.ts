/** The implementation of a connection: its parts, and its states from the first byte to its end. */

import type { Side } from '../core/accept.ts';
import { P2PError } from '../core/errors.ts';
import { formatSocketAddress } from '../base/ip.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { RawConnection } from '../net/network.ts';
import type { Pipe } from '../net/pipe.ts';
import { rejection } from '../runtime/promises.ts';
import { checkCall, type Waits } from '../runtime/waits.ts';
import type { Codec } from './codec.ts';
import type { Disconnect, DisconnectOptions, DisconnectOrigin, SendOptions, TcpConnection } from './connection.ts';
import { CLOSE_ABRUPT, CLOSE_AFTER_PEER, CLOSE_EXPLAINING, type ClosePolicy, Ending } from './ending.ts';
import { notConnectedError, noWriterError } from './errors.ts';
import { Incoming, type PausedBy } from './incoming.ts';
import type { Reservation } from './limits.ts';
import type { NodeMemory } from './memory.ts';
import type { ConnectHook } from './on-connect.ts';
import type { DisconnectHook } from './on-disconnect.ts';
import { MessageReader, type Reader } from './reader.ts';
import type { ReadingHook } from './reading.ts';
import type { Secured } from './run-handshake.ts';
import { ConnectionCount, type DisconnectReason, type NodeCount, type WireBytes } from './stats.ts';
import { trace } from './trace.ts';
import type { Transform } from './transform.ts';
import { MessageWriter } from './writer.ts';
import type { WritingHook } from './writing.ts';

/** The default time limit of a graceful end. */
const DISCONNECT_TIMEOUT_MS = 5000;

/** What a connection needs from its node. */
export interface ConnectionOwner {
  readonly realm: Realm;
  readonly count: NodeCount;
  readonly waits: Waits;
  readonly memory: NodeMemory;
  readonly running: { onConnect: number; onDisconnect: number };
  /** The connection has ended. */
  removed(id: number, how: Disconnect): void;
}

/** The hooks of an established connection. */
export interface ConnectionHooks<In, Out> {
  readonly codec: Codec<In, Out> | undefined;
  readonly reading: ReadingHook<In, Out> | undefined;
  readonly writing: WritingHook | undefined;
  readonly onConnect: ConnectHook<Out> | undefined;
  readonly onDisconnect: DisconnectHook<Out> | undefined;
}

/** The parts from which a connection is made. */
export interface ConnectionParts {
  readonly owner: ConnectionOwner;
  readonly id: number;
  readonly raw: RawConnection;
  readonly side: Side;
  readonly tag: unknown;
  readonly reservation: Reservation;
}

export class NodeConnection<Out = never> implements TcpConnection<Out> {
  readonly realm: Realm;
  readonly id: number;
  readonly ip: string;
  readonly port: number;
  readonly addr: string;
  readonly localAddr: string;
  readonly side: Side;
  readonly tag: unknown;
  readonly stats: ConnectionCount;
  pipe: Pipe;
  publicKey: PublicKey | undefined;
  state: 'connecting' | 'open' | 'closing' | 'closed' = 'connecting';
  transform: Transform | undefined;
  readonly #owner: ConnectionOwner;
  readonly #reservation: Reservation;
  #incoming: Incoming | undefined;
  #reader: Reader | undefined;
  #writer: MessageWriter<Out> | undefined;
  #onDisconnect: DisconnectHook<Out> | undefined;
  #ending: Ending<Out> | undefined;
  /** Created on first access: most connections need none. */
  #abort: AbortController | undefined;
  #closed: PromiseWithResolvers<Disconnect> | undefined;
  #how: Disconnect | undefined;
  #hasPeerEnded = false;
  #isGone = false;

  constructor({ owner, id, raw, side, tag, reservation }: ConnectionParts) {
    this.realm = owner.realm;
    this.#owner = owner;
    this.id = id;
    this.ip = raw.remote.ip;
    this.port = raw.remote.port;
    this.addr = formatSocketAddress(this.ip, this.port);
    this.localAddr = formatSocketAddress(raw.local.ip, raw.local.port);
    this.side = side;
    this.tag = tag;
    this.#reservation = reservation;
    this.pipe = raw.pipe;
    this.stats = new ConnectionCount(owner.realm.nowMs(), () => this.#wire());
  }

  get count(): NodeCount {
    return this.#owner.count;
  }

  get memory(): NodeMemory {
    return this.#owner.memory;
  }

  get waits(): Waits {
    return this.#owner.waits;
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

  send(message: Out, options?: SendOptions & { readonly delivery?: false | undefined }): boolean;
  send(message: Out, options: SendOptions & { readonly delivery: true }): Promise<void>;
  send(message: Out, options?: SendOptions): boolean | Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) throw this.#cannot('send to');
    return options === undefined ? writer.send(message) : writer.sendWith(message, options);
  }

  ready(options?: CallOptions): Promise<void> {
    checkCall(options);
    return this.#writer?.ready(options) ?? rejection(this.#cannot('wait for room of'));
  }

  flushed(options?: CallOptions): Promise<void> {
    checkCall(options);
    return this.#writer?.flushed(options) ?? rejection(this.#cannot('flush'));
  }

  pause(): void {
    this.#reader?.hold(true);
  }

  resume(): void {
    this.#reader?.hold(false);
  }

  async disconnect(options: DisconnectOptions = {}): Promise<boolean> {
    checkCall(options);
    const graceMs = options.timeoutMs ?? DISCONNECT_TIMEOUT_MS;
    const how: Disconnect = { origin: 'user', reason: 'closed', said: options.reason };
    if (!this.end(how, { flushMs: graceMs, lingerMs: graceMs })) return false;
    const { signal } = options;
    const cut = (): void => this.cut();
    if (signal?.aborted === true) cut();
    signal?.addEventListener('abort', cut);
    await this.closed;
    signal?.removeEventListener('abort', cut);
    return true;
  }

  /** The handshake is complete: creates reader and writer. */
  secured<In>(left: Secured | undefined, hooks: ConnectionHooks<In, Out>): void {
    this.publicKey = left?.publicKey;
    this.transform = left?.transform;
    this.pipe = left?.pipe ?? this.pipe;
    const { codec, reading, writing, onDisconnect } = hooks;
    if (codec !== undefined && writing !== undefined) {
      this.#writer = new MessageWriter(this, codec.encoder(this), writing.settings);
    }
    if (codec !== undefined && reading !== undefined) {
      this.#reader = new MessageReader<In, Out>(this, codec.decoder(this, reading.settings), reading.settings);
    }
    this.#onDisconnect = onDisconnect;
    this.#incoming = new Incoming(this, this.pipe, this.transform, this.#reader);
  }

  /** The connection is established: from now on only `end` ends it. */
  open(left: Secured | undefined, onConnect: ConnectHook<Out> | undefined): void {
    this.state = 'open';
    if (onConnect !== undefined) void this.#runOnConnect(onConnect);
    this.#incoming!.start(left);
  }

  /** Closes a connection that was never established. */
  abandon(): void {
    this.state = 'closed';
    this.#how = { origin: 'shutdown', reason: 'closed' };
    this.#reader?.stop();
    this.#writer?.stop(undefined);
    this.pipe.destroy();
    this.#closed?.resolve(this.#how);
  }

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

  setPaused(by: PausedBy, paused: boolean): void {
    this.#incoming?.setPaused(by, paused);
  }

  undecryptable(cause: unknown): void {
    trace(this.realm, 'dropped', this, 'undecryptable', cause);
    this.fail('reading', 'malformed', cause);
  }

  lost(cause: Error | undefined): void {
    if (isTlsFault(cause)) trace(this.realm, 'dropped', this, 'undecryptable', cause);
    this.#isGone = true;
    this.#ending?.lost();
    this.fail('reading', 'reset', cause);
  }

  peerEnded(isTruncated: boolean, said?: string): void {
    this.#hasPeerEnded = true;
    this.#ending?.peerEnded();
    this.end({ origin: 'reading', reason: isTruncated ? 'truncated' : 'closed_by_peer', said }, CLOSE_AFTER_PEER);
  }

  /** Ends the connection because of an error. */
  fail(origin: DisconnectOrigin, reason: DisconnectReason, cause?: unknown): void {
    if (this.state === 'closing') {
      // What the peer does during the end no longer delays it.
      this.#incoming?.stop();
      this.#ending?.waitNoMore();
      return;
    }
    const explains = origin !== 'writing' && !this.#isGone && this.#writer?.canExplain === true;
    this.end({ origin, reason, cause }, explains ? CLOSE_EXPLAINING : CLOSE_ABRUPT);
  }

  /** Ends the connection, unless it is ending already. @returns whether this call ended it */
  end(how: Disconnect, policy: ClosePolicy): boolean {
    if (this.state !== 'open') return false;
    this.state = 'closing';
    this.#how = how;
    this.#abort?.abort(this.#error());
    // A graceful end continues to process what the peer sent before it learned of the end.
    if (policy.lingerMs === 0 || how.origin !== 'user') this.#incoming?.stop();
    this.#ending = new Ending({
      connection: this,
      writer: this.#writer,
      incoming: this.#incoming!,
      onDisconnect: this.#onDisconnect,
      running: this.#owner.running,
      how,
      policy,
      hasPeerEnded: this.#hasPeerEnded,
      isGone: this.#isGone,
    });
    void this.#tearDown(how, this.#ending);
    return true;
  }

  /** Stops all waiting of the end. */
  cut(): void {
    this.#isGone = true;
    this.#ending?.cut();
  }

  async #tearDown(how: Disconnect, ending: Ending<Out>): Promise<void> {
    try {
      await ending.run();
    } finally {
      this.#incoming?.stop();
      this.#writer?.stop(how.cause);
      this.pipe.sink = undefined;
      this.pipe.destroy();
      this.state = 'closed';
      this.#reservation.release();
      this.#owner.removed(this.id, how);
      this.#closed?.resolve(how);
    }
  }

  async #runOnConnect(hook: ConnectHook<Out>): Promise<void> {
    const { running } = this.#owner;
    running.onConnect++;
    try {
      // Asynchronously: code that awaits `connect` runs first.
      await Promise.resolve();
      if (hook.abortable && this.state !== 'open') return;
      await hook.run(this);
    } catch (error) {
      if (this.state === 'open') this.fail('on_connect', 'on_connect_error', error);
      else this.count.hookErrors++;
    } finally {
      running.onConnect--;
    }
  }

  /** The error of an operation that needs a writer, when the connection has no writer. */
  #cannot(what: string): P2PError {
    return this.state === 'open' || this.state === 'closing'
      ? noWriterError(what, this.addr)
      : notConnectedError(this.addr);
  }

  #error(): P2PError {
    const how = this.#how!;
    return new P2PError('disconnected', 'path', `Connection with ${this.addr} ended: ${how.reason}`, {
      cause: how.cause,
    });
  }

  #wire(): WireBytes {
    const { wireSent: sent, wireReceived: received, unsentBytes: unsent } = this.pipe;
    return { sent, received, unsent };
  }
}

/** Whether node:tls ended a connection because of what came: its codes of OpenSSL's faults begin with this. */
function isTlsFault(cause: Error | undefined): boolean {
  return cause !== undefined && 'code' in cause && String(cause.code).startsWith('ERR_SSL_');
}
