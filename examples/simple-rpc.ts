/**
 * Requests and answers over length-delimited frames: type (0 request, 1 response), id (8 bytes), text. The same bytes as
 * the example of that name in Rust's pea2pea.
 */

import { concatBytes, decodeText, encodeText } from 'shoal/bytes';
import { createNode, lengthDelimited, mapCodec, type Node, reading, type TcpConnection, writing } from 'shoal/node';

interface Rpc {
  readonly type: 'request' | 'response';
  readonly id: bigint;
  readonly text: string;
}

const rpc = mapCodec(lengthDelimited({ maxFrameBytes: 65_536 }), {
  decode: (bytes): Rpc => {
    const [type] = bytes;
    const text = decodeText(bytes.subarray(9));
    if (bytes.length < 9 || type! > 1 || text === undefined) throw new Error('no RPC message');
    const id = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(1);
    return { type: type === 0 ? 'request' : 'response', id, text };
  },
  encode: ({ type, id, text }: Rpc) => {
    const head = new Uint8Array(9);
    head[0] = type === 'request' ? 0 : 1;
    new DataView(head.buffer).setBigUint64(1, id);
    return concatBytes(head, encodeText(text));
  },
});

/** A node that answers requests, and can make them. */
function rpcNode(answer: (text: string) => string): {
  node: Node<Rpc, Rpc>;
  call(peer: TcpConnection<Rpc>, text: string): Promise<string>;
} {
  const node = createNode({ security: 'none', codec: rpc, bind: '127.0.0.1:0' });
  node.enable(writing());
  const pending = new Map<bigint, (text: string) => void>(); // Bounded by the calls under way.
  let lastId = 0n;
  node.enable(
    reading({
      onMessage: (peer, { type, id, text }) => {
        if (type === 'request') peer.send({ type: 'response', id, text: answer(text) });
        else pending.get(id)?.(text);
      },
    }),
  );
  const call = (peer: TcpConnection<Rpc>, text: string): Promise<string> => {
    const id = ++lastId;
    return new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to "${text}" within a second`)), 1000);
      pending.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      peer.send({ type: 'request', id, text });
    }).finally(() => pending.delete(id));
  };
  return { node, call };
}

const server = rpcNode((text) => `Echo: ${text}`);
const client = rpcNode(() => 'I only ask');
const peer = await client.node.connect(await server.node.listen());
console.log(await Promise.all(['one', 'two', 'three'].map((text) => client.call(peer, text))));
await client.node.drain();
await server.node.close();
await client.node.close();
