/**
 * The ceiling of the node's benches: frames over bare node:net, written by hand for nothing else. The same four bytes of
 * length, the same coalescing of small messages, the same slices on receipt; no limits, no hooks, no errors.
 */

import { createServer, connect, type Server, type Socket } from 'node:net';

const CHUNK_BYTES = 65_536;
const COPY_BELOW_BYTES = 8192;

/** Sends frames through a per-message call, many in one write. */
export class RawSender {
  readonly #socket: Socket;
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #from = 0;
  #at = 0;
  #pieces: Uint8Array[] = [];
  #isScheduled = false;
  #isFull = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  send(message: Uint8Array): boolean {
    const { length } = message;
    const copied = length < COPY_BELOW_BYTES;
    const needed = copied ? length + 4 : 4;
    if (this.#at + needed > CHUNK_BYTES) {
      this.#cut();
      this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      this.#from = this.#at = 0;
    }
    const at = this.#at;
    const chunk = this.#chunk;
    chunk[at] = length >>> 24;
    chunk[at + 1] = length >>> 16;
    chunk[at + 2] = length >>> 8;
    chunk[at + 3] = length;
    this.#at = at + 4;
    if (copied) {
      chunk.set(message, at + 4);
      this.#at += length;
    } else {
      this.#cut();
      this.#pieces.push(message);
    }
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      queueMicrotask(() => this.#flush());
    }
    if (this.#pieces.length * CHUNK_BYTES > 1_048_576) this.#isFull = true;
    return !this.#isFull;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        this.#isFull = false;
        resolve();
      };
      queueMicrotask(() => (this.#socket.writableNeedDrain ? this.#socket.once('drain', look) : look()));
    });
  }

  #cut(): void {
    if (this.#at === this.#from) return;
    this.#pieces.push(this.#chunk.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  #flush(): void {
    this.#isScheduled = false;
    this.#cut();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#socket.cork();
    for (const piece of pieces) if (!this.#socket.write(piece)) this.#isFull = true;
    this.#socket.uncork();
  }
}

/** Calls `onMessage` for each frame that comes. */
export function rawReader(socket: Socket, onMessage: (message: Uint8Array) => void): void {
  let rest: Uint8Array[] = [];
  let held = 0;
  let wanted = 4;
  socket.on('data', (data: Buffer) => {
    let chunk: Uint8Array = data;
    if (held > 0) {
      rest.push(data);
      held += data.length;
      if (held < wanted) return;
      chunk = Buffer.concat(rest);
      rest = [];
      held = 0;
    }
    let at = 0;
    const end = chunk.length;
    for (;;) {
      if (end - at < 4) {
        wanted = 4;
        break;
      }
      const length = chunk[at]! * 0x1000000 + ((chunk[at + 1]! << 16) | (chunk[at + 2]! << 8) | chunk[at + 3]!);
      if (end - at - 4 < length) {
        wanted = length + 4;
        break;
      }
      onMessage(new Uint8Array(chunk.buffer, chunk.byteOffset + at + 4, length));
      at += 4 + length;
    }
    if (at < end) {
      rest = [at === 0 ? chunk : chunk.subarray(at)];
      held = end - at;
    }
  });
}

/** A raw server on loopback. */
export async function rawListen(
  onSocket: (socket: Socket) => void,
): Promise<{ readonly server: Server; readonly addr: string }> {
  const server = createServer({ noDelay: true }, onSocket);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { readonly port: number };
  return { server, addr: `127.0.0.1:${port}` };
}

/** A raw connection. */
export async function rawConnect(addr: string, localAddress: string = '127.0.0.1'): Promise<Socket> {
  const [host, port] = addr.split(':');
  const socket = connect({ host: host!, port: Number(port), noDelay: true, localAddress });
  await new Promise<void>((resolve) => void socket.once('connect', resolve));
  return socket;
}
