/**
 * `shoal/packet-socket`: a swarm as a datagram socket, for code that reads instead of using a handler. As go-p2p's
 * p2pconn, without its silent truncation, and with deadlines that work while a read is pending.
 *
 * @example
 * ```ts
 * await using socket = packetSocket(swarm);
 * const { data, src } = await socket.readFrom({ timeoutMs: 1000 });
 * await socket.writeTo(data, src);
 * ```
 */

import type { Addr } from '../core/addr.ts';
import type { Bytes } from '../base/bytes.ts';
import { assertBytes, describeValue, quantity } from '../base/checks.ts';
import type { MessagesOptions } from '../runtime/messages.ts';
import type { Message } from '../core/message.ts';
import type { Timer } from '../core/realm.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { BoundedQueue } from '../swarm-kit/bounded-queue.ts';
import { P2PError, closedError } from '../core/errors.ts';
import { rejection } from '../runtime/promises.ts';
import { Waits, type Wait, checkCall } from '../runtime/waits.ts';

/** A received datagram. */
export interface Datagram<A extends Addr> {
  readonly data: Bytes;
  readonly src: A;
}

/** The number of datagrams that may wait to be read; further ones are dropped. */
export type PacketSocketOptions = Pick<MessagesOptions, 'capacity'>;

/** A datagram socket. Reads return whole datagrams, in order of arrival. */
export interface PacketSocket<A extends Addr> extends AsyncDisposable {
  readonly localAddr: A;
  /** Datagrams dropped because they were not read in time. */
  readonly dropped: number;
  /**
   * The next datagram, whole.
   *
   * @throws {P2PError} (by rejection) `timeout` at this call's deadline or at the socket's; `closed`. `signal.reason`.
   */
  readFrom(options?: CallOptions): Promise<Datagram<A>>;
  /**
   * As {@link PacketSocket.readFrom}, into a buffer: a datagram that does not fit gives `limit_exceeded` and stays
   * unread.
   */
  readInto(buffer: Uint8Array, options?: CallOptions): Promise<{ readonly bytes: number; readonly src: A }>;
  /** As `tell`. */
  writeTo(data: Uint8Array, dst: A, options?: CallOptions): Promise<void>;
  /**
   * Sets when all pending and later reads time out, in milliseconds from now; `undefined`: never. Reads work again
   * after it is moved.
   */
  setReadDeadline(ms: number | undefined): void;
  /** Closes the swarm. Idempotent. */
  close(): Promise<void>;
}

const DEFAULT_CAPACITY = 256;

/** Takes the swarm's handler slot; closing the socket closes the swarm. */
export function packetSocket<A extends Addr>(swarm: Swarm<A>, options: PacketSocketOptions = {}): PacketSocket<A> {
  return new SwarmSocket(swarm, options.capacity ?? DEFAULT_CAPACITY);
}

interface Reader<A extends Addr> {
  readonly wait: Wait<Datagram<A>>;
  readonly maxBytes: number;
}

class SwarmSocket<A extends Addr> implements PacketSocket<A> {
  dropped = 0;
  readonly #swarm: Swarm<A>;
  readonly #queue: BoundedQueue<Message<A>>;
  readonly #readers = new Set<Reader<A>>(); // Bounded by the pending calls.
  readonly #waits: Waits;
  readonly #listening: Disposable;
  #deadline: Timer | undefined;
  #isOverdue = false;
  /** A datagram that did not fit into a reader's buffer. */
  #unread: Message<A> | undefined;

  constructor(swarm: Swarm<A>, capacity: number) {
    this.#queue = new BoundedQueue({ maxItems: capacity });
    this.#swarm = swarm;
    this.#waits = new Waits(swarm.realm);
    this.#listening = swarm.listen((message) => this.#take(message));
    void swarm.closed.then(({ cause }) => this.#waits.close(cause));
  }

  get localAddr(): A {
    const [addr] = this.#swarm.localAddrs();
    if (addr === undefined) throw closedError('tell the local address');
    return addr;
  }

  readFrom(options?: CallOptions): Promise<Datagram<A>> {
    return this.#read(Infinity, options);
  }

  readInto(buffer: Uint8Array, options?: CallOptions): Promise<{ readonly bytes: number; readonly src: A }> {
    assertBytes(buffer, 'buffer');
    return this.#read(buffer.length, options).then(({ data, src }) => {
      buffer.set(data);
      return { bytes: data.length, src };
    });
  }

  writeTo(data: Uint8Array, dst: A, options?: CallOptions): Promise<void> {
    return this.#swarm.tell(dst, data, options);
  }

  setReadDeadline(ms: number | undefined): void {
    if (ms !== undefined && typeof ms !== 'number') {
      throw new TypeError(`Cannot set deadline: expected milliseconds or undefined, got ${describeValue(ms)}`);
    }
    this.#deadline?.cancel();
    this.#isOverdue = false;
    if (ms === undefined || ms === Infinity) return;
    const { realm } = this.#swarm;
    this.#deadline = clockOf(realm).setTimer(realm.nowMs() + quantity(ms, 'deadline', 0, 0, Infinity), () => {
      this.#isOverdue = true;
      for (const { wait } of this.#readers) wait.reject(overdue());
    });
  }

  close(): Promise<void> {
    this.#listening[Symbol.dispose]();
    this.#deadline?.cancel();
    this.#waits.close();
    return this.#swarm.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #read(maxBytes: number, options: CallOptions | undefined): Promise<Datagram<A>> {
    checkCall(options);
    if (this.#isOverdue) return rejection(overdue());
    return this.#waits.wait<Datagram<A>>(
      { what: () => 'read a datagram', call: options, defaultTimeoutMs: Infinity, sent: nothing },
      (wait) => {
        const reader = { wait, maxBytes };
        const message = this.#unread ?? this.#queue.shift();
        if (message !== undefined) {
          this.#give(reader, message);
          return undefined;
        }
        this.#readers.add(reader);
        return () => this.#readers.delete(reader);
      },
    );
  }

  #take(message: Message<A>): void {
    // A reader whose buffer is too small leaves the message for the next reader.
    for (const reader of this.#readers) if (this.#give(reader, message)) return;
    if (this.#unread === message) return;
    if (!this.#queue.push(message)) this.dropped++;
  }

  /** Returns whether the reader took it; otherwise it stays the next datagram to read. */
  #give({ wait, maxBytes }: Reader<A>, message: Message<A>): boolean {
    const { payload: data, src } = message;
    this.#unread = undefined;
    if (data.length <= maxBytes) {
      wait.resolve({ data, src });
      return true;
    }
    this.#unread = message;
    const sizes = `the datagram has ${data.length} bytes, the buffer ${maxBytes} bytes`;
    wait.reject(new P2PError('limit_exceeded', 'local', `Cannot read: ${sizes}; it stays unread`, { sent: 'no' }));
    return false;
  }
}

function nothing(): 'no' {
  return 'no';
}

function overdue(): P2PError {
  return new P2PError('timeout', 'local', 'Cannot read a datagram: the read deadline has passed', { sent: 'no' });
}
