/** What all peers of a QUIC swarm together can make it hold. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { type MemoryAddr, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { type QuicAddr, quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

type Quic = SecureAskSwarm<QuicAddr<MemoryAddr>>;

const BUDGET = 100_000;

function world() {
  const realm = createMemoryRealm({ clock: 'virtual', mtu: 1500 });
  const bob = quic(realm.swarm(), { privateKey: testKey(0), maxSwarmBytes: BUDGET, maxMessageBytes: BUDGET });
  const dst = bob.addr;
  return {
    realm,
    bob,
    held: (): number => Number(inspect(bob).state['heldBytes']),
    displaced: (): number => bob.counters.drops.get('quic.displaced') ?? 0,
    /** A peer whose message stays unfinished after about so many bytes. */
    stuck: async (verb: 'tell' | 'ask', key: number, bytes: number) => {
      const inner = realm.swarm();
      const peer: Quic = quic(inner, { privateKey: testKey(key) });
      await realm.clock.run(peer.lookupPublicKey(dst));
      const tell = inner.tell.bind(inner);
      let sent = 0;
      inner.tell = (to, payload, options) => {
        sent += payload.length;
        return sent > bytes ? Promise.resolve() : tell(to, payload, options);
      };
      const ended = peer[verb](dst, new Uint8Array(BUDGET), { timeoutMs: Infinity }).then(
        () => 'taken',
        (error: unknown) => (P2PError.is(error) ? `${error.code}: ${error.message}` : String(error)),
      );
      await realm.clock.advance(2000);
      return { peer, ended };
    },
  };
}

describe('quic: unfinished messages of all peers', () => {
  it('that are requests may be three times maxSwarmBytes, and then the peer ends that holds most of them, and no other', async () => {
    const { realm, bob, held, displaced, stuck } = world();
    bob.serve(({ payload }) => payload);
    await stuck('ask', 1, 90_000);
    const most = await stuck('ask', 2, 98_000);
    await stuck('ask', 3, 80_000);
    assert.ok(held() > 2 * BUDGET && held() < 3 * BUDGET, String(held()));
    assert.equal(displaced(), 0);
    await stuck('ask', 4, 90_000);
    assert.equal(displaced(), 1);
    assert.match(await realm.clock.run(most.ended), /^disconnected: .*holds too much memory/);
    assert.equal(inspect(bob).state['connections'], 3);
    assert.ok(held() > 2 * BUDGET && held() < 3 * BUDGET, String(held()));
  });

  it('that are tells wait at twice maxSwarmBytes, and no peer ends', async () => {
    const { bob, held, displaced, stuck } = world();
    bob.listen(() => {});
    for (const key of [1, 2, 3, 4, 5]) await stuck('tell', key, 90_000);
    assert.ok(held() >= 2 * BUDGET && held() < 2.1 * BUDGET, String(held()));
    assert.equal(displaced(), 0);
    assert.equal(inspect(bob).state['connections'], 5);
  });
});
