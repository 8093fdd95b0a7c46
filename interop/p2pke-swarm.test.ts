/** The p2pke swarm over UDP against the independent Go peer. Real time; the one long wait is the point of its test. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { AcceptPeer } from '../src/core/accept.ts';
import { decodeText, encodeText } from '../src/base/index.ts';
import { receiveOne } from '../src/index.ts';
import { generateKey, peerIdOfKey } from '../src/identity/keys.ts';
import { type P2pkeOptions, type P2pkeSwarm, p2pke, p2pkeAddr } from '../src/swarms/p2pke/index.ts';
import { type UdpAddr, openUdpSwarm } from '../src/swarms/udp.ts';
import { GoPeer, goMissing } from './go-peer.ts';

async function open(options: Partial<P2pkeOptions<UdpAddr>> = {}): Promise<P2pkeSwarm<UdpAddr>> {
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
    assert.equal(peerIdOfKey(swarm.knownPublicKey(src)!), dst.id);
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

  it('judges Go for a second when it dials, and loses none of its first data', async () => {
    await using go = new GoPeer('udp,p2pke', 45);
    await go.address();
    const asked: AcceptPeer[] = [];
    const accept = async (peer: AcceptPeer): Promise<boolean> => {
      asked.push(peer);
      await delay(1000);
      return true;
    };
    await using swarm = await open({ accept });
    const told = receiveOne(swarm, { timeoutMs: 10_000 });
    go.tell(swarm.addr.text, 'first');
    const { src, payload } = await told;
    assert.equal(decodeText(payload), 'first');
    assert.deepEqual(
      asked.map(({ id, side }) => [id, side]),
      [[src.id, 'initiator']],
    );
    await swarm.tell(src, encodeText('back'));
    assert.equal(await go.text(), 'back');
  });

  it('judges Go for a second when it is dialled', async () => {
    await using go = new GoPeer('udp,p2pke', 46);
    await using swarm = await open({ accept: () => delay(1000, true) });
    await swarm.tell(await go.address(), encodeText('first'));
    assert.equal(await go.text(), 'first');
  });

  it('hears nothing of a Go peer that is refused, or that is never judged', async () => {
    for (const accept of [() => delay(100, false), () => new Promise<boolean>(() => undefined)]) {
      await using go = new GoPeer('udp,p2pke', 47);
      await go.address();
      await using swarm = await open({ accept });
      let heard = 0;
      swarm.listen(() => void heard++);
      const refused = new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          if ((swarm.counters.drops.get('p2pke.not_accepted') ?? 0) === 0) return;
          clearInterval(timer);
          resolve();
        }, 50);
      });
      go.tell(swarm.addr.text, 'let me in');
      await refused;
      assert.equal(heard, 0);
    }
  });

  it('finds a wrong ID out at once', async () => {
    await using go = new GoPeer('udp,p2pke', 43);
    await using swarm = await open();
    const { inner } = swarm.parseAddr(await go.address());
    const wrong = p2pkeAddr(peerIdOfKey(generateKey().publicKey), inner);
    await assert.rejects(swarm.tell(wrong, encodeText('x')), { code: 'identity_mismatch' });
  });

  it('looks a key up, is silent for 16 s, and tells without a storm (P1)', async () => {
    await using go = new GoPeer('udp,p2pke', 44);
    await using swarm = await open();
    const dst = swarm.parseAddr(await go.address());
    assert.equal(peerIdOfKey(await swarm.lookupPublicKey(dst)), dst.id);
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
