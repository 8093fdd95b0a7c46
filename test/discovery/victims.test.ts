/** How much traffic poisoned records can make a node send to others, counted packet by packet on a virtual internet. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Bytes } from '../../src/base/bytes.ts';
import { type Addr, ipOf, portOf, unwrapAddr } from '../../src/core/addr.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { encodeExchange } from '../../src/discovery/exchange-message.ts';
import { type PeerExchange, peerExchange, signPeerRecord } from '../../src/discovery/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { observing } from '../../src/nat/index.ts';
import { probeTcp } from '../../src/net/index.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { openUdpSwarm, type UdpAddr } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/index.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

/** A node under attack. */
interface Target {
  readonly swarm: SecureAskSwarm<Addr>;
  readonly exchange: PeerExchange<Addr>;
}

/** Opens a swarm, and the probe that fits to it. */
type Open = (
  host: VirtualHost,
  i: number,
) => Promise<{ readonly swarm: SecureAskSwarm<Addr>; readonly probe: (addr: Addr) => Promise<boolean> }>;

const openTcp: Open = async ({ realm, network }, i) => ({
  swarm: await openTcpSwarm({ realm, network, privateKey: testKey(i), security: 'noise' }),
  probe: (addr) => probeTcp(network, { ip: ipOf(addr)!, port: portOf(addr)! }, realm),
});

const openP2pke: Open = async ({ realm, network }, i) => {
  const udp = observing(await openUdpSwarm({ realm, network }));
  return {
    swarm: mbapp(p2pke(udp, { privateKey: testKey(i) })) as never,
    probe: async (addr) => {
      const answer = await udp.observe(unwrapAddr(addr) as UdpAddr, { repeat: false });
      return answer.mapped.port !== 0;
    },
  };
};

/** Records of 200 signers each, with addresses of the attacker's choice. */
function poison(wallMs: number, from: number, addrs: readonly string[]): Bytes[] {
  return addrs.map((addr, i) => {
    const key = testKey(1000 + from + i);
    const issuedMs = Math.floor(wallMs);
    return signPeerRecord(key, {
      addrs: [`${peerIdOfKey(key.publicKey)}@${addr}`],
      issuedMs,
      lifetimeMs: 86_400_000,
    }).bytes;
  });
}

const REFUSED = ['10.0.0.5', '192.168.1.1', '172.16.3.3', '127.0.0.1', '169.254.1.1', '224.0.0.251', '255.255.255.255'];
const ATTACKERS = 5;
const PER_ATTACKER = 200;

/** The 1000 addresses: silent hosts, hosts that refuse, many ports of one host, one socket named often, refused ones. */
function victims(silent: readonly string[]): string[] {
  return Array.from({ length: ATTACKERS * PER_ATTACKER }, (_, i) => {
    if (i % 10 === 0) return `${REFUSED[(i / 10) % REFUSED.length]}:5000`;
    if (i % 10 === 1) return '60.0.0.1:7000';
    if (i % 10 === 2) return `60.0.0.2:${2000 + i}`;
    if (i % 10 === 3) return `60.0.0.3:${1 + (i % 1000)}`;
    return i % 10 === 4 ? `${silent[i % silent.length]}:${5000 + i}` : `60.1.${i % 250}.${1 + (i % 7)}:5000`;
  });
}

for (const [name, open, limit] of [
  ['tcp', openTcp, 60],
  ['p2pke over udp', openP2pke, 48],
] as const) {
  describe(`1000 poisoned records, ${name}`, () => {
    it('cause one small packet to each distinct foreign address, none to refused ones, and never again without a newer record', async (t) => {
      const world = new VirtualWorld({ seed: 4 });
      const silent = Array.from({ length: 20 }, () => world.net.nat('port').ip);
      const open1 = async (i: number, more: object = {}): Promise<Target & { readonly ip: string }> => {
        const host = world.net.host();
        const { swarm, probe } = await world.run(open(host, i));
        const exchange = peerExchange(swarm, { privateKey: testKey(i), probe, maxAnswerBytes: 1_000_000, ...more });
        return { swarm, exchange, ip: host.ip };
      };
      const alice = await open1(1, { everyMs: 500, fanOut: 8 });
      const attackers = await Promise.all(Array.from({ length: ATTACKERS }, (_, i) => open1(10 + i)));
      const attackerIps = new Set(attackers.map(({ ip }) => ip));
      const addrs = victims(silent);
      let answers: Bytes[][] = [];
      const arm = (): void => {
        answers = attackers.map((_, i) => {
          const from = i * PER_ATTACKER;
          return poison(world.realm.wallMs(), from, addrs.slice(from, from + PER_ATTACKER));
        });
      };
      for (const [i, { swarm, exchange }] of attackers.entries()) {
        exchange[Symbol.dispose]();
        swarm.serve(() => encodeExchange(Math.floor(world.realm.wallMs()), answers[i]!, 1_000_000));
      }
      const visitAll = async (): Promise<void> => {
        for (const { swarm } of attackers) await world.run(alice.exchange.exchange(swarm.addr));
      };
      /** What alice has sent to others: its packets by destination, in the order of time. */
      const sent = (): { readonly to: string; readonly atMs: number; readonly line: string }[] =>
        world.trace.flatMap((line) => {
          const found = /^([0-9.]+) \S+: (?:tcp|udp) (\S+):[0-9]+ > (\S+):([0-9]+) .* sent$/.exec(line);
          if (found === null || ![alice.ip, '127.0.0.1'].includes(found[2]!) || attackerIps.has(found[3]!)) return [];
          return [{ to: `${found[3]}:${found[4]}`, atMs: Number(found[1]), line }];
        });

      arm();
      await visitAll();
      assert.equal(alice.exchange.records.length, ATTACKERS * PER_ATTACKER);
      for (let minute = 0; minute < 14; minute++) await world.advance(60_000);
      const first = sent();
      const distinct = new Set(first.map(({ to }) => to));
      assert.equal(first.length, distinct.size, 'an address got more than one packet');
      assert.ok(distinct.size > 300, `${distinct.size} addresses were tried`);
      for (const { to, line } of first) {
        const [ip, port] = to.split(':') as [string, string];
        assert.ok(!REFUSED.includes(ip), line);
        assert.ok(Number(port) >= 1024, line);
        assert.ok(Number(/, ([0-9]+) bytes/.exec(line)![1]) <= limit, line);
      }
      assert.equal(first.filter(({ to }) => to === '60.0.0.1:7000').length, 1);
      for (const { atMs } of first) {
        const minute = first.filter((each) => each.atMs >= atMs && each.atMs < atMs + 60_000);
        assert.ok(minute.length <= 256, `${minute.length} packets in a minute`);
        assert.ok(minute.filter(({ to }) => to.startsWith('60.0.0.2:')).length <= 8);
      }

      // The same records again: nothing.
      await visitAll();
      for (let minute = 0; minute < 3; minute++) await world.advance(60_000);
      const second = sent();
      const again = new Set(second.slice(first.length).map(({ to }) => to));
      assert.deepEqual(
        [...again].filter((to) => distinct.has(to)),
        [],
      );

      // Newer records: at most one packet more to each.
      arm();
      await visitAll();
      for (let minute = 0; minute < 14; minute++) await world.advance(60_000);
      const third = sent();
      const most = Map.groupBy(third, ({ to }) => to);
      assert.ok(third.length > second.length, 'newer records are tried');
      for (const [to, packets] of most) assert.ok(packets.length <= 2, `${packets.length} packets to ${to}`);
      t.diagnostic(`${first.length} packets to ${distinct.size} addresses, ${third.length} after newer records`);
      await world.run(Promise.all([alice, ...attackers].map(({ swarm }) => swarm.close())));
    });
  });
}

describe('an address in the record of a peer that is connected', () => {
  for (const [name, open] of [
    ['tcp', openTcp],
    ['p2pke', openP2pke],
  ] as const) {
    it(`is not taken for reached because the peer answers over its connection: ${name}`, async () => {
      const world = new VirtualWorld({ seed: 6, trace: undefined });
      // A server that answers probes.
      const victim = world.net.host();
      await world.listener(victim, 4000);
      observing(await world.run(openUdpSwarm({ ...victim, bind: '0.0.0.0:4000' })));
      const [alice, bob, mallory] = (await Promise.all(
        [1, 2, 3].map(async (i) => {
          const host = world.net.host();
          const { swarm, probe } = await world.run(open(host, i));
          const own = swarm.addr.text;
          const addrs = (): string[] => (i === 3 ? [`${own.slice(0, 43)}@${victim.ip}:4000`] : [own]);
          const everyMs = i === 1 ? 500 : undefined;
          return { swarm, exchange: peerExchange(swarm, { privateKey: testKey(i), probe, everyMs, addrs }) };
        }),
      )) as [Target, Target, Target];
      await world.run(mallory.exchange.exchange(alice.swarm.addr));
      await world.advance(20_000);
      await world.run(bob.exchange.exchange(alice.swarm.addr));
      assert.equal(bob.exchange.record(peerIdOfKey(testKey(3).publicKey)), undefined);
      await world.run(Promise.all([alice, bob, mallory].map(({ swarm }) => swarm.close())));
    });
  }

  it('is not handed on because the program has heard from the peer: only a proof counts', async () => {
    const world = new VirtualWorld({ seed: 7, trace: undefined });
    const { swarm, probe } = await world.run(openTcp(world.net.host(), 1));
    const mallory = peerIdOfKey(testKey(3).publicKey);
    const exchange = peerExchange(swarm, { privateKey: testKey(1), probe });
    const other = await world.run(openTcp(world.net.host(), 3));
    const addr = `${mallory}@60.0.0.9:4000`;
    const theirs = peerExchange(other.swarm, { privateKey: testKey(3), addrs: () => [addr] });
    await world.run(theirs.exchange(swarm.addr));
    exchange.reached({ id: mallory, addr });
    assert.notEqual(exchange.candidates(mallory)[0]?.trust, 'reached');
    exchange.reached({ id: mallory, addr, proof: 'dialled' });
    assert.equal(exchange.candidates(mallory)[0]?.trust, 'reached');
    await world.run(Promise.all([swarm, other.swarm].map((each) => each.close())));
  });
});

describe('an address that another peer has claimed', () => {
  it('is still tried for the peer that is there, when it answered for that claim', async () => {
    const world = new VirtualWorld({ seed: 5, trace: undefined });
    const nodes = await Promise.all(
      [1, 2, 3].map(async (i) => {
        const { swarm, probe } = await world.run(openTcp(world.net.host(), i));
        return {
          swarm,
          exchange: peerExchange(swarm, { privateKey: testKey(i), probe, everyMs: i === 1 ? 500 : undefined }),
        };
      }),
    );
    const [alice, bob, mallory] = nodes as [Target, Target, Target];
    const place = `${ipOf(bob.swarm.addr)}:${portOf(bob.swarm.addr)}`;
    const wallMs = world.realm.wallMs();
    mallory.exchange[Symbol.dispose]();
    let records = poison(wallMs, 0, [place]);
    mallory.swarm.serve(() => encodeExchange(Math.floor(wallMs), records, 65_536));
    await world.run(alice.exchange.exchange(mallory.swarm.addr));
    await world.advance(5000);
    records = [bob.exchange.own.bytes];
    await world.run(alice.exchange.exchange(mallory.swarm.addr));
    await world.advance(5000);
    assert.equal(alice.exchange.candidates(peerIdOfKey(testKey(2).publicKey))[0]?.trust, 'reached');
    await world.run(Promise.all(nodes.map(({ swarm }) => swarm.close())));
  });
});
