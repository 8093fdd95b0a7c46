/**
 * TCP hole punching on loopback: two peers that do not listen learn each other's address from a rendezvous, then dial each
 * other at the same time, each from the port it is known by, until the two meet. The rendezvous speaks as the example in
 * Rust's pea2pea does: frames of `register|name|ip:port`, answered by `peer|name|ip:port`.
 */

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { decodeText, encodeText } from 'shoal/bytes';
import { P2PError } from 'shoal';
import { createNode, lengthDelimited, mapCodec, type Node, reading, type TcpConnection, writing } from 'shoal/node';

const texts = mapCodec(lengthDelimited({ maxFrameBytes: 1000 }), {
  decode: (bytes) => decodeText(bytes) ?? '',
  encode: encodeText,
});

async function rendezvous(): Promise<Node> {
  const node = createNode({ security: 'none', codec: texts, bind: '127.0.0.1:0' });
  node.enable(writing());
  const known: { readonly peer: TcpConnection<string>; readonly name: string; readonly addr: string }[] = []; // Bounded: two.
  node.enable(
    reading({
      onMessage: (peer, text) => {
        const [verb, name, addr] = text.split('|');
        if (verb !== 'register' || known.length === 2) return;
        known.push({ peer, name: name!, addr: addr! });
        const [first, second] = known;
        if (second === undefined) return;
        first!.peer.send(`peer|${second.name}|${second.addr}`);
        second.peer.send(`peer|${first!.name}|${first!.addr}`);
      },
    }),
  );
  await node.listen();
  return node;
}

/** Dials until somebody who dials us is met half-way: there is no listener on either side. */
async function punch(node: Node<string, string>, addr: string, bind: string): Promise<TcpConnection<string>> {
  for (let attempt = 1; ; attempt++) {
    try {
      const peer = await node.connect(addr, { bind });
      console.log(`met ${addr} at attempt ${attempt}`);
      return peer;
    } catch (error) {
      if (!P2PError.is(error) || attempt === 100_000) throw error;
    }
  }
}

async function peer(name: string, server: string): Promise<void> {
  await using node = createNode({ security: 'none', codec: texts });
  node.enable(writing());
  const { promise: told, resolve: learn } = Promise.withResolvers<string>();
  const { promise: greeted, resolve: hear } = Promise.withResolvers<string>();
  const onMessage = (_: TcpConnection, text: string): void =>
    text.startsWith('peer|') ? learn(text.split('|')[2]!) : hear(text);
  node.enable(reading({ onMessage }));
  // Bound by name, or the system would not let others bind to the same port.
  const helper = await node.connect(server, { bind: '127.0.0.1:0' });
  helper.send(`register|${name}|${helper.localAddr}`);
  const other = await punch(node, await told, helper.localAddr);
  await helper.disconnect();
  other.send(`${name} was here`);
  console.log(`${name} hears: ${await greeted}`);
  await node.drain();
}

if (isMainThread) {
  await using server = await rendezvous();
  const start = (name: string) => new Worker(new URL(import.meta.url), { workerData: [name, server.listeningAddr] });
  const workers = ['alice', 'bob'].map(start);
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
} else await peer(...(workerData as [string, string]));
