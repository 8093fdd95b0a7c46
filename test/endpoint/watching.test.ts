import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { TraceEvent } from '../../src/core/realm.ts';
import { endpoint, openEndpoint } from '../../src/endpoint/index.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { inspect } from '../../src/core/inspect.ts';
import { bytes, echo, errorOf, nowhere, pair, take, world } from '../support/endpoint-world.ts';

describe('endpoint: tests and observation', () => {
  it('a network of endpoints in memory runs in virtual time, and the same seed runs the same', async () => {
    const run = async (): Promise<readonly unknown[]> => {
      const trace: TraceEvent[] = [];
      const realm = createMemoryRealm({
        clock: 'virtual',
        mtu: 1500,
        seed: 'same',
        netem: 'cellular',
        trace: (event) => trace.push(event),
      });
      const ends = Array.from({ length: 4 }, (_, i) => endpoint(realm.swarm(), { privateKey: testKey(i) }));
      for (const end of ends) void echo(end);
      const answers = ends.slice(1).map(async (end) => {
        const connection = await end.connect(ends[0]!.addr, { timeoutMs: 60_000 });
        return (await connection.request(new Uint8Array(20_000), { timeoutMs: 60_000 })).length;
      });
      const sizes = await realm.clock.run(Promise.all(answers));
      return [sizes, realm.nowMs(), trace.map(({ layer, type, atMs }) => `${layer} ${type} ${atMs}`)];
    };
    const first = await run();
    assert.deepEqual(first[0], [20_000, 20_000, 20_000]);
    assert.ok((first[1] as number) > 100, 'time has passed, and nobody has waited for it');
    assert.deepEqual(await run(), first);
  });

  it('openEndpoint takes any swarm of 1200 bytes and more, closes it, and leaves it open where told so', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 1500 });
    const [mine, kept] = [realm.swarm(), realm.swarm()];
    const alice = await openEndpoint({ over: mine, privateKey: testKey(0) });
    const bob = await openEndpoint({ over: kept, privateKey: testKey(1), keepInner: true });
    await realm.clock.run(alice.connect(bob.addr));
    await realm.clock.run(Promise.all([alice.close(), bob.close()]));
    assert.equal(mine.localAddrs().length, 0);
    assert.equal(kept.localAddrs().length, 1);
    const again = endpoint(kept, { privateKey: testKey(2) });
    await realm.clock.run(kept.close());
    assert.equal((await realm.clock.run(again.closed)).by, 'failure');
    const narrow = createMemoryRealm({ clock: 'virtual', mtu: 1199 }).swarm();
    assert.throws(() => endpoint(narrow), /needs 1200/);
    await assert.rejects(openEndpoint({ over: narrow }), RangeError);
    const stopped = AbortSignal.abort('no');
    await assert.rejects(openEndpoint({ over: realm.swarm(), signal: stopped }), (reason) => reason === 'no');
  });

  it('connections, failures and moves are traced with their addresses; the library writes nothing', async () => {
    const trace: TraceEvent[] = [];
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 1500, trace: (event) => trace.push(event) });
    const [alice, bob] = [0, 1].map((i) => endpoint(realm.swarm(), { privateKey: testKey(i) }));
    await realm.clock.run(alice!.connect(bob!.addr));
    const strict = endpoint(realm.swarm(), { privateKey: testKey(2), accept: () => false });
    await realm.clock.run(errorOf(alice!.connect(strict.addr)));
    await realm.clock.run(alice!.close());
    const own = trace.filter(({ layer }) => layer === 'endpoint').map(({ type, reason }) => `${type} ${reason}`);
    assert.deepEqual(own.toSorted(), [
      'closed local',
      'handshake_failed refused',
      'session initiator',
      'session responder',
    ]);
  });

  it('inspect shows what an endpoint holds', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    await w.run(alice.send(bob.addr, bytes('hi'), { acked: true }));
    const described = 'describe' in bob && typeof bob.describe === 'function' ? bob.describe() : undefined;
    const { state, limits } = described as { state: Record<string, number>; limits: Record<string, number> };
    assert.deepEqual([state['connections'], state['peers'], state['dials'], state['heldBytes']], [1, 1, 0, 2]);
    assert.ok(limits['maxEndpointBytes']! > 0);
    await w.run(take(bob.messages(), 1));
    assert.equal(bob.counters.received, 1);
    assert.equal(alice.counters.sent, 1);
  });

  it('inspect takes an endpoint, and its counters count what goes over streams', async () => {
    const w = world();
    const { here, there, alice, bob } = await pair(w);
    const stream = await w.run(here.openBi());
    await w.run(stream.send.send(bytes('one')));
    await w.run(stream.send.finish(bytes('two')));
    const body = await w.run(here.openUni());
    const writer = body.writable.getWriter();
    await w.run(writer.write(bytes('three')));
    await w.run(writer.write(bytes('four')));
    await w.run(writer.close());
    await w.run(take(there.messages(), 2));
    const [incoming] = await w.run(take(there.streams(), 1));
    for await (const _ of incoming!.receive.readable.values()) assert.ok(_.length > 0);
    const [sent, received] = [inspect(alice), inspect(bob)];
    assert.deepEqual([sent.layer, sent.abilities, sent.addrs], ['endpoint', ['streams'], [alice.addr.text]]);
    assert.deepEqual([sent.counters.sent, sent.counters.sentBytes], [3, 15]);
    assert.deepEqual([received.counters.received, received.counters.receivedBytes], [3, 15]);
    assert.deepEqual([received.state['connections'], received.state['heldBytes']], [1, 0]);
    assert.equal(received.inner[0]?.layer, 'memory');
    assert.equal(received.limits['maxEndpointBytes'], 16 * 2 ** 20);
    assert.throws(() => inspect({ describe: () => ({ limits: {} }) } as never), TypeError);
  });

  it('the idle timeout notices a peer that vanishes, and calls under way fail', async () => {
    const w = world();
    const [alice, bob] = [w.open({ idleTimeoutMs: 3000 }), w.open()];
    const connection = await w.run(alice.connect(bob.addr));
    w.realm.cut();
    const request = errorOf(connection.request(bytes('hello?')));
    const error = await w.run(request);
    assert.deepEqual([error.code, error.side, error.sent], ['disconnected', 'path', 'maybe']);
    assert.equal((await connection.closed).by, 'idle_timeout');
    assert.equal((await w.run(errorOf(alice.connect(nowhere(w), { timeoutMs: 10 })))).code, 'timeout');
  });
});
