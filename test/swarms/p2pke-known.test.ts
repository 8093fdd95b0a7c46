/** What a p2pke swarm knows of peers, and of ways to them, beyond their sessions. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import type { SendFailures } from '../../src/swarm-kit/send-failures.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { p2pke, p2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { codeOf } from '../support/code-of.ts';
import { idOf, network } from '../support/p2pke-world.ts';

describe('p2pke, when strangers hold all places but the reserve', () => {
  it('lets a peer in that it called once, whose session is long over, and no stranger', async () => {
    await using net = network();
    const hub = net.peer(1, { limits: { maxChannels: 8, hellosPerSecond: 10_000 } });
    const heard: string[] = [];
    hub.listen(({ src }) => void heard.push(src.id));
    const called = net.peer(2);
    await net.run(hub.tell(called.addr, Uint8Array.of(0)));
    await net.realm.clock.advance(200_000);
    assert.equal(inspect(hub).state['channels'], 0);

    const strangers = Array.from({ length: 7 }, (_, i) => net.peer(10 + i));
    for (const stranger of strangers) await net.run(stranger.tell(hub.addr, Uint8Array.of(1)));
    assert.equal(inspect(hub).state['channels'], 7);
    const late = net.peer(30);
    assert.equal(await net.run(codeOf(late.tell(hub.addr, Uint8Array.of(1), { timeoutMs: 500 }))), 'timeout');
    heard.length = 0;
    await net.run(called.tell(hub.addr, Uint8Array.of(2)));
    await net.realm.clock.advance(10);
    assert.deepEqual(heard, [idOf(2)]);
    assert.equal(inspect(hub).state['channels'], 8);
  });
});

/** A swarm that can be told to say that it cannot send. */
function failing(inner: Swarm<MemoryAddr>) {
  const listeners = new Set<(dst: MemoryAddr, error: unknown) => void>();
  const ability: SendFailures<MemoryAddr> = {
    onSendFailed(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
  return {
    listeners,
    swarm: Object.assign(inner, ability),
    say: (dst: MemoryAddr, code: string | undefined) => {
      const error = code === undefined ? new Error('failed') : Object.assign(new Error(`failed: ${code}`), { code });
      for (const listener of listeners) listener(dst, error);
    },
  };
}

describe('p2pke over a swarm that tells of failures afterwards', () => {
  it('ends waits when there is no way to a destination, and for nothing else', async () => {
    await using net = network();
    const { swarm, say } = failing(net.inner());
    const alice = p2pke(swarm, { privateKey: testKey(1), timeoutMs: 9000 });
    const dst = p2pkeAddr(idOf(2), net.inner().addr);
    const settled: string[] = [];
    const tell = (): void => void codeOf(alice.tell(dst, Uint8Array.of(1))).then((code) => settled.push(code));
    for (const code of ['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EADDRNOTAVAIL', 'EINVAL']) {
      tell();
      await net.realm.clock.advance(10);
      for (const passing of [undefined, 'EMSGSIZE', 'ENOBUFS', 'ECONNREFUSED']) say(dst.inner, passing);
      say(net.inner().addr, code);
      await net.realm.clock.advance(10);
      assert.deepEqual(settled, [], 'another destination, or a failure that may pass');
      say(dst.inner, code);
      await net.realm.clock.advance(0);
      assert.deepEqual(settled.splice(0), ['unreachable'], code);
    }
    await alice.close();
  });

  it('listens to that as long as it is open', async () => {
    await using net = network();
    const { swarm, listeners } = failing(net.inner());
    const alice = p2pke(swarm, { privateKey: testKey(1), keepInner: true });
    assert.equal(listeners.size, 1);
    await net.run(alice.close());
    assert.equal(listeners.size, 0);
  });
});
