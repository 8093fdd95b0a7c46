/** The node as a user's compiler sees it: messages are inferred from the codec, and a bare `Node` is a type to hold one by. */

import { describe, it } from 'node:test';

import type { Bytes } from '../../src/base/bytes.ts';
import { generateKey } from '../../src/identity/keys.ts';
import {
  type Codec,
  createNode,
  handshake,
  lengthDelimited,
  lines,
  mapCodec,
  type Node,
  onConnect,
  onDisconnect,
  reading,
  type TcpConnection,
  tls,
  writing,
} from '../../src/node/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;

interface Greeting {
  readonly hello: string;
}

class Holder {
  readonly node: Node;

  constructor(node: Node) {
    this.node = node;
  }
}

/** Compiled, never called. */
export async function inference(): Promise<void> {
  const security = tls({ privateKey: generateKey() });
  const node = createNode({ security, codec: lengthDelimited(), accept: ({ id, side }) => id.length > side.length });
  yes<Equal<typeof node, Node<Bytes, Uint8Array>>>();
  void new Holder(node);
  // @ts-expect-error nothing is unencrypted by default
  createNode({ bind: '127.0.0.1:0' });
  // @ts-expect-error there is no other word for it
  createNode({ security: 'plain' });

  const connection = await node.connect('127.0.0.1:1');
  yes<Equal<typeof connection, TcpConnection<Uint8Array>>>();
  const queued = connection.send(new Uint8Array(1));
  yes<Equal<typeof queued, boolean>>();
  const fate = connection.send(new Uint8Array(1), { delivery: true });
  yes<Equal<typeof fate, Promise<void>>>();
  // @ts-expect-error no bytes
  void connection.send('text');
  const any: TcpConnection = connection;
  // @ts-expect-error of which messages it takes nothing is known
  void any.send(new Uint8Array(1));

  const codec = mapCodec(lines(), {
    decode: (line) => JSON.parse(line) as Greeting,
    encode: (greeting: Greeting) => JSON.stringify(greeting),
  });
  yes<Equal<typeof codec, Codec<Greeting, Greeting>>>();
  const greeter = createNode({ security: 'none', codec });
  greeter.broadcast({ hello: 'world' });
  // @ts-expect-error no greeting
  greeter.broadcast({ good: 'bye' });

  node.enable(writing());
  node.enable(
    reading({
      onMessage: (peer, message) => {
        yes<Equal<typeof message, Bytes>>();
        yes<Equal<typeof peer, TcpConnection<Uint8Array>>>();
      },
    }),
  );
  node.enable(reading({ borrowed: 'checked', onMessage: (_, message) => yes<Equal<typeof message, Bytes>>() }));
  // @ts-expect-error a boolean or 'checked'
  node.enable(reading({ borrowed: 1, onMessage: () => undefined }));
  greeter.enable(reading({ onMessage: (peer, { hello }) => peer.send({ hello }) }));
  greeter.enable(onConnect((peer) => peer.send({ hello: 'you' })));
  greeter.enable(onDisconnect((peer, { reason }) => peer.state === reason));
  greeter.enable(
    handshake(async ({ connection: { side } }) => void yes<Equal<typeof side, 'initiator' | 'responder'>>()),
  );
  const greet = reading({ onMessage: (_, { hello }: Greeting) => hello });
  greeter.enable(greet);
  // @ts-expect-error greetings are no bytes
  node.enable(greet);
  // A hook that sends nothing is one for every node.
  node.enable(onConnect((peer: TcpConnection) => peer.addr));
}

describe('types of the node', () => {
  it('are checked by the compiler', () => undefined);
});
