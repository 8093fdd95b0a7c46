/** Hole punching over TCP, through virtual NATs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { P2PError } from '../../../src/core/errors.ts';
import { type PunchedConnection, type Puncher, tcpPuncher } from '../../../src/nat/index.ts';
import type { NatKind } from '../../../src/net/virtual/nat-rules.ts';
import type { VirtualHost, VirtualNat, VirtualNatOptions } from '../../../src/net/virtual/types.ts';
import { PunchWorld } from '../../support/punch-world.ts';
import { reading, saying } from '../../support/virtual-world.ts';

interface End {
  readonly host: VirtualHost;
  readonly nat: VirtualNat | undefined;
  readonly puncher: Puncher<PunchedConnection>;
}

const STEADY: readonly NatKind[] = ['open', 'full', 'address', 'port', 'udp-blocked'];
const KINDS: readonly NatKind[] = [...STEADY, 'sequential', 'random'];

/** What theory says: a side whose port nobody can know needs a peer that lets in every port of its address. */
function isPossible(a: NatKind, b: NatKind): boolean {
  if (STEADY.includes(a) && STEADY.includes(b)) return true;
  if (a === 'sequential' || b === 'sequential') return a !== 'random' && b !== 'random';
  const other = a === 'random' ? b : a;
  return other !== 'random' && other !== 'port' && other !== 'udp-blocked';
}

class TcpWorld extends PunchWorld {
  end(nat: VirtualNat | undefined): End {
    const host = this.world.net.host(nat === undefined ? {} : { behind: nat });
    const { network, realm } = host;
    return { host, nat, puncher: tcpPuncher({ network, realm, observers: () => this.observers }) };
  }

  natted(kind: NatKind, options?: VirtualNatOptions): End {
    return this.end(this.world.net.nat(kind, options));
  }

  async meet(initiator: End, responder: End, oneWayMs = 20): Promise<readonly [PunchedConnection, PunchedConnection]> {
    const [own, theirs] = await this.run(Promise.all([initiator.puncher.offer(), responder.puncher.offer()]));
    const ips = (of: End): readonly string[] => [of.nat?.ip ?? of.host.ip];
    const rttMs = 2 * oneWayMs;
    const late = responder.puncher.punch(theirs, own, { side: 'responder', rttMs, proven: ips(initiator) });
    late.catch(() => undefined);
    await this.world.advance(oneWayMs);
    const early = initiator.puncher.punch(own, theirs, { side: 'initiator', rttMs, proven: ips(responder) });
    early.catch(() => undefined);
    return this.run(Promise.all([early, late]));
  }

  /** Whether both hear what the other says on its connection, and nothing else. */
  async bothHear([near, far]: readonly [PunchedConnection, PunchedConnection]): Promise<boolean> {
    const heard = [reading(near.connection), reading(far.connection)];
    saying(near.connection, 'from the initiator');
    saying(far.connection, 'from the responder');
    await this.world.advance(20_000);
    return heard[0]!.text === 'from the responder' && heard[1]!.text === 'from the initiator';
  }
}

describe('punching TCP', () => {
  for (const a of KINDS) {
    for (const b of KINDS.filter((kind) => isPossible(a, kind))) {
      it(`from ${a} to ${b}`, async () => {
        const w = new TcpWorld();
        await w.observe();
        const met = await w.meet(w.natted(a), w.natted(b));
        assert.ok(await w.bothHear(met));
        // Nothing is left to wait for where both ports are steady.
        if (STEADY.includes(a) && STEADY.includes(b)) assert.ok(met[0].tookMs <= 160, `${met[0].tookMs} ms`);
      });
    }
  }

  it('with a tenth of the packets lost, ten seeds', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      for (const [a, b] of [
        ['port', 'port'],
        ['full', 'random'],
        ['random', 'address'],
        ['sequential', 'port'],
        ['open', 'port'],
      ] as const) {
        const w = new TcpWorld({ seed });
        await w.observe();
        const link = { loss: 0.1 };
        const met = await w.meet(w.natted(a, { link }), w.natted(b, { link }));
        assert.ok(await w.bothHear(met), `${a} to ${b}, seed ${seed}`);
      }
    }
  });

  it('NATs that answer unknown SYNs with an RST are crossed, too', async () => {
    for (const [a, b] of [
      ['port', 'port'],
      ['full', 'address'],
    ] as const) {
      for (const oneWayMs of [5, 20, 100]) {
        const w = new TcpWorld();
        await w.observe();
        const unsolicited = 'reject';
        const met = await w.meet(w.natted(a, { unsolicited }), w.natted(b, { unsolicited }), oneWayMs);
        assert.ok(await w.bothHear(met));
      }
    }
  });

  it('public hosts and hosts of one LAN meet as well', async () => {
    const w = new TcpWorld();
    await w.observe();
    assert.ok(await w.bothHear(await w.meet(w.end(undefined), w.end(undefined))));
    const nat = w.world.net.nat('random');
    const [left, right] = [w.end(nat), w.end(nat)];
    const met = await w.meet(left, right);
    assert.equal(met[0].remote.ip, right.host.ip);
    assert.ok(await w.bothHear(met));
  });

  it('two IPv6 firewalls', async () => {
    const w = new TcpWorld({ ipv6: true });
    await w.observe();
    const met = await w.meet(w.natted('random'), w.natted('random'));
    assert.match(met[0].remote.ip, /^2a10/);
    assert.ok(await w.bothHear(met));
  });

  it('a port that nobody can know and a peer that filters by port: fails, and says why', async () => {
    for (const [a, b] of [
      ['port', 'random'],
      ['random', 'port'],
    ] as const) {
      const w = new TcpWorld();
      await w.observe();
      await assert.rejects(w.meet(w.natted(a), w.natted(b)), (error) => {
        assert.ok(P2PError.is(error, 'timeout'));
        assert.match(error.message, /gives random ports/);
        return true;
      });
    }
    const w = new TcpWorld();
    await w.observe();
    await assert.rejects(w.meet(w.natted('random'), w.natted('random')), /only a relay can work/);
  });

  it('several connections become one, of which the program gets every byte', async () => {
    // On a LAN with hairpin there are two ways to the other one.
    const w = new TcpWorld();
    await w.observe();
    const nat = w.world.net.nat('full', { hairpin: true });
    const [left, right] = [w.end(nat), w.end(nat)];
    const met = await w.meet(left, right);
    assert.deepEqual(met[0].connection.local, met[1].connection.remote);
    assert.ok(await w.bothHear(met));
  });

  it('what does not know the tokens ends the connection; the peer still gets through', async () => {
    const w = new TcpWorld();
    await w.observe();
    const [left, right] = [w.end(undefined), w.end(undefined)];
    const [own, theirs] = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
    const stranger = w.world.net.host();
    const punch = right.puncher.punch(theirs, { ...own, addrs: [], ports: 'random' }, { side: 'responder' });
    await assert.rejects(w.run(punch), (error) => P2PError.is(error, 'unreachable'));
    const again = await w.run(right.puncher.offer());
    // The initiator's NAT gives random ports, it says; so the responder listens.
    const waits = right.puncher.punch(again, { ...own, ports: 'random' }, { side: 'responder', rttMs: 40 });
    waits.catch(() => undefined);
    await w.world.advance(300);
    const port = again.addrs[0]!.port;
    const connection = await w.run(w.world.dial(stranger, { ip: right.host.ip, port }));
    const heard = reading(connection);
    saying(connection, 'x'.repeat(60));
    await w.world.advance(200);
    assert.equal(heard.text, '');
    assert.ok(heard.end !== undefined);
    const met = left.puncher.punch(own, again, { side: 'initiator', rttMs: 40 });
    const both = await w.run(Promise.all([met, waits]));
    assert.ok(await w.bothHear(both));
  });

  it('an offer is good for one punch of the puncher that made it', async () => {
    const w = new TcpWorld();
    await w.observe();
    const [left, right] = [w.natted('port'), w.natted('port')];
    const theirs = await w.run(right.puncher.offer());
    await assert.rejects(w.run(left.puncher.punch(theirs, theirs, { side: 'initiator' })), (error) =>
      P2PError.is(error, 'unsupported'),
    );
  });

  it('a victim that is named gets ten SYNs, and no more', async () => {
    const w = new TcpWorld();
    await w.observe();
    const left = w.natted('port');
    const victim = w.world.net.host({ ip: '12.0.0.7' });
    const own = await w.run(left.puncher.offer());
    const addrs = Array.from({ length: 8 }, (_, i) => ({ ip: '12.0.0.7', port: 5000 + i }));
    const theirs = { token: new Uint8Array(16), addrs, ports: 'steady' } as const;
    await assert.rejects(w.run(left.puncher.punch(own, theirs, { side: 'initiator' })), (error) =>
      P2PError.is(error, 'timeout'),
    );
    const got = [...victim.counters.drops.values()].reduce((sum, one) => sum + one, 0);
    assert.ok(got <= 10, `${got} packets`);
  });

  it('ends with its signal and with its puncher', async () => {
    const w = new TcpWorld();
    await w.observe();
    const [left, right] = [w.natted('port'), w.natted('port')];
    const [own, theirs] = await w.run(Promise.all([left.puncher.offer(), right.puncher.offer()]));
    const stop = new AbortController();
    const stopped = left.puncher.punch(own, theirs, { side: 'initiator', signal: stop.signal });
    await w.world.advance(100);
    stop.abort(new Error('enough'));
    await assert.rejects(w.run(stopped), /enough/);
    const sent = left.host.counters.sent;
    await w.world.advance(20_000);
    assert.equal(left.host.counters.sent, sent);
    const other = await w.run(left.puncher.offer());
    const closed = left.puncher.punch(other, theirs, { side: 'initiator' });
    closed.catch(() => undefined);
    await w.world.advance(100);
    await left.puncher[Symbol.asyncDispose]();
    await assert.rejects(w.run(closed), (error) => P2PError.is(error, 'closed'));
  });
});
