import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { CandidateSource } from '../../src/core/candidate.ts';
import { peerExchange } from '../../src/discovery/index.ts';
import { P2PError } from '../../src/core/errors.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { mux } from '../../src/wrappers/mux.ts';
import { peerSwarm } from '../../src/wrappers/peer.ts';

describe('sources of peerSwarm', () => {
  it('may be peer exchange as it stands', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const nodes = [1, 2, 3].map((n) => {
      const privateKey = testKey(n);
      const secure = mbapp(p2pke(realm.swarm(), { privateKey }));
      const channels = mux(secure, 'string');
      const exchange = peerExchange(channels.open('peers'), { privateKey });
      return { addr: secure.addr, exchange, chat: peerSwarm(channels.open('chat'), { source: exchange }) };
    });
    const [alice, bob, carol] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    carol.chat.serve(({ payload }) => encodeText(`carol heard ${decodeText(payload)}`));
    const meet = async (): Promise<string | undefined> => {
      await carol.exchange.exchange(bob.addr);
      await alice.exchange.exchange(bob.addr);
      return decodeText(await alice.chat.ask(carol.chat.addr.id, encodeText('alice')));
    };
    assert.equal(await realm.clock.run(meet()), 'carol heard alice');
  });

  it('may give texts and candidates, and what is no address is passed over', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const [alice, bob] = [1, 2].map((n) => p2pke(realm.swarm(), { privateKey: testKey(n) }));
    const { id, text } = bob!.addr;
    const candidate = (addr: string) => ({ id, addr, source: 'test', seenMs: 0, expiresMs: 1 });
    const found: string[] = [];
    bob!.listen(({ payload }) => void found.push(decodeText(payload)!));
    for (const given of [
      ['no address', text],
      [candidate('no address'), candidate(text)],
    ]) {
      const peers = peerSwarm(alice!, { source: { candidates: () => given as never }, keepInner: true });
      await realm.clock.run(peers.tell(id, encodeText('hello')));
      await realm.clock.advance(1);
      await peers.close();
    }
    assert.deepEqual(found, ['hello', 'hello']);
  });

  it('hear which of their addresses led to the peer, which did not and why, and that the search has ended', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const [alice, bob] = [1, 2].map((n) => p2pke(realm.swarm(), { privateKey: testKey(n) }));
    const { id, text } = bob!.addr;
    const nobody = text.replace(/@.*/, '@777');
    const heard: unknown[] = [];
    let given: AbortSignal | undefined;
    const source: CandidateSource = {
      candidates: (wanted, options) => {
        given = options?.signal;
        heard.push(['asked', wanted]);
        return [nobody, text].map((addr) => ({ id, addr, source: 'test', seenMs: 0, expiresMs: 1 }));
      },
      reached: (outcome) => {
        heard.push(outcome);
        throw new Error('a fault of the source');
      },
      failed: (outcome) => void heard.push(outcome),
    };
    const peers = peerSwarm(alice!, { source, searchTimeoutMs: 5000, staggerMs: 6000 });
    await realm.clock.run(peers.tell(id, encodeText('hello'), { timeoutMs: 20_000 }));
    assert.deepEqual(heard, [['asked', id], { id, addr: nobody, reason: 'silent' }, { id, addr: text }]);
    assert.equal(given?.aborted, true);
    assert.equal(peers.counters.drops.get('handler_error'), 1);
    await Promise.all([peers, bob!].map((swarm) => swarm.close()));
  });

  it('cannot keep a search busy with texts that are no address', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const alice = p2pke(realm.swarm(), { privateKey: testKey(1) });
    let given = 0;
    function* endless(): Generator<string> {
      for (;;) yield `no address ${given++}`;
    }
    const peers = peerSwarm(alice, { source: endless });
    const error = await realm.clock.run(peers.tell(bobsId(), Uint8Array.of(1))).catch((cause: unknown) => cause);
    assert(P2PError.is(error, 'unreachable'));
    assert(given < 2000, `${given}`);
  });
});

function bobsId(): string {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  return p2pke(realm.swarm(), { privateKey: testKey(2) }).addr.id;
}
