/** LAN discovery as a source of candidates: what it yields, how it ends, and what it refuses. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Candidate } from '../../src/core/candidate.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { openLan } from '../../src/discovery/lan.ts';
import type { LanOptions } from '../../src/discovery/lan-options.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { candidatesOf, joinLan, type LanNode } from '../support/lan-world.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const idsOf = ({ lan }: LanNode): PeerId[] => lan.peers.map(({ id }) => id);

describe('LAN discovery as a source', () => {
  it('candidates are those that are known, then those that are heard, until the signal or after two seconds', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const a = await joinLan(w.net.host({ behind: lan }), 1);
    const b = await joinLan(w.net.host({ behind: lan }), 2);
    await w.advance(600);
    const startMs = w.realm.nowMs();
    const found = await w.run(candidatesOf(a.lan));
    assert.deepEqual(found, [b.lan.peers[0]!.addrs[0]!.replace(/.*/, () => a.lan.peers[0]!.addrs[0]!)]);
    assert.equal(w.realm.nowMs() - startMs, 2000);

    const given = new AbortController();
    const all: Candidate[] = [];
    const reading = (async () => {
      for await (const candidate of a.lan.candidates(undefined, { signal: given.signal })) all.push(candidate);
    })();
    await w.advance(30_000);
    const c = await joinLan(w.net.host({ behind: lan }), 3);
    await w.advance(100);
    assert.deepEqual(
      all.map(({ id, source, trust }) => [id, source, trust]),
      [
        [b.id, 'lan', 'given'],
        [c.id, 'lan', 'given'],
      ],
    );
    assert.equal(all[1]!.expiresMs - all[1]!.seenMs, 180_000);
    given.abort();
    await reading;
    assert.deepEqual(await w.run(candidatesOf(a.lan, c.id)), [all[1]!.addr]);
    const hanging = candidatesOf(a.lan, undefined, { signal: new AbortController().signal });
    await a.lan.close();
    await hanging;
    assert.deepEqual(await candidatesOf(a.lan), []);
    await Promise.all([b, c].map((node) => node.lan.close()));
  });

  it('a host that has slept asks again, and is heard', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const sleeper = w.net.host({ behind: lan });
    const a = await joinLan(sleeper, 1);
    await w.advance(120_000);
    sleeper.sleep();
    const b = await joinLan(w.net.host({ behind: lan }), 2);
    await w.advance(240_000);
    sleeper.wake();
    await w.advance(2000);
    assert.deepEqual([idsOf(a), idsOf(b)], [[b.id], [a.id]]);
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('a handler that throws is counted and breaks nothing; closing leaves no timer', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const bad = (): never => {
      throw new Error('planted');
    };
    const a = await joinLan(w.net.host({ behind: lan }), 1, { onPeer: bad, addrs: bad });
    const b = await joinLan(w.net.host({ behind: lan }), 2);
    await w.advance(1000);
    assert.deepEqual([idsOf(a), idsOf(b)], [[b.id], []]);
    assert.ok(a.lan.counters.drops.get('handler_error')! >= 2);
    await Promise.all([a, b].map((node) => node.lan.close()));
    const before = w.trace.length;
    await w.advance(600_000);
    assert.equal(w.trace.length, before);
    a.lan.query();
    await a.lan.close();
  });

  it('the same seed gives the same packets', async () => {
    const run = async (): Promise<readonly string[]> => {
      const w = new VirtualWorld({ seed: 7 });
      const lan = w.net.lan();
      const nodes: LanNode[] = [];
      for (const seed of [1, 2, 3]) nodes.push(await joinLan(w.net.host({ behind: lan }), seed));
      await w.advance(10_000);
      await Promise.all(nodes.map((node) => node.lan.close()));
      return w.trace;
    };
    const [first, second] = [await run(), await run()];
    assert.ok(first.length > 20);
    assert.deepEqual(second, first);
  });

  it('wrong options are refused at once; a taken port by rejection', async () => {
    const w = new VirtualWorld();
    const host = w.net.host({ behind: w.net.lan() });
    const good: LanOptions = { privateKey: testKey(1), networkName: 'x', addrs: [], network: host.network };
    for (const [bad, type] of [
      [{ networkName: '' }, RangeError],
      [{ networkName: 'é'.repeat(128) }, RangeError],
      [{ networkName: undefined }, TypeError],
      [{ privateKey: {} }, TypeError],
      [{ addrs: 'text' }, TypeError],
      [{ addrs: [5] }, TypeError],
      [{ port: 70_000 }, RangeError],
      [{ broadcast: '127.255.255' }, TypeError],
      [{ broadcast: 'ff02::1' }, TypeError],
      [{ interfaces: 'eth0' }, TypeError],
      [{ maxPeers: 0 }, RangeError],
      [{ onPeer: 5 }, TypeError],
      [{ network: {} }, TypeError],
      [{ realm: {} }, TypeError],
    ] as const) {
      assert.throws(() => openLan({ ...good, ...bad } as unknown as LanOptions), type, JSON.stringify(bad));
    }
    assert.throws(() => openLan(undefined as unknown as LanOptions), TypeError);
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(openLan({ ...good, signal }), /enough/);
    const taken = await host.network.bindUdp({ bind: { ip: '0.0.0.0', port: 5483 } });
    await assert.rejects(openLan({ ...good, realm: systemRealm }), { code: 'in_use' });
    await taken.close();
  });
});
