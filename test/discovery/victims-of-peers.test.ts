/** How much traffic poisoned candidates can make `openPeers` send to others, counted packet by packet on a virtual internet. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Candidate, CandidateSource } from '../../src/core/candidate.ts';
import { P2PError } from '../../src/core/errors.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/index.ts';
import { PeersWorld } from '../support/peers-world.ts';

const COUNT = 1000;
const REFUSED = ['10.0.0.5', '192.168.1.1', '127.0.0.1', '169.254.1.1', '224.0.0.251', '60.0.0.3'];

before(() => loadQuicEngine());

describe('1000 poisoned candidates for openPeers', () => {
  it('cause one packet without content to each distinct foreign address, at most 256 a minute, and none to refused ones', async (t) => {
    const world = new PeersWorld({ seed: 9 });
    const silent = Array.from({ length: 20 }, () => world.net.nat('port').ip);
    const ids = Array.from({ length: COUNT }, (_, i) => peerIdOfKey(testKey(1000 + i).publicKey));
    const places = ids.map((_, i) => {
      if (i % 10 === 0) return `${REFUSED[(i / 10) % REFUSED.length]}:${(i / 10) % REFUSED.length === 5 ? 53 : 5000}`;
      if (i % 10 === 1) return '60.0.0.1:7000';
      if (i % 10 === 2) return `60.0.0.2:${2000 + i}`;
      return i % 10 === 3 ? `${silent[i % 20]}:${5000 + i}` : `60.1.${i >> 2}.${1 + (i & 3)}:5000`;
    });
    let seenMs = Math.floor(world.realm.wallMs());
    const candidate = (i: number): Candidate => {
      const scheme = i % 3 === 0 ? 'quic://' : i % 3 === 1 ? 'tcp://' : '';
      return { id: ids[i], addr: `${scheme}${ids[i]}@${places[i]}`, source: 'poison', seenMs, expiresMs: Infinity };
    };
    const source: CandidateSource = {
      candidates: (id) => (id === undefined ? ids.map((_, i) => candidate(i)) : [candidate(ids.indexOf(id))]),
    };
    const host = world.net.host();
    const alice = await world.open(1, host, { sources: [source] });
    const sent = (): { readonly to: string; readonly atMs: number; readonly bytes: number }[] =>
      world.trace.flatMap((line) => {
        const found = /^([0-9.]+) \S+: (?:tcp|udp) (\S+):[0-9]+ > (\S+:[0-9]+) .*, ([0-9]+) bytes sent$/.exec(line);
        if (found === null || ![host.ip, '127.0.0.1'].includes(found[2]!)) return [];
        return [{ to: found[3]!, atMs: Number(found[1]), bytes: Number(found[4]) }];
      });
    /** The program wants each of the peers, and gives up. */
    const wantAll = async (): Promise<void> => {
      const wanted = ids.map((id) => alice.connect(id, { timeoutMs: 600_000 }).catch((error: unknown) => error));
      await world.advance(660_000);
      for (const error of await Promise.all(wanted)) assert.ok(P2PError.is(error), String(error));
    };
    await world.advance(120_000);
    await wantAll();
    const first = sent();
    const perTarget = Map.groupBy(first, ({ to }) => to);
    for (const [to, packets] of perTarget) {
      assert.equal(packets.length, 1, `${packets.length} packets to ${to}`);
      assert.ok(packets[0]!.bytes <= 60, `${packets[0]!.bytes} bytes to ${to}`);
      assert.ok(!REFUSED.some((ip) => to.startsWith(`${ip}:`)), to);
    }
    assert.ok(perTarget.size > 300, `${perTarget.size} addresses`);
    for (const { atMs } of first) {
      const minute = first.filter((each) => each.atMs >= atMs && each.atMs < atMs + 60_000);
      assert.ok(minute.length <= 256, `${minute.length} packets in a minute`);
    }
    await wantAll();
    const again = sent().filter(({ to }, i) => i >= first.length && perTarget.has(to));
    assert.deepEqual(again, [], 'no newer word came');
    seenMs = Math.floor(world.realm.wallMs());
    await wantAll();
    for (const [to, packets] of Map.groupBy(sent(), ({ to }) => to)) {
      assert.ok(packets.length <= 2, `${packets.length} packets to ${to} after a newer word`);
    }
    t.diagnostic(`${first.length} packets to ${perTarget.size} addresses, ${sent().length} after newer claims`);
    await world.close();
  });
});
