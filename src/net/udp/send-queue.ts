/** What waits in a socket before it is in the kernel. */

import { type Socket } from 'node:dgram';

/** Called when a datagram has left, or could not. */
export type Sent = (error: Error | null) => void;

/** The datagrams of one socket that are not in the kernel yet. */
export interface SendQueue {
  count(): number;
  bytes(): number;
  /** Whether a datagram sent now may have to wait: its bytes must then stay as they are until it has left. */
  mayWait(): boolean;
  send(payload: Uint8Array, port: number, host: string, sent: Sent): void;
}

/** The queue that the socket itself can tell of, or one counted here: Deno's sockets tell of none. */
export function sendQueueOf(socket: Socket): SendQueue {
  return typeof (socket as Partial<Socket>).getSendQueueCount === 'function'
    ? new ToldQueue(socket)
    : new CountedQueue(socket);
}

class ToldQueue implements SendQueue {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  count(): number {
    return this.#socket.getSendQueueCount();
  }

  bytes(): number {
    return this.#socket.getSendQueueSize();
  }

  mayWait(): boolean {
    return this.#socket.getSendQueueCount() > 0;
  }

  send(payload: Uint8Array, port: number, host: string, sent: Sent): void {
    this.#socket.send(payload, port, host, sent);
  }
}

class CountedQueue implements SendQueue {
  readonly #socket: Socket;
  #count = 0;
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  count(): number {
    return this.#count;
  }

  bytes(): number {
    return this.#bytes;
  }

  /** Nobody says when a datagram is in the kernel before its callback. */
  mayWait(): boolean {
    return true;
  }

  send(payload: Uint8Array, port: number, host: string, sent: Sent): void {
    const { length } = payload;
    this.#socket.send(payload, port, host, (error) => {
      this.#count--;
      this.#bytes -= length;
      sent(error);
    });
    this.#count++;
    this.#bytes += length;
  }
}
