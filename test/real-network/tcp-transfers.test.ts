/** Handlers that transfer the buffers of their messages: a worker gets them, and nothing else loses its bytes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createNode, lengthDelimited, noise, reading, tls, varintDelimited, writing } from '../../src/node/index.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { until } from './nodes.ts';

/** Sizes that share chunks, slabs and records, and some that are larger. */
const SIZES = [1, 70, 500, 2000, 2049, 5000, 40_000, 200_000, 3, 900];
const payloadOf = (size: number, i: number): Uint8Array => new Uint8Array(size).fill((i % 250) + 1);

/** Takes a message from its handler, buffer and all, as `postMessage` does. */
function transferred(payload: Uint8Array<ArrayBuffer>): Uint8Array {
  const moved = structuredClone(payload, { transfer: [payload.buffer] });
  assert.equal(payload.length, 0, 'the buffer was transferred');
  return moved;
}

function check(heard: readonly Uint8Array[]): void {
  for (const [i, message] of heard.entries()) {
    const wanted = payloadOf(SIZES[i % SIZES.length]!, i);
    assert.ok(Buffer.from(message).equals(wanted), `message ${i}: ${message.length} bytes, first ${message[0]}`);
  }
}

describe('handlers that transfer the buffers of their messages', () => {
  for (const security of ['tls', 'noise'] as const) {
    it(`tcp swarm, ${security}: every later message arrives, and every ask is answered`, async () => {
      const open = (i: number) => openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i), security });
      await using alice = await open(0);
      await using bob = await open(1);
      const heard: Uint8Array[] = [];
      bob.listen(({ payload }) => void heard.push(transferred(payload)));
      bob.serve(({ payload }) => transferred(payload));
      const [to] = bob.localAddrs();
      const all = Array.from({ length: 200 }, (_, i) => payloadOf(SIZES[i % SIZES.length]!, i));
      await Promise.all(all.map((payload) => alice.tell(to!, payload)));
      const answers = await Promise.all(all.map(async (payload) => transferred(await alice.ask(to!, payload))));
      await until(() => heard.length === 200);
      check(heard);
      check(answers);
    });
  }

  for (const security of ['none', 'tls', 'noise'] as const) {
    for (const [name, codec] of [
      ['length', lengthDelimited()],
      ['varint', varintDelimited()],
    ] as const) {
      it(`node, ${security}, ${name}-delimited: every later message arrives`, async () => {
        const make = (i: number) => {
          const privateKey = testKey(i);
          const securities = {
            none: 'none',
            tls: tls({ privateKey }),
            noise: noise({ pattern: 'XX', privateKey }),
          } as const;
          const node = createNode({ security: securities[security], codec, bind: '127.0.0.1:0' });
          const heard: Uint8Array[] = [];
          node.enable(reading({ onMessage: (_, message) => void heard.push(transferred(message)) }));
          node.enable(writing());
          return { node, heard };
        };
        const [alice, bob] = [make(0), make(1)];
        await using _alice = alice.node;
        await using _bob = bob.node;
        const peer = await alice.node.connect(await bob.node.listen());
        for (let i = 0; i < 200; i++) peer.send(payloadOf(SIZES[i % SIZES.length]!, i));
        await until(() => bob.heard.length === 200);
        check(bob.heard);
      });
    }
  }
});
