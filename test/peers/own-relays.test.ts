import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { PeersWorld, watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

describe('a node with relays of its own', () => {
  it('has a place there at the first try, whatever its policy', async () => {
    for (const policy of ['any', 'own_relays', 'relayed'] as const) {
      const w = new PeersWorld({ latencyMs: 5, trace: undefined });
      const relay = await w.open(1, w.net.host(), { serveRelay: true });
      const place = relay.addrs[0]!.replace(/^[a-z]+:\/\//, '');
      const node = await w.open(2, w.net.host(), { sources: [], relays: [place], policy });
      const seen = watch(node);
      await w.advance(500);
      const told = seen.filter(({ type }) => type === 'relay' || type === 'unreachable');
      assert.deepEqual(told, [{ type: 'relay', relay: relay.id, state: 'reserved', reason: undefined }]);
      await w.close();
    }
  });
});
