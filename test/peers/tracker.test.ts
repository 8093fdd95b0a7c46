import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { cellHandler, signedCellCheck } from '../../src/cells/http-handler.ts';
import { createMemoryCells } from '../../src/cells/memory.ts';
import { createTrackerToken } from '../../src/discovery/tracker/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { handlerFetch } from '../support/handler-fetch.ts';
import { PeersWorld, watch } from '../support/peers-world.ts';

before(() => loadQuicEngine());

describe('peers with a tracker', () => {
  it('find each other by PeerID, and begin from it, without any other address', async () => {
    const w = new PeersWorld({ latencyMs: 5, trace: undefined });
    const store = createMemoryCells({ realm: w.realm });
    const fetch = handlerFetch(cellHandler(store, { check: signedCellCheck }));
    const token = createTrackerToken('http://tracker.test', w);
    const tracker = { at: token.text, fetch };
    const alice = await w.open(1, w.net.host(), { sources: [], tracker });
    await w.advance(1000);
    const bob = await w.open(2, w.net.host(), { sources: [], tracker, minPeers: 0 });
    const carol = await w.open(3, w.net.host(), { sources: [], tracker, kind: 'client' });
    alice.serve(() => new Uint8Array([7]));
    assert.deepEqual(await w.realm.clock.run(bob.ask(alice.id, new Uint8Array([1]))), new Uint8Array([7]));
    await w.advance(5000);
    assert.ok(
      carol.list().some(({ id, state }) => id === alice.id && state === 'connected'),
      'the start found a peer',
    );
    // A client is not announced.
    const { state } = await announced(w, token.text, fetch);
    assert.deepEqual([...state].toSorted(), [alice.id, bob.id].toSorted());
    await w.close();
  });

  it('report a tracker that is not reached as a fault, and open all the same', async () => {
    const w = new PeersWorld({ latencyMs: 5, trace: undefined });
    const fetch = (): Promise<never> => Promise.reject(new TypeError('fetch failed'));
    const token = createTrackerToken('http://tracker.test', w);
    const node = await w.open(1, w.net.host(), { sources: [], tracker: { at: [token.text], fetch } });
    const seen = watch(node);
    await w.advance(20_000);
    const faults = seen.filter((change) => change.type === 'fault');
    assert.deepEqual(
      faults.map(({ source }) => source),
      ['tracker'],
    );
    await w.close();
  });

  it('refuse what is no token, without quoting it', async () => {
    const w = new PeersWorld({ latencyMs: 5, trace: undefined });
    const secret = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
    for (const tracker of [`http://tracker.test/nobody#${secret}`, ['x'], 7, { at: 7 }, null] as never[]) {
      await assert.rejects(
        async () => w.open(1, w.net.host(), { tracker }),
        (error) => error instanceof TypeError && !error.message.includes(secret),
      );
    }
    await w.close();
  });
});

async function announced(
  w: PeersWorld,
  at: string,
  fetch: ReturnType<typeof handlerFetch>,
): Promise<{ readonly state: readonly string[] }> {
  const { openTracker } = await import('../../src/discovery/tracker/index.ts');
  const ids = new Set<string>();
  await w.realm.clock.run(
    (async () => {
      for await (const { id } of openTracker({ at, fetch, realm: w.realm }).candidates()) ids.add(id!);
    })(),
  );
  return { state: [...ids] };
}
