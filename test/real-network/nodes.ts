/** What tests of the node on real sockets share. Everything is on loopback, and ends with the test. */

import { type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { type Bytes } from '../../src/base/bytes.ts';
import { P2PError, type P2PErrorCode } from '../../src/core/errors.ts';
import {
  type Connection,
  createNode,
  lengthDelimited,
  type Node,
  type NodeOptions,
  reading,
  type ReadingOptions,
  writing,
  type WritingHandle,
} from '../../src/node/index.ts';

export const LOOPBACK = '127.0.0.1:0';

/** Waits until something holds: the system takes its time to tell both ends. */
export async function until(holds: () => boolean, what: string = String(holds)): Promise<void> {
  for (let turn = 0; turn < 2000; turn++) {
    if (holds()) return;
    await delay(turn < 100 ? 1 : 5);
  }
  throw new Error(`Never so: ${what}`);
}

/** Resolves when a socket is closed, however. */
export function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

/** A node that keeps what it gets. */
export interface Ear {
  readonly node: Node;
  readonly out: WritingHandle<Uint8Array>;
  readonly heard: { readonly peer: Connection; readonly message: Bytes }[];
}

/** A node that reads and writes frames of bytes, and listens. */
export async function ear(
  options: NodeOptions = {},
  read: Partial<ReadingOptions<Bytes>> = {},
  write: { readonly maxQueueBytes?: number; readonly highWaterBytes?: number; readonly timeoutMs?: number } = {},
): Promise<Ear> {
  const node = createNode({ bind: LOOPBACK, ...options });
  const codec = lengthDelimited();
  const heard: { readonly peer: Connection; readonly message: Bytes }[] = [];
  const out = node.enable(writing({ codec, ...write }));
  node.enable(reading({ codec, onMessage: (peer, message) => void heard.push({ peer, message }), ...read }));
  await node.listen();
  return { node, out, heard };
}

/** A node without hooks that listens. */
export async function bare(options: NodeOptions = {}): Promise<Node> {
  const node = createNode({ bind: LOOPBACK, ...options });
  await node.listen();
  return node;
}

/** Closes all nodes at the end of a block. */
export function closing(...nodes: readonly Node[]): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}

/** The code with which a promise is rejected. */
export async function codeOf(promise: Promise<unknown>): Promise<P2PErrorCode | 'resolved'> {
  try {
    await promise;
    return 'resolved';
  } catch (error) {
    if (!P2PError.is(error)) throw error;
    return error.code;
  }
}
