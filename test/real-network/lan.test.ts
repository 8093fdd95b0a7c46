/** LAN discovery with real sockets, on the loopback network only: 127.255.255.255 reaches this machine and nothing else. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { PeerId } from '../../src/core/peer-id.ts';
import type { Lan, LanOptions } from '../../src/discovery/lan-options.ts';
import { openLan } from '../../src/discovery/lan.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import { testKey } from '../../src/testing/test-key.ts';

const broadcast = '127.255.255.255';

function open(seed: number, port: number, more: Partial<LanOptions> = {}): Promise<Lan> {
  const privateKey = testKey(seed);
  const addrs = [`${peerIdOfKey(privateKey.publicKey)}@127.0.0.1:${5000 + seed}`];
  return openLan({ privateKey, networkName: 'real', addrs, broadcast, port, ...more });
}

const idOf = (seed: number): PeerId => peerIdOfKey(testKey(seed).publicKey);

/** The first candidates, until there are so many. */
async function first(lan: Lan, count: number): Promise<string[]> {
  const given = new AbortController();
  const found: string[] = [];
  for await (const { addr } of lan.candidates(undefined, { signal: given.signal })) {
    found.push(addr);
    if (found.length >= count) break;
  }
  return found.toSorted();
}

describe('LAN discovery on the loopback network', () => {
  it('three nodes of this machine share a port and find each other', async () => {
    const a = await open(1, 0);
    const b = await open(2, a.port);
    const c = await open(3, a.port);
    const addr = (seed: number): string => `${idOf(seed)}@127.0.0.1:${5000 + seed}`;
    assert.deepEqual(await Promise.all([a, b, c].map((lan) => first(lan, 2))), [
      [addr(2), addr(3)].toSorted(),
      [addr(1), addr(3)].toSorted(),
      [addr(1), addr(2)].toSorted(),
    ]);
    assert.deepEqual(
      a.peers.map(({ interfaces, ip }) => [interfaces.length, ip]),
      [
        [1, '127.0.0.1'],
        [1, '127.0.0.1'],
      ],
    );
    await Promise.all([a, b, c].map((lan) => lan.close()));
  });

  it('nodes of two networks on one port do not see each other', async () => {
    const a = await open(1, 0);
    const b = await open(2, a.port, { networkName: 'other' });
    const c = await open(3, a.port);
    assert.deepEqual(await first(a, 1), [`${idOf(3)}@127.0.0.1:5003`]);
    assert.deepEqual([b.peers, a.peers.length], [[], 1]);
    assert.ok(b.counters.drops.get('beacon.other_network')! > 0);
    await Promise.all([a, b, c].map((lan) => lan.close()));
  });

  it('a port that another program does not share is in_use', async () => {
    const { createSocket } = await import('node:dgram');
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => void socket.bind(0, '0.0.0.0', resolve));
    await assert.rejects(open(1, socket.address().port), { code: 'in_use' });
    await new Promise<void>((resolve) => void socket.close(() => resolve()));
  });
});
