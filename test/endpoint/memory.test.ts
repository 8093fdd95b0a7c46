/** What peers can make an endpoint hold, added up over all of them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { bytes, drops, echo, take, type TestConnection, type TestEndpoint, world } from '../support/endpoint-world.ts';

const MIB = 2 ** 20;
const state = (of: TestEndpoint, name: string): number => Number(inspect(of).state[name]);

describe('endpoint: memory of all connections together', () => {
  it('sixty connections whose data nobody reads hold no more than the budget, and an honest peer still gets through', async () => {
    const w = world();
    const bob = w.open({
      trust: 'anyone',
      maxEndpointBytes: 4 * MIB,
      maxConnectionBytes: 4 * MIB,
      maxMessageBytes: MIB,
    });
    const accepted = bob.connections();
    const mallory = w.open({ trust: 'anyone' });
    for (let i = 0; i < 60; i++) {
      const connection = await w.run(mallory.connect(bob.addr, { fresh: true }));
      for (let k = 0; k < 8; k++)
        void connection.send(new Uint8Array(200_000), { timeoutMs: Infinity }).catch(() => {});
    }
    await w.pass(2000);
    // The budget, a message, small beginnings of 8 KiB for each connection.
    assert.ok(state(bob, 'heldBytes') > 3 * MIB, 'the budget is in use');
    assert.ok(state(bob, 'heldBytes') <= 5.5 * MIB, String(state(bob, 'heldBytes')));
    assert.ok(state(bob, 'windowBytes') <= 4 * MIB, String(state(bob, 'windowBytes')));
    assert.ok(state(bob, 'engineBytes') < 24 * MIB, String(state(bob, 'engineBytes')));
    await w.run(take(accepted, 60));
    const alice = w.open();
    const here = await w.run(alice.connect(bob.addr));
    const there = (await w.run(accepted.next())).value!;
    for (let i = 0; i < 20; i++) {
      await w.run(here.send(bytes(`hello ${i}`)));
      assert.deepEqual((await w.run(there.messages().next())).value?.payload, bytes(`hello ${i}`));
    }
  });

  for (const how of ['messages', 'streams'] as const) {
    it(`peers that send far more than the budget at once, and get it back, wait and are all served: ${how}`, async () => {
      const w = world({ latencyMs: 20 });
      const bob = w.open({ trust: 'anyone' });
      const echoStreams = async (): Promise<void> => {
        for await (const connection of bob.connections())
          void (async () => {
            for await (const { receive, send } of connection.streams()) void receive.readable.pipeTo(send!.writable);
          })();
      };
      void (how === 'messages' ? echo(bob) : echoStreams());
      const size = MIB;
      const sendAndRead = async (connection: TestConnection): Promise<number> => {
        const { send, receive } = await connection.openBi();
        const options = { timeoutMs: Infinity };
        if (how === 'messages') {
          await send.finish(new Uint8Array(size), options);
          return (await receive.next(options))!.length;
        }
        const writer = send.writable.getWriter();
        void writer.write(new Uint8Array(size)).then(() => writer.close());
        let got = 0;
        for await (const chunk of receive.readable) got += chunk.length;
        return got;
      };
      const got = await w.run(
        Promise.all(
          Array.from({ length: 10 }, async () => {
            const connection = await w.open({ trust: 'anyone' }).connect(bob.addr);
            return Promise.all(Array.from({ length: 10 }, () => sendAndRead(connection)));
          }),
        ),
      );
      assert.ok(got.flat().every((length) => length === size));
      assert.equal(drops(bob, 'endpoint.displaced'), 0);
      assert.equal(state(bob, 'heldBytes'), 0);
      assert.ok(w.realm.nowMs() < 15_000, `${w.realm.nowMs()} ms`);
    });
  }

  it('messages of ended connections that are not taken are dropped only when memory is short', async () => {
    const w = world();
    const bob = w.open({ trust: 'anyone', idleTimeoutMs: 5000 });
    const [mallory, alice] = [w.open(), w.open()];
    const kept = await w.run(alice.connect(bob.addr));
    await w.run(kept.send(bytes('last words'), { acked: true }));
    await w.run(alice.close());
    await w.pass(60_000);
    assert.equal(state(bob, 'heldBytes'), 'last words'.length);
    for (let i = 0; i < 6; i++) {
      const connection = await w.run(mallory.connect(bob.addr, { fresh: true }));
      for (let k = 0; k < 4; k++)
        void connection.send(new Uint8Array(900_000), { timeoutMs: Infinity }).catch(() => {});
    }
    await w.pass(1000);
    assert.ok(state(bob, 'heldBytes') > 8 * MIB);
    await w.run(mallory.close());
    await w.pass(30_000);
    assert.ok(state(bob, 'heldBytes') <= 8 * MIB, String(state(bob, 'heldBytes')));
    assert.ok(drops(bob, 'endpoint.untaken') > 0);
  });

  it('connections that ended, and whose messages were dropped, are not referenced any more', async () => {
    const w = world();
    const bob = w.open({ trust: 'anyone', idleTimeoutMs: 5000, maxEndpointBytes: MIB });
    for (let round = 0; round < 4; round++) {
      const mallory = w.open();
      for (let i = 0; i < 5; i++) {
        const connection = await w.run(mallory.connect(bob.addr, { fresh: true }));
        void connection.send(new Uint8Array(900_000), { timeoutMs: Infinity }).catch(() => {});
      }
      await w.pass(1000);
      assert.ok(state(bob, 'readableConnections') > 0, 'messages wait');
      await w.run(mallory.close());
      await w.pass(60_000);
      assert.ok(state(bob, 'readableConnections') * 900_000 <= state(bob, 'heldBytes'), `round ${round}`);
    }
  });

  it('up to 1024 ended connections keep their messages; then those of the longest untouched are dropped', async () => {
    const w = world();
    const bob = w.open({ trust: 'anyone' });
    const alice = w.open();
    const text = ({ payload }: { readonly payload: Uint8Array }): string => Buffer.from(payload).toString();
    const endWith = async (...texts: readonly string[]): Promise<void> => {
      const connection = await w.run(alice.connect(bob.addr, { fresh: true }));
      for (const each of texts) await w.run(connection.send(bytes(each), { acked: true }));
      await w.run(connection.close());
      await w.pass(0);
    };
    await endWith('0', '0 again');
    for (let i = 1; i < 1024; i++) await endWith(String(i));
    assert.deepEqual((await w.run(take(bob.messages(), 1))).map(text), ['0'], 'touched');
    assert.equal(drops(bob, 'endpoint.untaken'), 0);
    await endWith('1024');
    assert.equal(drops(bob, 'endpoint.untaken'), 1);
    assert.equal(state(bob, 'readableConnections'), 1024);
    const left = new Set((await w.run(take(bob.messages(), 1024))).map(text));
    assert.deepEqual([left.size, left.has('0 again'), left.has('1'), left.has('2')], [1024, true, false, true]);
    assert.equal(state(bob, 'heldBytes'), 0);
  });
});
