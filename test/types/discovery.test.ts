import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Candidate, type CandidateSource } from 'shoal';
import { type Lan, type LanPeer, openLan } from 'shoal/discovery';
import { generateKey } from 'shoal/keys';

const same = <T>(value: T): T => value;

describe('types of shoal/discovery', () => {
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
