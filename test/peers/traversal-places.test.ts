/** Where peers are, and that they move: behind one NAT, behind two, on IPv6, on another uplink. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { VirtualHost, VirtualNat } from '../../src/net/virtual/types.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { meet, outcomeOf, PAYLOAD } from '../support/nat-matrix.ts';
import { PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

const behindOne = (hairpin: boolean) => {
  let nat: VirtualNat | undefined;
  return (w: PeersWorld, kind: NatKind): VirtualHost => w.net.host({ behind: (nat ??= w.net.nat(kind, { hairpin })) });
};

/** Two peers behind a NAT each; `host` is that of the first one, to be moved. */
async function meetMobile() {
  const hosts: VirtualHost[] = [];
  const place = (w: PeersWorld, kind: NatKind): VirtualHost => {
    const host = w.net.host({ behind: w.net.nat(kind) });
    hosts.push(host);
    return host;
  };
  const meeting = await meet('port', 'port', { place });
  return { meeting, host: hosts[0]! };
}

describe('peers behind NATs: places', () => {
  for (const hairpin of [true, false]) {
    it(`two behind one NAT ${hairpin ? 'with' : 'without'} hairpinning meet in its LAN`, async () => {
      const meeting = await meet('port', 'port', { place: behindOne(hairpin) });
      const { path, text } = await outcomeOf(meeting, 10_000);
      assert.notEqual(path?.kind, 'relay', text);
      assert.match(path!.addr, /@192\.168\.1\./);
      await meeting.w.close();
    });
  }

  it('two public hosts dial each other: nothing is punched, and both know it', async () => {
    const place = (w: PeersWorld): VirtualHost => w.net.host();
    const meeting = await meet('open', 'open', { place });
    const { w, alice, bob } = meeting;
    // Both know where the other one is, and that a relay brings them together.
    for (const node of [alice, bob]) w.directory.addrs.set(node.id, node.addrs);
    await outcomeOf(meeting, 10_000);
    const kinds = [alice.explain(bob.id), bob.explain(alice.id)].map(({ info }) => info?.path?.kind);
    assert.deepEqual(kinds, ['direct', 'direct']);
    await w.close();
  });

  for (const [outer, inner] of [
    ['port', 'port'],
    ['full', 'full'],
    ['random', 'port'],
  ] as const) {
    it(`a ${inner} NAT behind a carrier's ${outer} NAT`, async () => {
      const place = (w: PeersWorld, kind: NatKind, i: number): VirtualHost => {
        const above = i === 0 ? w.net.nat(outer, { subnet: '100.64.0.0/24' }) : undefined;
        return w.net.host({ behind: w.net.nat(kind, { behind: above }) });
      };
      const meeting = await meet(inner, 'port', { place });
      const { path, text } = await outcomeOf(meeting, 20_000);
      assert.equal(path?.kind, 'punch', text);
      await meeting.w.close();
    });
  }

  it('two behind one carrier NAT, each behind a NAT of its own', async () => {
    let above: VirtualNat | undefined;
    const place = (w: PeersWorld, kind: NatKind): VirtualHost => {
      above ??= w.net.nat('port', { subnet: '100.64.0.0/24', hairpin: true });
      return w.net.host({ behind: w.net.nat(kind, { behind: above }) });
    };
    const meeting = await meet('port', 'port', { place });
    const { path, text } = await outcomeOf(meeting, 20_000);
    assert.equal(path?.kind, 'punch', text);
    await meeting.w.close();
  });

  it('a router that forgets everything in the middle costs no message', async () => {
    let nat: VirtualNat | undefined;
    const place = (w: PeersWorld, kind: NatKind, i: number): VirtualHost => {
      const made = w.net.nat(kind);
      if (i === 0) nat = made;
      return w.net.host({ behind: made });
    };
    const meeting = await meet('port', 'port', { place });
    await outcomeOf(meeting, 10_000);
    const { w, alice, bob } = meeting;
    nat!.reboot();
    const atMs = w.realm.nowMs();
    assert.equal(decodeText(await w.run(alice.ask(bob.id, encodeText('again')))), 'again');
    assert.ok(w.realm.nowMs() - atMs < 6000, `${w.realm.nowMs() - atMs} ms`);
    await w.close();
  });

  it('a host that moves to another uplink is back within 1.5 s at a round trip of 40 ms', async () => {
    const { meeting, host } = await meetMobile();
    await outcomeOf(meeting, 10_000);
    const { w, alice, bob } = meeting;
    await w.advance(5000);
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      host.move({ behind: w.net.nat('port') });
      const atMs = w.realm.nowMs();
      await w.run(alice.ask(bob.id, PAYLOAD));
      times.push(w.realm.nowMs() - atMs);
      await w.advance(10_000);
    }
    assert.ok(Math.max(...times) <= 1500, times.join(' '));
    await w.close();
  });

  it('a stream of asks goes on through fifty changes of the uplink, and each is answered once', async () => {
    const { meeting, host } = await meetMobile();
    const { w, alice, bob } = meeting;
    const executed = new Map<string, number>();
    // A handler of the world's own answers already; this one counts.
    bob.listen(({ payload }) => void executed.set(decodeText(payload)!, (executed.get(decodeText(payload)!) ?? 0) + 1));
    await outcomeOf(meeting, 10_000);
    const answers: Promise<string | undefined>[] = [];
    for (let change = 0; change < 50; change++) {
      host.move({ behind: w.net.nat('port') });
      for (let i = 0; i < 20; i++) {
        const text = `${change}.${i}`;
        void alice.tell(bob.id, encodeText(text));
        answers.push(alice.ask(bob.id, encodeText(text), { timeoutMs: 120_000 }).then((bytes) => decodeText(bytes)));
        await w.advance(100);
      }
    }
    const texts = await w.run(Promise.all(answers));
    assert.equal(new Set(texts).size, 1000);
    await w.advance(5000);
    assert.equal(executed.size, 1000);
    assert.ok([...executed.values()].every((count) => count === 1));
    await w.close();
  });

  it('thirteen dead addresses before the good one do not keep it waiting for long', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1);
    bob.serve(({ payload }) => payload);
    const alice = await w.open(0);
    const dead = Array.from({ length: 13 }, (_, i) => `tcp://${bob.id}@172.17.0.${i + 2}:5000`);
    w.directory.addrs.set(bob.id, [...dead, ...bob.addrs]);
    const atMs = w.realm.nowMs();
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.ok(w.realm.nowMs() - atMs <= 1000, `${w.realm.nowMs() - atMs} ms`);
    await w.close();
  });

  it('hosts with IPv6 only, behind firewalls, punch', async () => {
    const w = new PeersWorld({ latencyMs: 20, ipv6: true, trace: undefined });
    const open = (i: number, options = {}) => w.open(i, w.net.host({ name: `helper${i}` }), { ...options });
    const helpers = [await open(10, { serveRelay: true }), await open(11), await open(12)];
    const six = (i: number) => w.open(i, w.net.host({ behind: w.net.nat('port', { ipv6: true }), ipv4: false }));
    const [alice, bob] = [await six(0), await six(1)];
    w.directory.addrs.delete(bob.id);
    w.directory.addrs.delete(alice.id);
    bob.serve(({ payload }) => payload);
    for (const node of [alice, bob]) for (const { id } of helpers) node.maintain(id);
    await w.advance(5000);
    const { path, text } = await outcomeOf({ w, alice, bob, helpers }, 20_000);
    assert.ok(path?.kind === 'punch' || path?.kind === 'direct', text);
    await w.close();
  });
});
