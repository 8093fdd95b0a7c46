/** What tests of the node on real sockets share. Everything is on loopback, and ends with the test. */

import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import type { Bytes } from '../../src/base/bytes.ts';
import {
  type TcpConnection,
  createNode,
  lengthDelimited,
  type Node,
  type NodeOptions,
  reading,
  type ReadingOptions,
  writing,
  type WritingOptions,
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

/** A node whose messages are bytes. */
export type BytesNode = Node<Bytes, Uint8Array>;
type Given = Partial<NodeOptions<Bytes, Uint8Array>>;

/** A node that keeps what it gets. */
export interface Ear {
  readonly node: BytesNode;
  readonly heard: { readonly peer: TcpConnection<Uint8Array>; readonly message: Bytes }[];
}

/** A node that reads and writes frames of bytes, and listens. */
export async function ear(
  options: Given = {},
  read: Partial<ReadingOptions<Bytes, Uint8Array>> = {},
  write: WritingOptions = {},
): Promise<Ear> {
  const node = unopened(options);
  const heard: { readonly peer: TcpConnection<Uint8Array>; readonly message: Bytes }[] = [];
  node.enable(writing(write));
  node.enable(reading({ onMessage: (peer, message) => void heard.push({ peer, message }), ...read }));
  await node.listen();
  return { node, heard };
}

/** A node without hooks, whose messages are frames of bytes. */
export function unopened(options: Given = {}): BytesNode {
  return createNode({ security: 'none', codec: lengthDelimited(), bind: LOOPBACK, ...options });
}

/** A node without hooks that listens. */
export async function bare(options: Given = {}): Promise<BytesNode> {
  const node = unopened(options);
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
