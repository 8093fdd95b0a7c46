/** What a peer can have done in one turn, however small it cuts its input: counted, in virtual time. */

import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, it, mock } from 'node:test';

import { type Bytes, concatBytes } from '../../src/base/bytes.ts';
import {
  type Codec,
  type Decoder,
  lines,
  type Node,
  noise,
  reading,
  type ReadingOptions,
  type TcpConnection,
  varintDelimited,
  writing,
} from '../../src/node/index.ts';
import { ByteStream } from '../../src/node/handshake-stream.ts';
import { NodeConnection } from '../../src/node/node-connection.ts';
import type { Pipe } from '../../src/net/pipe.ts';
import { CipherState } from '../../src/protocols/noise/cipher-state.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { World } from '../support/node-world.ts';

/** More than this in one turn would be more than 20 ms on a slow machine. */
const MOST_PER_TURN = 1024;

/** Counts what is done between two turns. */
class TurnCount {
  most = 0;
  all = 0;
  #now = 0;

  note(): void {
    this.all++;
    if (this.#now++ === 0) queueMicrotask(() => (this.#now = 0));
    this.most = Math.max(this.most, this.#now);
  }
}

const raw: Codec<never, Uint8Array> = {
  decoder: () => ({ push: () => undefined, next: () => undefined, bufferedBytes: 0 }),
  encoder: () => ({ encode: (bytes, out) => out.bytes(bytes) }),
};

/** A node that is sent these bytes, in one chunk where its window takes them. */
async function sent<In>(
  bytes: Uint8Array,
  codec: Pick<Codec<In, never>, 'decoder'>,
  options: Partial<ReadingOptions<In>> & { readonly count: TurnCount },
) {
  const world = new World({ windowBytes: 1_000_000 });
  const alice = world.node({ codec: raw });
  const bob = world.node({ codec: { ...raw, decoder: (connection: TcpConnection) => codec.decoder(connection) } });
  alice.enable(writing());
  bob.enable(reading({ onMessage: () => options.count.note(), ...options }));
  const peer = await world.connect(alice, await bob.listen());
  peer.send(bytes);
  await world.clock.advance(100);
  const { heuristics } = bob;
  await world.close(alice, bob);
  return heuristics;
}

describe('one chunk of a peer, in turns', () => {
  it('empty frames are processed some at a time, and all of them in order', async () => {
    const count = new TurnCount();
    await sent(new Uint8Array(65_536), varintDelimited(), { count });
    assert.equal(count.all, 65_536);
    assert.ok(count.most <= MOST_PER_TURN, `${count.most} in one turn`);
  });

  it('empty lines are decoded some at a time, also where they are dropped or paid for', async () => {
    for (const options of [
      {},
      { overflow: 'drop', maxQueueMessages: 10 },
      { rate: { messages: 10, perMs: 1000, exceeded: 'drop' } },
    ] as const) {
      const decoded = new TurnCount();
      const inner = lines();
      const codec = {
        decoder: (connection: TcpConnection): Decoder<string> => {
          const decoder = inner.decoder(connection);
          return {
            push: (chunk) => decoder.push(chunk),
            next: () => {
              decoded.note();
              return decoder.next();
            },
            get bufferedBytes() {
              return decoder.bufferedBytes;
            },
          };
        },
      };
      await sent(new Uint8Array(65_536).fill(10), codec, { count: new TurnCount(), ...options });
      assert.ok(decoded.all >= 65_536, `${decoded.all}`);
      assert.ok(decoded.most <= MOST_PER_TURN + 1, `${decoded.most} in one turn`);
    }
  });

  it('messages that are no messages, where that is tolerated, are counted some at a time', async () => {
    const count = new TurnCount();
    const codec = {
      decoder: (): Decoder<string> => {
        let left = 0;
        return {
          push: (chunk: Bytes) => void (left += chunk.length),
          next: () => {
            if (left === 0) return undefined;
            left--;
            count.note();
            throw new Error('not a message');
          },
          get bufferedBytes() {
            return left;
          },
        };
      },
    };
    const heuristics = await sent(new Uint8Array(50_000), codec, { count: new TurnCount(), isFatal: () => false });
    assert.equal(count.all, 50_000);
    assert.equal(heuristics.toleratedErrors, 50_000);
    assert.ok(count.most <= MOST_PER_TURN, `${count.most} in one turn`);
  });

  it('Noise records of one byte are opened some at a time, in order, and those before the end are all opened', async () => {
    const world = new World({ windowBytes: 1_000_000 });
    const { realm } = world;
    const [alice, bob] = [0, 1].map((i) =>
      world.node({ security: noise({ pattern: 'XX', privateKey: testKey(i), realm }), codec: varintDelimited() }),
    ) as [Node<Bytes, Uint8Array>, Node<Bytes, Uint8Array>];
    const heard: number[] = [];
    const ended: unknown[] = [];
    bob.enable(
      reading({
        onMessage: (peer, bytes) => {
          heard.push(bytes[0]!);
          peer.closed.then(
            ({ reason }) => ended.push(reason),
            () => undefined,
          );
        },
      }),
    );
    const peer = await world.connect(alice, await bob.listen());
    assert.ok(peer instanceof NodeConnection);
    // 3 640 records of one byte: frames of two bytes, cut in their middle.
    const records: Uint8Array[] = [];
    for (let i = 0; i < 1820; i++) {
      for (const byte of [1, i & 255]) records.push(...peer.transform!.seal([Uint8Array.of(byte)]));
    }
    const opens = new TurnCount();
    const open = Object.getOwnPropertyDescriptor(CipherState.prototype, 'open')!.value as (...args: unknown[]) => Bytes;
    const spy = mock.method(CipherState.prototype, 'open', function (this: CipherState, ...args: unknown[]) {
      opens.note();
      return Reflect.apply(open, this, args);
    });
    try {
      peer.pipe.write([concatBytes(...records)], () => undefined);
      peer.pipe.end();
      await world.clock.advance(100);
    } finally {
      spy.mock.restore();
    }
    assert.equal(opens.all, 3640);
    assert.ok(opens.most <= 256, `${opens.most} in one turn`);
    assert.deepEqual(
      heard,
      Array.from({ length: 1820 }, (_, i) => i & 255),
    );
    assert.ok(
      ended.every((reason) => reason === 'closed_by_peer'),
      ended.join(),
    );
    await world.close(alice, bob);
  });

  it('a handshake that is sent byte by byte is joined now and then', async () => {
    const pipe: Pipe = {
      sink: undefined,
      wireReceived: 0,
      wireSent: 0,
      releases: true,
      unsentBytes: 0,
      write: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
      unshift: () => undefined,
      end: () => undefined,
      destroy: () => undefined,
    };
    const stream = new ByteStream(pipe, new AbortController().signal, systemRealm);
    const read = stream.read(10_000);
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    // Each in a buffer that is larger than it, as they come from a socket.
    for (let i = 0; i < 10_000; i++) {
      const buffer = new ArrayBuffer(4096);
      new Uint8Array(buffer)[0] = i;
      stream.onData(new Uint8Array(buffer, 0, 1));
      if (i !== 9998) continue;
      collectGarbage();
      collectGarbage(); // the first one leaves buffers to be swept
      const held = process.memoryUsage().arrayBuffers - before;
      assert.ok(held < 1_000_000, `${held} bytes are held for 9 999`);
    }
    assert.deepEqual(
      await read,
      Uint8Array.from({ length: 10_000 }, (_, i) => i),
    );
  });
});
