/** Which pairs of NATs can be crossed from both sides at once: what theory says, and what kernels do. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { SocketAddress } from '../../../src/base/ip.ts';
import type { NatKind } from '../../../src/net/virtual/nat-rules.ts';
import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { reading, saying, VirtualWorld } from '../../support/virtual-world.ts';

const KINDS: readonly NatKind[] = ['open', 'full', 'address', 'port', 'sequential', 'random', 'udp-blocked'];
const isSteady = (kind: NatKind): boolean => ['open', 'full', 'address', 'port'].includes(kind);

/** Whether two peers that know as whom a server sees them get through to each other. */
function shouldMeet(a: NatKind, b: NatKind, protocol: 'udp' | 'tcp'): boolean {
  if (protocol === 'udp' && (a === 'udp-blocked' || b === 'udp-blocked')) return false;
  const [left, right] = [a, b].map((kind) => (kind === 'udp-blocked' ? 'port' : kind)) as [NatKind, NatKind];
  if (isSteady(left) && isSteady(right)) return true;
  // One whose port nobody can know needs a peer that takes whatever port comes from its address.
  const other = isSteady(left) ? left : right;
  return (isSteady(left) || isSteady(right)) && other !== 'port';
}

async function udpMeets(a: NatKind, b: NatKind): Promise<boolean> {
  const w = new VirtualWorld();
  const server = await w.ear(w.net.host({ ip: '12.0.0.2' }), 3478);
  const [alice, bob] = [a, b].map((kind) => w.net.host({ behind: w.net.nat(kind) })) as [VirtualHost, VirtualHost];
  const ears = [await w.ear(alice, 5000), await w.ear(bob, 5000)] as const;
  const known = { ip: '12.0.0.2', port: 3478 };
  const seen = [await w.seenBy(server, ears[0], known), await w.seenBy(server, ears[1], known)];
  const heard: string[][] = [[], []];
  // Each takes the source of what comes for the peer, as every real program does.
  const targets = [seen[1]!, seen[0]!];
  for (const [i, { socket }] of ears.entries()) {
    socket.sink = {
      onDatagram: (payload, ip, port) => {
        heard[i]!.push(String(payload[0]));
        targets[i] = { ip, port };
      },
    };
  }
  for (let round = 0; round < 5; round++) {
    for (const [i, { socket }] of ears.entries()) {
      const { ip, port } = targets[i]!;
      if (port !== 0) socket.send(Uint8Array.of(i), ip, port);
    }
    await w.advance(50);
  }
  return heard.every((all) => all.length > 0);
}

async function tcpMeets(a: NatKind, b: NatKind): Promise<boolean> {
  const w = new VirtualWorld();
  const server = w.net.host();
  const come = await w.listener(server, 3478);
  const hosts = [a, b].map((kind) => w.net.host({ behind: w.net.nat(kind) }));
  const seen: SocketAddress[] = [];
  for (const host of hosts) {
    const connection = await w.run(w.dial(host, { ip: server.ip, port: 3478 }, 5000));
    await w.advance(100);
    seen.push(come.at(-1)!.remote);
    connection.pipe.destroy();
    await w.advance(100);
  }
  const dials = hosts.map((host, i) => w.dial(host, seen[1 - i]!, 5000));
  const made = await w.run(Promise.allSettled(dials));
  return made.every(({ status }) => status === 'fulfilled');
}

describe('punching', () => {
  for (const a of KINDS) {
    it(`UDP from behind ${a}, to every other kind`, async () => {
      for (const b of KINDS) assert.equal(await udpMeets(a, b), shouldMeet(a, b, 'udp'), `${a} and ${b}`);
    });
  }

  it('TCP by simultaneous open: between steady ports, never where one is unknown', async () => {
    for (const a of ['open', 'full', 'address', 'port', 'sequential', 'random'] as const) {
      for (const b of ['open', 'full', 'address', 'port', 'sequential', 'random'] as const) {
        // Both dial only what they were told, so an unknown port cannot be met half-way.
        const expected = isSteady(a) && isSteady(b);
        assert.equal(await tcpMeets(a, b), expected, `${a} and ${b}`);
      }
    }
  });

  it('both ends of a simultaneous open carry bytes, and half-close', async () => {
    const w = new VirtualWorld();
    const nats = [w.net.nat('port'), w.net.nat('port')];
    const hosts = nats.map((behind) => w.net.host({ behind }));
    const dials = hosts.map((host, i) => w.dial(host, { ip: nats[1 - i]!.ip, port: 5000 }, 5000));
    const [near, far] = await w.run(Promise.all(dials));
    const [nearRead, farRead] = [reading(near!), reading(far!)];
    saying(near!, 'from near');
    saying(far!, 'from far');
    near!.pipe.end();
    await w.advance(1000);
    assert.deepEqual([nearRead, farRead], [{ text: 'from far' }, { text: 'from near', end: 'ended' }]);
  });

  it('a random port is found by many sockets on its side, and by many guesses on the other', async () => {
    const w = new VirtualWorld();
    const range = { portRange: [40_000, 40_255] } as const;
    const [steadyNat, randomNat] = [w.net.nat('port'), w.net.nat('random', range)];
    const steady = await w.ear(w.net.host({ behind: steadyNat }), 5000);
    const random = w.net.host({ behind: randomNat });
    for (let i = 0; i < 16; i++) (await w.ear(random)).say('opening', { ip: steadyNat.ip, port: 5000 });
    for (let i = 0; i < 64; i++) steady.say('guess', { ip: randomNat.ip, port: 40_000 + 4 * i });
    await w.advance(1000);
    // Those that were guessed got through, in both directions, and no others.
    assert.ok(steady.heard.length > 0 && steady.heard.length < 16, `${steady.heard.length} of 16`);
    assert.equal(random.counters.received, steady.heard.length);
  });

  it('a low TTL opens the own NAT and does not reach the other', async () => {
    const w = new VirtualWorld();
    const [near, far] = [w.net.nat('port'), w.net.nat('port')];
    const a = await w.ear(w.net.host({ behind: near }), 5000);
    const b = await w.ear(w.net.host({ behind: far }), 5000);
    a.say('opens', { ip: far.ip, port: 5000 }, 3);
    await w.advance(1000);
    assert.equal(far.counters.drops.size, 0);
    assert.equal(near.mappings, 1);
    b.say('comes in', { ip: near.ip, port: 5000 });
    await w.advance(1000);
    assert.deepEqual([a.heard, b.heard], [[`comes in from ${far.ip}:5000`], []]);
    // With a TTL of 1 not even the own NAT is passed.
    a.say('dies', { ip: '12.9.9.9', port: 5000 }, 1);
    await w.advance(1000);
    assert.deepEqual([near.mappings, near.counters.drops.get('ip.ttl')], [1, 2]);
  });

  it('an IPv6 firewall lets in whom its host has sent to: both must send', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const hosts = [w.net.host({ behind: w.net.nat('port') }), w.net.host({ behind: w.net.nat('port') })];
    const [a, b] = [await w.ear(hosts[0]!, 5000), await w.ear(hosts[1]!, 5000)];
    const addresses = hosts.map(({ ips }) => ({ ip: ips.find((ip) => ip.startsWith('2a10'))!, port: 5000 }));
    a.say('alone', addresses[1]!);
    await w.advance(1000);
    assert.deepEqual(b.heard, []);
    b.say('both', addresses[0]!);
    await w.advance(1000);
    assert.deepEqual(a.heard, [`both from ${addresses[1]!.ip}:5000`]);
    a.say('now', addresses[1]!);
    await w.advance(1000);
    assert.deepEqual(b.heard, [`now from ${addresses[0]!.ip}:5000`]);
  });

  it('without a firewall one side that sends over IPv6 is enough, UDP and TCP', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const host = w.net.host({ behind: w.net.nat('port', { ipv6Filtering: 'endpoint-independent' }) });
    const far = w.net.host({ behind: w.net.nat('port') });
    const ip = host.ips.find((each) => each.startsWith('2a10'))!;
    const ear = await w.ear(host, 5000);
    (await w.ear(far)).say('hello', { ip, port: 5000 });
    const come = await w.listener(host, 80, '::');
    await w.run(far.network.dial({ remote: { ip, port: 80 }, signal: new AbortController().signal }));
    await w.advance(100);
    assert.deepEqual([ear.heard.length, come.length], [1, 1]);
  });
});
