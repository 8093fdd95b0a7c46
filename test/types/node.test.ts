/** The node as a user's compiler sees it: messages are inferred from codecs, and a bare `Node` is a type to hold one by. */

import { describe, it } from 'node:test';

import { type Bytes } from '../../src/base/bytes.ts';
import {
  type Codec,
  type Connection,
  createNode,
  lengthDelimited,
  lines,
  mapCodec,
  type Node,
  onConnect,
  reading,
  writing,
  type WritingHandle,
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
export function inference(peer: Connection): void {
  const node = createNode();
  void new Holder(node);

  const bytes = node.enable(writing({ codec: lengthDelimited() }));
  yes<Equal<typeof bytes, WritingHandle<Uint8Array>>>();
  const queued = bytes.send(peer, new Uint8Array(1));
  yes<Equal<typeof queued, boolean>>();
  const fate = bytes.send(peer, new Uint8Array(1), { delivery: true });
  yes<Equal<typeof fate, Promise<void>>>();
  // @ts-expect-error no bytes
  void bytes.send(peer, 'text');

  const greetings = mapCodec(lines(), {
    decode: (line) => JSON.parse(line) as Greeting,
    encode: (greeting: Greeting) => JSON.stringify(greeting),
  });
  yes<Equal<typeof greetings, Codec<Greeting, Greeting>>>();
  const out = node.enable(writing({ codec: greetings }));
  out.send(peer, { hello: 'world' });
  // @ts-expect-error no greeting
  void out.send(peer, { good: 'bye' });

  node.enable(
    reading({ codec: lengthDelimited(), onMessage: (_, message) => void yes<Equal<typeof message, Bytes>>() }),
  );
  node.enable(reading({ codec: greetings, onMessage: (_, message) => void yes<Equal<typeof message, Greeting>>() }));
  node.enable(onConnect((connection) => void yes<Equal<typeof connection, Connection>>()));
  // @ts-expect-error no hook
  node.enable({ kind: 'reading' });
}

describe('types of the node', () => {
  it('are checked by the compiler', () => undefined);
});
