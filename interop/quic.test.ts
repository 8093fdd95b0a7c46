/** QUIC against the independent Go peer, on the library that go-p2p uses and with the habits of its quicswarm. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError, Refusal } from '../src/core/errors.ts';
import type { SecureAskSwarm } from '../src/core/secure.ts';
import { type QuicAddr, type QuicSwarmOptions, openQuicSwarm } from '../src/swarms/quic/index.ts';
import type { UdpAddr } from '../src/swarms/udp.ts';
import { testKey } from '../src/testing/test-key.ts';
import { GoPeer, goMissing } from './go-peer.ts';

type Quic = SecureAskSwarm<QuicAddr<UdpAddr>>;

const openOurs = (options: Partial<QuicSwarmOptions<UdpAddr>> = {}): Promise<Quic> =>
  openQuicSwarm({ bind: '127.0.0.1:0', privateKey: testKey(3), preset: 'go-p2p', ...options });
const ourAddress = (swarm: Quic): string => swarm.addr.text;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (payload: Uint8Array): string => new TextDecoder().decode(payload);
const base64 = (payload: Uint8Array): string => Buffer.from(payload).toString('base64');

async function failureOf(promise: Promise<unknown>): Promise<P2PError> {
  const error: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(P2PError.is(error), String(error));
  return error;
}

/** Resolves with the next thing that a callback is called with. */
function calls<T>(): { readonly call: (value: T) => void; readonly next: () => Promise<T> } {
  const values: T[] = [];
  const waiters: ((value: T) => void)[] = [];
  return {
    call: (value) => {
      const waiter = waiters.shift();
      if (waiter === undefined) values.push(value);
      else waiter(value);
    },
    next: () =>
      values.length > 0 ? Promise.resolve(values.shift()!) : new Promise((resolve) => waiters.push(resolve)),
  };
}

describe('quic with the independent Go peer: we dial', { skip: goMissing() }, () => {
  it('asks are answered: short ones, empty ones, and ones of a megabyte', async () => {
    await using go = new GoPeer('udp,quic', 1);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    for (const size of [4, 0, 1000, 100_000, 1_048_576]) {
      const request = new Uint8Array(size).fill(7);
      assert.deepEqual(await us.ask(dst, request), request);
    }
  });

  it('a refusal, which is an end without a frame there, is refused here', async () => {
    await using go = new GoPeer('udp,quic', 2);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    assert.equal((await failureOf(us.ask(dst, bytes('refuse')))).code, 'refused');
    assert.equal(textOf(await us.ask(dst, bytes('again'))), 'again');
  });

  it('an answer that is larger than we take fails here, and the next ask goes on', async () => {
    await using go = new GoPeer('udp,quic', 3);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    const error = await failureOf(us.ask(dst, bytes('size:1048577')));
    assert.deepEqual([error.code, error.side], ['limit_exceeded', 'local']);
    const own = await failureOf(us.ask(dst, bytes('size:101'), { maxResponseBytes: 100 }));
    assert.equal(own.code, 'limit_exceeded');
    assert.equal((await us.ask(dst, bytes('size:1048576'))).length, 1_048_576);
  });

  it('tells arrive whole: empty ones, and ones of a megabyte', async () => {
    await using go = new GoPeer('udp,quic', 4);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    for (const size of [0, 5, 1_048_576]) {
      await us.tell(dst, new Uint8Array(size).fill(size % 251));
      const { payload = '' } = await go.next('tell');
      assert.deepEqual(Buffer.from(payload, 'base64'), Buffer.alloc(size, size % 251));
    }
  });

  it('a thousand asks go over one connection, though the peer never reads to an end', async () => {
    await using go = new GoPeer('udp,quic', 5);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => us.ask(dst, bytes(`${round}/${i}`))));
      assert.deepEqual(
        answers.map(textOf),
        Array.from({ length: 200 }, (_, i) => `${round}/${i}`),
      );
    }
    assert.equal(go.events.filter(({ event }) => event === 'session').length, 1);
  });

  it('a thousand tells at once wait for streams, and all arrive', async () => {
    await using go = new GoPeer('udp,quic', 6);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    await Promise.all(Array.from({ length: 1000 }, (_, i) => us.tell(dst, Uint8Array.of(i >> 8, i))));
    const got = new Set<string>();
    while (got.size < 1000) got.add((await go.next('tell')).payload!);
  });

  it('another key than the address says is an identity mismatch, and the connection is closed', async () => {
    await using go = new GoPeer('udp,quic', 7);
    await using us = await openOurs();
    const address = await go.address();
    const dst = us.parseAddr(address.replace(/^[^@]*/, '-'.repeat(43)));
    assert.equal((await failureOf(us.ask(dst, bytes('x')))).code, 'identity_mismatch');
  });

  it('a peer of another application protocol is refused', async () => {
    await using go = new GoPeer('udp,quic', 8, ['--alpn', 'other']);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    assert.equal((await failureOf(us.ask(dst, bytes('x')))).code, 'refused');
  });

  it('closing tells the peer code 0', async () => {
    await using go = new GoPeer('udp,quic', 9);
    {
      await using us = await openOurs();
      await us.ask(us.parseAddr(await go.address()), bytes('x'));
    }
    assert.match((await go.next('closed')).message!, /Application error 0x0 \(remote\)/);
  });

  it('a connection that the peer closes, with code 0 or 1, ends asks at once, and the next ask dials anew', async () => {
    await using go = new GoPeer('udp,quic', 10);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    for (const counter of [0, 1]) {
      const held = failureOf(us.ask(dst, bytes('hold')));
      const { peer } = await go.next('session');
      await us.ask(dst, bytes('x'));
      go.command({ cmd: 'close', dst: peer!, counter });
      assert.equal((await held).code, 'disconnected');
      assert.match((await go.next('closed')).message!, new RegExp(`0x${counter} \\(local\\)`));
    }
    assert.equal(textOf(await us.ask(dst, bytes('anew'))), 'anew');
  });
});

describe('quic with the independent Go peer: Go dials', { skip: goMissing() }, () => {
  it('asks are answered: short, empty, of a megabyte; what is too large is not', async () => {
    await using go = new GoPeer('udp,quic', 20);
    await go.address();
    await using us = await openOurs();
    us.serve(({ payload }) => payload);
    for (const size of [4, 0, 1_048_576]) {
      const payload = base64(new Uint8Array(size).fill(9));
      go.command({ cmd: 'ask', dst: ourAddress(us), payload });
      assert.equal((await go.next('answer')).payload ?? '', payload);
    }
    go.command({ cmd: 'ask', dst: ourAddress(us), payload: base64(new Uint8Array(1_048_577)) });
    assert.match((await go.next('error')).message!, /error code 2/);
    go.command({ cmd: 'ask', dst: ourAddress(us), payload: base64(bytes('again')) });
    assert.equal((await go.next('answer')).payload, base64(bytes('again')));
  });

  it('a refusal resets the stream with a code, so the asker need not wait', async () => {
    await using go = new GoPeer('udp,quic', 21);
    await go.address();
    await using us = await openOurs();
    us.serve(() => {
      throw new Refusal('no');
    });
    go.command({ cmd: 'ask', dst: ourAddress(us), payload: base64(bytes('x')) });
    assert.match((await go.next('error')).message!, /error code 1/);
  });

  it('a thousand asks of one that sends its end after the answer', async () => {
    await using go = new GoPeer('udp,quic', 22);
    await go.address();
    await using us = await openOurs();
    us.serve(({ payload }) => payload);
    const dst = ourAddress(us);
    go.command({ cmd: 'ask', dst, payload: base64(bytes('first')) });
    await go.next('answer');
    for (let i = 0; i < 4; i++) go.command({ cmd: 'ask', dst, payload: base64(bytes('x')), times: 250 });
    for (let i = 0; i < 4; i++) await go.next('answer');
    assert.equal(us.counters.received, 1001);
  });

  for (const [count, times] of [
    [5, 8],
    [50, 5],
  ] as const) {
    it(`${count} first asks at once dial ${count} connections: all ${count * times} asks are answered`, async () => {
      // A handshake that is done before the next ask begins is shared by it: then the asks were not at once.
      let connections = 0;
      for (let attempt = 0; attempt < 20 && connections <= 4; attempt++) {
        await using go = new GoPeer('udp,quic', 30 + count);
        await go.address();
        await using us = await openOurs();
        us.serve(({ payload }) => payload);
        for (let i = 0; i < count; i++) {
          go.command({ cmd: 'ask', dst: ourAddress(us), payload: base64(Uint8Array.of(i)), times });
        }
        for (let i = 0; i < count; i++) await go.next('answer');
        assert.equal(us.counters.received, count * times);
        assert.equal(go.events.filter(({ event }) => event === 'error').length, 0);
        connections = go.events.filter(({ event }) => event === 'session').length;
      }
      assert.ok(connections > 4, 'more connections than are kept');
    });

    it(`${count} first tells at once, on as many connections: none is lost`, async () => {
      await using go = new GoPeer('udp,quic', 40 + count);
      await go.address();
      await using us = await openOurs();
      const told = calls<number>();
      us.listen(({ payload }) => told.call(payload[0]!));
      for (let i = 0; i < count; i++) {
        go.command({ cmd: 'tell', dst: ourAddress(us), payload: base64(Uint8Array.of(i)), times });
      }
      const got = new Map<number, number>();
      for (let i = 0; i < count * times; i++) {
        const from = await told.next();
        got.set(from, (got.get(from) ?? 0) + 1);
      }
      assert.deepEqual(
        [...got.values()],
        Array.from({ length: count }, () => times),
      );
      assert.equal(go.events.filter(({ event }) => event === 'error').length, 0);
    });
  }

  it('tells arrive, and answers go back over the same connection', async () => {
    await using go = new GoPeer('udp,quic', 23);
    await go.address();
    await using us = await openOurs();
    const told = calls<string>();
    us.listen(async ({ src, payload }) => {
      told.call(textOf(payload));
      await us.tell(src, bytes('back'));
    });
    go.command({ cmd: 'tell', dst: ourAddress(us), payload: base64(bytes('hello')) });
    assert.equal(await told.next(), 'hello');
    assert.equal(await go.text(), 'back');
    assert.equal(go.events.filter(({ event }) => event === 'session').length, 1);
  });

  it('a tell that is too large is stopped and nothing of it delivered', async () => {
    await using go = new GoPeer('udp,quic', 24);
    await go.address();
    await using us = await openOurs();
    const told = calls<number>();
    us.listen(({ payload }) => told.call(payload.length));
    go.command({ cmd: 'tell', dst: ourAddress(us), payload: base64(new Uint8Array(4_000_000)) });
    assert.match((await go.next('error')).message!, /error code 2/);
    go.command({ cmd: 'tell', dst: ourAddress(us), payload: base64(bytes('next')) });
    assert.equal(await told.next(), 4);
  });

  it('another key than its address says: it closes, and we go on', async () => {
    await using go = new GoPeer('udp,quic', 25);
    await go.address();
    await using us = await openOurs();
    us.serve(({ payload }) => payload);
    const dst = ourAddress(us);
    go.command({ cmd: 'ask', dst: dst.replace(/^[^@]*/, '-'.repeat(43)), payload: '' });
    assert.match((await go.next('error')).message!, /wrong peer HAVE/);
    go.command({ cmd: 'ask', dst, payload: '' });
    await go.next('answer');
  });

  it('no certificate: the handshake fails with the alert for it', async () => {
    await using go = new GoPeer('udp,quic', 26, ['--no-cert']);
    await go.address();
    await using us = await openOurs();
    us.serve(() => assert.fail('served'));
    go.command({ cmd: 'ask', dst: ourAddress(us), payload: '' });
    assert.match((await go.next('error')).message!, /CRYPTO_ERROR 0x174 \(remote\)/);
  });

  it('another application protocol: the handshake fails with the alert for it', async () => {
    await using go = new GoPeer('udp,quic', 27, ['--alpn', 'other']);
    await go.address();
    await using us = await openOurs();
    go.command({ cmd: 'ask', dst: ourAddress(us), payload: '' });
    assert.match((await go.next('error')).message!, /CRYPTO_ERROR 0x178 \(remote\)/);
  });

  it('one that is not let in hears of it, and nothing of it is delivered', async () => {
    await using go = new GoPeer('udp,quic', 28);
    await go.address();
    await using us = await openOurs({ accept: () => false });
    us.serve(() => assert.fail('served'));
    go.command({ cmd: 'ask', dst: ourAddress(us), payload: '' });
    assert.match((await go.next('error')).message!, /CRYPTO_ERROR 0x131 \(remote\)/);
  });
});
