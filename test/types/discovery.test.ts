import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Candidate, CandidateSource } from 'shoal';
import {
  bootstrap,
  type BootstrapResult,
  type CandidateFault,
  contacts,
  type ContactSource,
  type Lan,
  type LanPeer,
  openLan,
  openPeerCache,
  type PeerCache,
  type RefusedCandidate,
} from 'shoal/discovery';
import { generateKey } from 'shoal/keys';

const same = <T>(value: T): T => value;

describe('types of shoal/discovery', () => {
  it('cache and contacts are sources of a bootstrap, whose result is plain data', async () => {
    const store = { load: () => Promise.resolve(undefined), save: () => Promise.resolve() };
    await using cache = await openPeerCache({ store, networkName: 'types' });
    const fallback = contacts(['203.0.113.7:4000'], { fallbackAfterMs: 0 });
    same<CandidateSource>(same<PeerCache>(cache));
    same<CandidateSource>(same<ContactSource>(fallback));
    // A cache answers at once, contacts over time.
    same<readonly Candidate[]>(cache.candidates());
    same<AsyncIterable<Candidate>>(fallback.candidates());
    using run = bootstrap({
      sources: [
        { name: 'cache', source: cache },
        { name: 'contacts', source: fallback },
      ],
      attempt: () => Promise.resolve({ fault: 'wrong_network' }),
    });
    const result: BootstrapResult = await run.ready;
    const refused: readonly RefusedCandidate[] = result.refused;
    const reason: CandidateFault | undefined = refused[0]?.reason;
    assert.equal(reason, 'wrong_network');
    // @ts-expect-error a fault is one of the list
    const wrongFault = () => bootstrap({ sources: [], attempt: () => Promise.resolve({ fault: 'tired' }) });
    // @ts-expect-error a network has a name
    await assert.rejects(openPeerCache({ store }), TypeError);
    // @ts-expect-error results cannot be changed
    const wrong = (): unknown => (result.peers = []);
    assert.deepEqual([typeof wrong, typeof wrongFault], ['function', 'function']);
  });

  it('LAN discovery is a source of candidates that can be disposed of', async () => {
    const options = {
      privateKey: generateKey(),
      networkName: 'types',
      addrs: [],
      broadcast: '127.255.255.255',
      port: 0,
    };
    await using lan = await openLan(options);
    same<Lan>(lan);
    same<CandidateSource>(lan);
    const found: AsyncIterable<Candidate> = lan.candidates();
    const peers: readonly LanPeer[] = lan.peers;
    // @ts-expect-error peers cannot be changed
    const wrong = (peer: LanPeer): unknown => (peer.ip = '');
    // @ts-expect-error a network has a name
    assert.throws(() => openLan({ privateKey: options.privateKey, addrs: [] }), TypeError);
    assert.deepEqual([typeof found, peers.length, typeof wrong], ['object', 0, 'function']);
  });
});
