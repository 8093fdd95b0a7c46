/** TCP of virtual hosts where the network is bad: everything arrives once and in order, or both ends learn that it does not. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import type { LinkConfig } from '../../../src/net/memory/links.ts';
import type { RawConnection } from '../../../src/net/network.ts';
import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { reading, saying, VirtualWorld } from '../../support/virtual-world.ts';

/** Reads everything, and stops reading now and then. */
function collecting(w: VirtualWorld, { pipe }: RawConnection, seed: number) {
  const random = createSeededRandom(seed);
  const chunks: Uint8Array[] = [];
  const state = { hasEnded: false, closed: undefined as string | undefined };
  pipe.sink = {
    onData: (chunk) => {
      chunks.push(chunk);
      if (random.next() > 0.05) return;
      pipe.pause();
      w.realm.clock.setTimer(w.realm.nowMs() + random.next() * 2000, () => pipe.resume());
    },
    onEnd: () => (state.hasEnded = true),
    onClose: (error) => (state.closed = error?.message ?? 'closed'),
  };
  pipe.resume();
  return { state, bytes: () => concatBytes(...chunks) };
}

async function pair(w: VirtualWorld, near: VirtualHost, far: VirtualHost): Promise<[RawConnection, RawConnection]> {
  const come = await w.listener(far, 80);
  const connection = await w.run(w.dial(near, { ip: far.ip, port: 80 }, undefined, 200_000));
  for (let i = 0; i < 200 && come.length === 0; i++) await w.advance(1000);
  return [connection, come[0]!];
}

const lengthsOf = (read: ReturnType<typeof collecting>): string =>
  `${read.bytes().length} bytes, ${JSON.stringify(read.state)}`;

const BAD: readonly LinkConfig[] = [
  'lossy',
  { loss: 0.15, latencyMs: 10 },
  { reorder: 0.5, latencyMs: 30, duplicate: 0.3 },
  { corrupt: 0.1, truncate: 0.1 },
  { bytesPerSecond: 100_000, queueBytes: 30_000, latencyMs: 5 },
];

describe('TCP over a bad network', () => {
  for (const link of BAD) {
    for (let seed = 1; seed <= 4; seed++) {
      it(`${JSON.stringify(link)}, seed ${seed}: all bytes arrive in order in both directions, and both ends close`, async () => {
        const w = new VirtualWorld({ seed, trace: undefined, tcpWindowBytes: 30_000 });
        const [near, far] = await pair(w, w.net.host({ behind: w.net.nat('port'), link }), w.net.host({ link }));
        const data = createSeededRandom(seed).bytes(400_000);
        const [nearRead, farRead] = [collecting(w, near, seed), collecting(w, far, seed + 100)];
        for (let at = 0; at < data.length; at += 50_000) {
          near.pipe.write([data.subarray(at, at + 50_000)], () => undefined);
          far.pipe.write([data.subarray(at, at + 50_000)], () => undefined);
        }
        near.pipe.end();
        far.pipe.end();
        await w.advance(3_000_000);
        // Not deepEqual: what it would write about 400 000 bytes fills the memory.
        for (const read of [farRead, nearRead]) assert.equal(Buffer.compare(read.bytes(), data), 0, lengthsOf(read));
        const over = { hasEnded: true, closed: 'closed' };
        assert.deepEqual([nearRead.state, farRead.state], [over, over]);
      });
    }
  }

  it('a dial that nobody answers is a timeout after two minutes, and every SYN of it was sent', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('port');
    const dialling = w.run(w.dial(w.net.host({ name: 'caller' }), { ip: nat.ip, port: 80 }, undefined, 1_000_000));
    await assert.rejects(dialling, /no answer/);
    assert.equal(w.realm.nowMs(), 127_000);
    assert.equal(w.trace.filter((line) => line.includes('caller: tcp') && line.endsWith('sent')).length, 7);
  });

  it('a connection that is cut off gives up after a quarter of an hour, when it has something to send', async () => {
    const w = new VirtualWorld();
    const [a, b] = [w.net.host(), w.net.host()];
    const [near, far] = await pair(w, a, b);
    const [nearRead, farRead] = [reading(near), reading(far)];
    b.down();
    saying(near, 'hello?');
    await w.advance(600_000);
    assert.equal(nearRead.end, undefined);
    await w.advance(1_400_000);
    assert.match(nearRead.end ?? '', /does not answer/);
    assert.equal(farRead.end, undefined, 'who has nothing to send does not know');
  });

  it('keep-alive finds out a peer that is gone, and keeps a NAT open that would forget', async () => {
    const w = new VirtualWorld();
    const server = w.net.host();
    const come = await w.listener(server, 80);
    const host = w.net.host({ behind: w.net.nat('port', { tcpTimeoutMs: 100_000 }) });
    const near = await w.run(
      host.network.dial({
        remote: { ip: server.ip, port: 80 },
        signal: new AbortController().signal,
        keepAliveMs: 60_000,
      }),
    );
    await w.advance(100);
    const read = reading(near);
    await w.advance(3_000_000);
    saying(come[0]!, 'still here');
    await w.advance(1000);
    assert.equal(read.text, 'still here');
    server.down();
    await w.advance(69_000);
    assert.equal(read.end, undefined);
    await w.advance(3000);
    assert.match(read.end ?? '', /does not answer/);
  });

  it('keep-alive ends its wait at moments that no number holds exactly', async () => {
    for (let i = 0; i < 60; i++) {
      const w = new VirtualWorld({ latencyMs: 20 + i / 7, trace: undefined });
      const server = w.net.host();
      const come = await w.listener(server, 80);
      const remote = { ip: server.ip, port: 80 };
      const options = { remote, signal: new AbortController().signal, keepAliveMs: 15_000 };
      const near = await w.run(w.net.host().network.dial(options));
      await w.advance(100 + i / 3);
      const read = reading(near);
      saying(come[0]!, 'heard at a third of a millisecond');
      await w.advance(100_000);
      assert.equal(read.end, undefined);
    }
  });

  it('a peer that has restarted answers with a reset', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('open');
    const [a, b] = [w.net.host(), w.net.host({ behind: nat })];
    const [near] = await pair(w, a, b);
    const read = reading(near);
    const { ip } = b;
    b.move({ behind: w.net.nat('port') });
    w.net.host({ behind: nat, ip });
    saying(near, 'hello?');
    await w.advance(1000);
    assert.match(read.end ?? '', /reset/);
  });

  it('a shut window stays shut for hours and the connection lives; when it opens, everything arrives', async () => {
    const w = new VirtualWorld({ tcpWindowBytes: 1000 });
    const [near, far] = await pair(w, w.net.host(), w.net.host());
    let written = false;
    near.pipe.write([new Uint8Array(50_000).fill(65)], () => (written = true));
    await w.advance(10_000_000);
    assert.equal(written, false);
    const read = reading(far);
    await w.advance(200_000);
    assert.deepEqual([written, read.text.length, read.end], [true, 50_000, undefined]);
  });

  it('more callers than the backlog wait for their next SYN', async () => {
    const w = new VirtualWorld();
    const server = w.net.host();
    let come = 0;
    await server.network.listen({
      bind: { ip: '0.0.0.0', port: 80 },
      backlog: 3,
      reusePort: false,
      onError: () => undefined,
      onConnection: () => void come++,
    });
    const host = w.net.host();
    const dials = Array.from({ length: 9 }, () => w.dial(host, { ip: server.ip, port: 80 }, undefined, 100_000));
    await w.advance(100);
    assert.deepEqual([come, server.counters.drops.get('host.backlog_full')], [3, 6]);
    await w.run(Promise.all(dials));
    await w.advance(100);
    assert.equal(come, 9);
  });

  it('what nobody holds any more does not stay: a thousand connections that are destroyed leave nothing armed', async () => {
    const w = new VirtualWorld({ trace: undefined });
    const [host, server] = [w.net.host(), w.net.host()];
    const come = await w.listener(server, 80);
    for (let i = 0; i < 1000; i++) {
      const { pipe } = await w.run(w.dial(host, { ip: server.ip, port: 80 }, 5000 + i));
      pipe.destroy();
    }
    await w.advance(1000);
    assert.equal(come.length, 1000);
    await w.advance(200_000);
    // The far side is still half open: a word of it is answered by a reset.
    const read = reading(come[7]!);
    saying(come[7]!, 'hello?');
    await w.advance(1000);
    assert.match(read.end ?? '', /reset/);
  });
});
