/** Who may talk on a P2PKE swarm: verdicts that take their time, that never come, and that change. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AcceptPeer } from '../../src/core/accept.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { inspect } from '../../src/core/inspect.ts';
import type { P2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { codeOf } from '../support/code-of.ts';
import { drops, helloOf, idOf, network } from '../support/p2pke-world.ts';

type Asked = AcceptPeer<P2pkeAddr<MemoryAddr>>;

const never = (): Promise<boolean> => new Promise(() => undefined);
const byte = (value: number): Uint8Array => Uint8Array.of(value);

/** A network whose predicates answer after a second. */
function slowNetwork() {
  const events: TraceEvent[] = [];
  const net = network({ trace: (event) => void events.push(event) });
  const asked: Asked[] = [];
  const after = (ms: number, answer: (peer: Asked) => boolean) => {
    return async (peer: Asked): Promise<boolean> => {
      asked.push(peer);
      await new Promise<void>((resolve) => net.realm.clock.setTimer(net.realm.nowMs() + ms, resolve));
      return answer(peer);
    };
  };
  return { net, asked, events, after };
}

describe('accept of a p2pke swarm', () => {
  it('asks a responder about the initiator, holds everything back for a second, and loses no first message', async () => {
    const { net, asked, after } = slowNetwork();
    await using _ = net;
    const bob = net.peer(2, { accept: after(1000, () => true) });
    const alice = net.peer(1);
    const heard: [number, number][] = [];
    bob.listen(({ payload }) => void heard.push([payload[0]!, net.realm.nowMs()]));
    const told = Promise.all([1, 2, 3].map((value) => alice.tell(bob.addr, byte(value))));
    await net.realm.clock.advance(999);
    assert.deepEqual([heard, inspect(bob).state['halfOpen']], [[], 1]);
    await net.run(told);
    await net.realm.clock.advance(500);
    assert.deepEqual(
      heard.map(([value]) => value),
      [1, 2, 3],
    );
    assert.ok(heard.every(([, at]) => at >= 1000));
    const [{ id, side, addr, publicKey }] = asked as [Asked];
    assert.deepEqual([asked.length, id, side, addr.text], [1, idOf(1), 'initiator', alice.addr.text]);
    assert.deepEqual(publicKey, alice.publicKey);
  });

  it('asks an initiator about the responder, and sends nothing before the yes', async () => {
    const { net, asked, after } = slowNetwork();
    await using _ = net;
    const alice = net.peer(1, { accept: after(1000, () => true) });
    const bob = net.peer(2);
    let heardMs = 0;
    bob.listen(() => void (heardMs = net.realm.nowMs()));
    await net.run(alice.tell(bob.addr, byte(1)));
    await net.realm.clock.advance(500);
    assert.ok(heardMs >= 1000);
    assert.deepEqual(
      asked.map(({ id, side }) => [id, side]),
      [[idOf(2), 'responder']],
    );
    assert.equal(drops(alice, 'not_accepted') + drops(bob, 'not_accepted'), 0);
  });

  it('asks each side once when both dial and both take a second', async () => {
    const { net, asked, after } = slowNetwork();
    await using _ = net;
    const [alice, bob] = [1, 2].map((key) => net.peer(key, { accept: after(1000, () => true) }));
    const heard: number[] = [];
    for (const swarm of [alice!, bob!]) swarm.listen(({ payload }) => void heard.push(payload[0]!));
    await net.run(Promise.all([alice!.tell(bob!.addr, byte(1)), bob!.tell(alice!.addr, byte(2))]));
    await net.realm.clock.advance(500);
    assert.deepEqual(new Set(heard), new Set([1, 2]));
    assert.deepEqual(asked.length, 2);
    assert.deepEqual(new Set(asked.map(({ id }) => id)), new Set([idOf(1), idOf(2)]));
  });

  it('does not ask again when sessions are replaced', async () => {
    const { net, asked, after } = slowNetwork();
    await using _ = net;
    const limits = { rekeyAfterMs: 5000, rejectAfterMs: 20_000 };
    const [alice, bob] = [1, 2].map((key) => net.peer(key, { limits, accept: after(1000, () => true) }));
    let heard = 0;
    bob!.listen(() => void heard++);
    for (let i = 0; i < 100; i++) {
      await net.run(alice!.tell(bob!.addr, byte(i)));
      await net.realm.clock.advance(500);
    }
    assert.deepEqual([heard, asked.length], [100, 2]);
  });

  it('takes a verdict that never comes for a no after five seconds, in either role', async () => {
    const { net, events } = slowNetwork();
    await using _ = net;
    const [alice, bob, carol] = [net.peer(1, { accept: never }), net.peer(2), net.peer(3, { accept: never })];
    let heard = 0;
    for (const swarm of [alice, bob, carol]) swarm.listen(() => void heard++);
    assert.equal(await net.run(codeOf(alice.tell(bob.addr, byte(1)))), 'refused');
    const atMs = net.realm.nowMs();
    assert.ok(atMs >= 5000 && atMs < 5100, `${atMs}`);
    // The protocol cannot say no: whoever dialled sees that nothing comes.
    assert.equal(await net.run(codeOf(bob.tell(carol.addr, byte(1), { timeoutMs: 7000 }))), 'timeout');
    await net.realm.clock.advance(20_000);
    assert.equal(heard, 0);
    for (const swarm of [alice, carol]) {
      assert.ok(drops(swarm, 'not_accepted') > 0);
      assert.ok((swarm.counters.drops.get('handler_error') ?? 0) > 0);
      assert.deepEqual([inspect(swarm).state['channels'], inspect(swarm).state['halfOpen']], [0, 0]);
    }
    const faults = events.filter(({ type }) => type === 'handler_error');
    assert.ok(faults.length >= 2 && faults.every(({ cause }) => String(cause).includes('5000 ms')));
  });

  it('refuses with a no that takes a second', async () => {
    const { net, after } = slowNetwork();
    await using _ = net;
    const [alice, bob] = [1, 2].map((key) => net.peer(key, { accept: after(1000, () => false) }));
    let heard = 0;
    for (const swarm of [alice!, bob!]) swarm.listen(() => void heard++);
    const code = await net.run(codeOf(alice!.tell(net.peer(3).addr, byte(1))));
    assert.equal(code, 'refused');
    assert.equal(await net.run(codeOf(net.peer(4).tell(bob!.addr, byte(1), { timeoutMs: 3000 }))), 'timeout');
    assert.equal(heard, 0);
    assert.equal(bob!.counters.drops.get('handler_error') ?? 0, 0, 'a plain no is no fault');
  });

  it('recheck ends the sessions that are refused now, and leaves the others', async () => {
    const { net, asked, after } = slowNetwork();
    await using _ = net;
    const banned = new Set<string>();
    const bob = net.peer(2, { accept: after(1000, ({ id }) => !banned.has(id)) });
    const [alice, carol] = [net.peer(1), net.peer(3)];
    const heard: string[] = [];
    bob.listen(({ src }) => void heard.push(src.id));
    await net.run(Promise.all([alice.tell(bob.addr, byte(1)), carol.tell(bob.addr, byte(1))]));
    await net.realm.clock.advance(500);
    banned.add(idOf(1));
    heard.length = asked.length = 0;
    await net.run(bob.recheck());
    assert.deepEqual(new Set(asked.map(({ id }) => id)), new Set([idOf(1), idOf(3)]));
    assert.equal(inspect(bob).state['channels'], 1);
    await net.run(Promise.all([alice.tell(bob.addr, byte(2)), carol.tell(bob.addr, byte(2))]));
    await net.realm.clock.advance(500);
    assert.deepEqual(heard, [idOf(3)]);
    assert.ok(drops(bob, 'not_accepted') > 0);
  });

  it('asks at most 256 at once, and one source has its share only', async () => {
    const { net } = slowNetwork();
    await using _ = net;
    let asked = 0;
    const limits = { hellosPerSecond: 10_000 };
    const bob = net.peer(2, { limits, accept: () => (asked++, never()) });
    const flood = Array.from({ length: 300 }, () => net.inner());
    for (const [i, from] of flood.entries()) {
      void from.tell(bob.addr.inner, helloOf(1000 + i, net.realm.wallMs(), i));
      await net.realm.clock.advance(1);
    }
    assert.equal(asked, 300);
    assert.ok(drops(bob, 'not_accepted') >= 44, 'those beyond are refused');
    await net.realm.clock.advance(6000);
    assert.equal(inspect(bob).state['halfOpen'], 0);
  });

  it('forgets the question when the swarm closes', async () => {
    const { net } = slowNetwork();
    await using _ = net;
    const bob = net.peer(2, { accept: never });
    const told = codeOf(net.peer(1).tell(bob.addr, byte(1), { timeoutMs: 7000 }));
    await net.realm.clock.advance(100);
    await bob.close();
    assert.equal(await net.run(told), 'timeout');
    assert.equal(bob.counters.drops.get('handler_error') ?? 0, 0);
  });
});
