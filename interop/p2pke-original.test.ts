/**
 * Channels with a peer that forgets as the original does, over UDP in real time. The Go peer's times are a twentieth by
 * default, so that 140 s take 7; with SHOAL_INTEROP_LONG=1 they are the original's own, and there are more fresh sessions:
 *
 *   SHOAL_INTEROP_LONG=1 node --conditions=shoal-source interop/p2pke-original.test.ts
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../src/base/index.ts';
import { generateKey } from '../src/identity/keys.ts';
import { mbapp } from '../src/wrappers/mbapp/index.ts';
import { type P2pkeAddr, p2pke } from '../src/swarms/p2pke/index.ts';
import type { SecureSwarm } from '../src/core/secure.ts';
import type { Swarm } from '../src/core/swarm.ts';
import { RESOLVED } from '../src/runtime/promises.ts';
import { type UdpAddr, openUdpSwarm } from '../src/swarms/udp.ts';
import { GoPeer, goMissing } from './go-peer.ts';

const isLong = process.env['SHOAL_INTEROP_LONG'] === '1';
const SCALE = isLong ? 1 : 0.05;
const USE_MS = 140_000 * SCALE;
const limits = { keepAliveTimeoutMs: 15_000 * SCALE, keepAliveMs: 10_000 * SCALE };
const go = (stack: string, seed: number): GoPeer => new GoPeer(stack, seed, ['--echo', '--scale', String(SCALE)]);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** Counts the messages of the Go peer that begin so; each once. */
const heardOf = (peer: GoPeer, kind: 'tell' | 'ask'): number =>
  new Set(peer.events.filter(({ event }) => event === kind).map(({ payload }) => payload)).size;

async function open(): Promise<SecureSwarm<P2pkeAddr<UdpAddr>>> {
  return p2pke(await openUdpSwarm({ bind: '127.0.0.1:0' }), { privateKey: generateKey(), limits });
}

/** Calls `act` every so often for as long as the use lasts. */
async function every(ms: number, act: (i: number) => void): Promise<number> {
  const end = performance.now() + USE_MS;
  let calls = 0;
  for (; performance.now() < end; calls++) {
    act(calls);
    await pause(ms * SCALE);
  }
  return calls;
}

/** A swarm that sends each datagram up to so many ms later. */
function reordering(inner: Swarm<UdpAddr>, jitterMs: number): Swarm<UdpAddr> {
  const tell: Swarm<UdpAddr>['tell'] = (dst, payload) => {
    const copy = payload.slice();
    setTimeout(() => void inner.tell(dst, copy).catch(() => undefined), Math.random() * jitterMs);
    return RESOLVED;
  };
  return new Proxy(inner, {
    get: (target, name) => {
      const value: unknown = name === 'tell' ? tell : Reflect.get(target, name);
      return typeof value === 'function' && name !== 'tell' ? value.bind(target) : value;
    },
  });
}

describe('p2pke with a peer that forgets as the original does', { skip: goMissing(), concurrency: 4 }, () => {
  for (const [i, everyMs] of [300, 5000, 12_000].entries()) {
    it(`tells every ${everyMs} ms of its time and loses nothing`, async () => {
      await using peer = go('udp,p2pke', 61 + i);
      await using swarm = await open();
      const dst = swarm.parseAddr(await peer.address());
      const answers = new Set<string>();
      swarm.listen(({ payload }) => void answers.add(decodeText(payload)!));
      const sent = await every(everyMs, (n) => void swarm.tell(dst, encodeText(`m${n}`)));
      await pause(1000);
      assert.equal(heardOf(peer, 'tell'), sent);
      assert.equal(answers.size, sent, 'echoes');
    });
  }

  for (const [i, everyMs] of [1000, 6000, 10_000].entries()) {
    for (const preset of [undefined, 'go-p2p'] as const) {
      it(`asks every ${everyMs} ms of its time, preset ${preset}, and each is answered`, async () => {
        await using peer = go('udp,p2pke,mbapp', 71 + 2 * i + (preset === undefined ? 0 : 1));
        await using swarm = mbapp(await open(), { preset });
        const dst = swarm.parseAddr(await peer.address());
        const asked: Promise<string | undefined>[] = [];
        const sent = await every(everyMs, (n) => {
          asked.push(swarm.ask(dst, encodeText(`q${n}`), { timeoutMs: 5000 }).then(decodeText, String));
        });
        const answers = await Promise.all(asked);
        assert.deepEqual(
          answers,
          Array.from({ length: sent }, (_, n) => `echo:q${n}`),
        );
      });
    }
  }

  it('is told every so often by it, and answers, and nothing is lost', async () => {
    await using peer = go('udp,p2pke', 81);
    await peer.address();
    await using swarm = await open();
    const heard = new Set<string>();
    swarm.listen(({ src, payload }) => {
      heard.add(decodeText(payload)!);
      void swarm.tell(src, payload);
    });
    const to = swarm.addr.text;
    const sent = await every(5000, (n) => peer.tell(to, `g${n}`));
    await pause(1000);
    assert.deepEqual([...heard].filter((text) => text.startsWith('g')).length, sent);
    const back = peer.events.filter(({ event, payload }) => event === 'tell' && payload !== undefined);
    assert.ok(back.length >= sent);
  });

  for (const [name, jitterMs, sessions] of [
    ['loopback', 0, isLong ? 800 : 100],
    ['30 ms of reordering', 30, isLong ? 90 : 30],
  ] as const) {
    it(`first data of ${sessions} fresh sessions arrives, over ${name}`, async () => {
      await using peer = new GoPeer('udp,p2pke', 91 + jitterMs);
      const address = await peer.address();
      // Open until the end: a port that came again would be a channel that the peer knows with another key.
      await using swarms = new AsyncDisposableStack();
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < sessions) {
          const n = next++;
          const udp = await openUdpSwarm({ bind: '127.0.0.1:0' });
          const inner = jitterMs === 0 ? udp : reordering(udp, jitterMs);
          const swarm = swarms.use(p2pke(inner, { privateKey: generateKey() }));
          await swarm.tell(swarm.parseAddr(address), encodeText(`s${n}`));
          await pause(300 + 4 * jitterMs);
        }
      };
      await Promise.all(Array.from({ length: 10 }, worker));
      assert.equal(heardOf(peer, 'tell'), sessions);
    });
  }
});
