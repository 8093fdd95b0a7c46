import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

describe('peer exchange of connection managers', () => {
  it('hands on a peer that the node itself has dialled before it knew a record of it', async () => {
    const w = new PeersWorld({ latencyMs: 5, trace: undefined });
    const [hub, leaf] = [await w.open(1), await w.open(2)];
    await w.run(hub.connect(leaf.id));
    await w.advance(2000);
    const newcomer = await w.open(3, w.net.host(), { sources: [] });
    const known = { id: hub.id, addr: hub.addrs[0]!, source: 'test', trust: 'given' } as const;
    newcomer.add({ ...known, seenMs: 0, expiresMs: Infinity });
    await w.run(newcomer.connect(hub.id));
    await w.advance(2000);
    const { id } = await w.run(newcomer.connect(leaf.id, { timeoutMs: 5000 }));
    assert.equal(id, leaf.id);
    await w.close();
  });

  it('knows each other after both have dialled at the same time', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const w = new PeersWorld({ latencyMs: 5, trace: undefined, seed });
      const [one, other] = [await w.open(1), await w.open(2)];
      await w.run(Promise.all([one.connect(other.id), other.connect(one.id)]));
      await w.advance(3000);
      for (const [known, unknown] of [
        [one, other],
        [other, one],
      ] as const) {
        const newcomer = await w.open(3, w.net.host(), { sources: [] });
        const at = { id: known.id, addr: known.addrs[0]!, source: 'test', trust: 'given' } as const;
        newcomer.add({ ...at, seenMs: 0, expiresMs: Infinity });
        await w.run(newcomer.connect(known.id));
        await w.advance(2000);
        await w.run(newcomer.connect(unknown.id, { timeoutMs: 5000 }));
        await w.run(newcomer.close());
      }
      await w.close();
    }
  });
});
