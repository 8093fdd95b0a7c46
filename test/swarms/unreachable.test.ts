/** Addresses of IP that are of no single host: udp, and what stands on it, says so at once. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { canonicalIp, whyNoHost } from '../../src/base/ip.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { openQuicSwarm } from '../../src/swarms/quic/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf } from '../support/p2pke-world.ts';

const NOBODY = [
  '0.0.0.0:5',
  '[::]:5',
  '224.0.0.1:5',
  '239.255.255.250:1900',
  '255.255.255.255:5',
  '240.0.0.1:5',
  '[ff02::1]:5',
];

async function assertUnreachable(told: Promise<unknown>): Promise<void> {
  const error: unknown = await told.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(P2PError.is(error, 'unreachable'), String(error));
  assert.deepEqual([error.side, error.sent], ['local', 'no']);
}

describe('an address of no single host', () => {
  it('is told from others by its text', () => {
    for (const ip of [
      '0.0.0.0',
      '0.1.2.3',
      '::',
      '224.0.0.1',
      '239.1.1.1',
      '240.0.0.1',
      '255.255.255.255',
      'ff02::1',
      'ffff::',
    ]) {
      assert.equal(typeof whyNoHost(ip), 'string', ip);
      assert.equal(canonicalIp(ip), ip);
    }
    for (const ip of [
      '1.2.3.4',
      '223.255.255.255',
      '22.4.0.1',
      '2.240.0.1',
      '10.0.0.1',
      '::1',
      'fe80::1',
      'ff::1',
      '0:1::1',
      '2001:db8::1',
    ]) {
      assert.equal(whyNoHost(ip), undefined, ip);
    }
  });

  it('is unreachable at once over udp, and counted', async () => {
    await using swarm = await openUdpSwarm({ bind: '[::]:0' });
    for (const text of NOBODY) await assertUnreachable(swarm.tell(swarm.parseAddr(text), Uint8Array.of(1)));
    assert.equal(swarm.counters.drops.get('tell.unreachable'), NOBODY.length);
    assert.equal(swarm.counters.sent, 0);
  });

  it('is unreachable at once over p2pke, for tells and look-ups; nothing is left behind', async () => {
    await using swarm = p2pke(await openUdpSwarm({ bind: '[::]:0' }), { privateKey: testKey(1), timeoutMs: Infinity });
    for (const text of NOBODY) {
      const dst = swarm.parseAddr(`${idOf(2)}@${text}`);
      await assertUnreachable(swarm.tell(dst, Uint8Array.of(1)));
      await assertUnreachable(swarm.lookupPublicKey(dst));
    }
  });

  it('is unreachable at once over quic, for tells and asks', async () => {
    await using swarm = await openQuicSwarm({ bind: '[::]:0', privateKey: testKey(1) });
    for (const text of NOBODY) {
      const [one, other] = [2, 3].map((key) => swarm.parseAddr(`${idOf(key)}@${text}`));
      const options = { timeoutMs: Infinity };
      await assertUnreachable(swarm.tell(one!, Uint8Array.of(1), options));
      await assertUnreachable(swarm.ask(other!, Uint8Array.of(1), options));
    }
  });

  it('that only the kernel knows ends the wait of p2pke as soon as it says so', async () => {
    await using swarm = p2pke(await openUdpSwarm({ bind: '127.0.0.1:0' }), {
      privateKey: testKey(1),
      timeoutMs: Infinity,
    });
    // The broadcast address of the loopback network, on Linux; elsewhere the kernel says that there is no route.
    const dst = swarm.parseAddr(`${idOf(2)}@127.255.255.255:5`);
    await assertUnreachable(swarm.tell(dst, Uint8Array.of(1)));
  });
});
