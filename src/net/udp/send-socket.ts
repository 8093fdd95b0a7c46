/** The sending part of a UDP socket, which reports how much waits in the process before it is in the kernel. */

import type { Socket } from 'node:dgram';

/** The part of a socket that sends. */
export interface SendSocket {
  /** Datagrams that are not in the kernel yet. */
  getSendQueueCount(): number;
  /** Their bytes. */
  getSendQueueSize(): number;
  /** @param sent - called when the datagram has left, or could not. */
  send(payload: Uint8Array, port: number, host: string, sent: (error: Error | null) => void): void;
}

/** The socket itself if it reports its queue; Deno's sockets do not, and are counted here. */
export function sendSocketOf(socket: Socket): SendSocket {
  return typeof (socket as Partial<Socket>).getSendQueueCount === 'function' ? socket : new CountedSocket(socket);
}

class CountedSocket implements SendSocket {
  readonly #socket: Socket;
  #count = 0;
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  getSendQueueCount(): number {
    return this.#count;
  }

  getSendQueueSize(): number {
    return this.#bytes;
  }

  /** Only the callback shows that a datagram is in the kernel, so a copy is sent. */
  send(payload: Uint8Array, port: number, host: string, sent: (error: Error | null) => void): void {
    const { length } = payload;
    this.#socket.send(payload.slice(), port, host, (error) => {
      this.#count--;
      this.#bytes -= length;
      sent(error);
    });
    this.#count++;
    this.#bytes += length;
  }
}
