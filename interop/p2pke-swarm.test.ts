/** The p2pke swarm over UDP against the independent Go peer. Real time; the one long wait is the point of its test. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText, receiveOne } from '../src/index.ts';
import { generateKey, peerIdOf } from '../src/identity/keys.ts';
import { type P2pkeAddr, type P2pkeOptions, p2pke, p2pkeAddr } from '../src/swarms/p2pke/index.ts';
import { type SecureSwarm } from '../src/core/secure.ts';
import { type UdpAddr, openUdpSwarm } from '../src/swarms/udp.ts';
import { GoPeer, goMissing } from './go-peer.ts';

async function open(options: Partial<P2pkeOptions<UdpAddr>> = {}): Promise<SecureSwarm<P2pkeAddr<UdpAddr>>> {
  return p2pke(await openUdpSwarm({ bind: '127.0.0.1:0' }), { privateKey: generateKey(), ...options });
}

describe('the p2pke swarm with the independent Go peer', { skip: goMissing(), concurrency: true }, () => {
  it('tells and is told, with addresses that both read', async () => {
    await using go = new GoPeer('udp,p2pke', 41, ['--echo']);
    await using swarm = await open();
    const dst = swarm.parseAddr(await go.address());
    const answer = receiveOne(swarm, { timeoutMs: 5000 });
    await swarm.tell(dst, encodeText('hello'));
    assert.equal(await go.text(), 'hello');
    const { src, payload } = await answer;
    assert.equal(src.text, dst.text);
    assert.equal(decodeText(payload), 'echo:hello');
    assert.equal(peerIdOf(swarm.knownPublicKey(src)!), dst.id);
  });

  it('is dialled by Go, and tells back', async () => {
    await using go = new GoPeer('udp,p2pke', 42);
    await go.address();
    await using swarm = await open();
    const told = receiveOne(swarm, { timeoutMs: 5000 });
    go.tell(swarm.addr.text, 'from Go');
    const { src, payload } = await told;
    assert.equal(decodeText(payload), 'from Go');
    await swarm.tell(src, encodeText('back'));
    assert.equal(await go.text(), 'back');
  });

  it('finds a wrong ID out at once', async () => {
    await using go = new GoPeer('udp,p2pke', 43);
    await using swarm = await open();
    const { inner } = swarm.parseAddr(await go.address());
    const wrong = p2pkeAddr(peerIdOf(generateKey().publicKey), inner);
    await assert.rejects(swarm.tell(wrong, encodeText('x')), { code: 'identity_mismatch' });
  });

  it('looks a key up, is silent for 16 s, and tells without a storm (P1)', async () => {
    await using go = new GoPeer('udp,p2pke', 44);
    await using swarm = await open();
    const dst = swarm.parseAddr(await go.address());
    assert.equal(peerIdOf(await swarm.lookupPublicKey(dst)), dst.id);
    await new Promise((resolve) => setTimeout(resolve, 16_000));
    const { sent } = swarm.counters.inner!;
    await swarm.tell(dst, encodeText('still there?'));
    assert.equal(await go.text(), 'still there?');
    assert.ok(swarm.counters.inner!.sent - sent < 10, 'more than a handshake and a message were sent');
  });

  it('rolls sessions over without losing a message', async () => {
    await using go = new GoPeer('udp,p2pke', 45, ['--echo']);
    await using swarm = await open({ limits: { rekeyAfterMs: 100 } });
    const dst = swarm.parseAddr(await go.address());
    const heard = new Set<string>();
    let wake: (() => void) | undefined;
    swarm.listen(({ payload }) => {
      heard.add(decodeText(payload)!);
      wake?.();
    });
    for (let i = 0; i < 60; i++) {
      const came = new Promise<void>((resolve) => (wake = resolve));
      await swarm.tell(dst, encodeText(`m${i}`));
      await came;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(heard.size, 60);
  });
});
