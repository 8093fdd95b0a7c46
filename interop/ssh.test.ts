/** SSH against the independent Go peer, on the library that go-p2p uses and with the messages of its sshswarm. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type P2PErrorCode, P2PError } from '../src/core/errors.ts';
import { openSshSwarm, type SshSwarm, type SshSwarmOptions } from '../src/swarms/ssh/index.ts';
import { testKey } from '../src/testing/test-key.ts';
import { GoPeer, goMissing } from './go-peer.ts';

const openOurs = (options: Partial<SshSwarmOptions> = {}): Promise<SshSwarm> =>
  openSshSwarm({ bind: '127.0.0.1:0', privateKey: testKey(3), ...options });

const bytesOf = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 7 + size) % 251);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (payload: Uint8Array): string => new TextDecoder().decode(payload);

/** Sizes around every limit: of a packet in the clear, of RFC 4253, of go-p2p. */
const SIZES = [0, 1, 9, 10, 11, 4096, 32_762, 32_763, 32_768, 35_000, 65_536, 131_071, 131_072];

const isCode =
  (...codes: readonly P2PErrorCode[]) =>
  (error: unknown): true => {
    assert.ok(P2PError.is(error) && codes.includes(error.code), String(error));
    return true;
  };

/** The payloads that are told to a swarm, in order. */
function tellsOf(swarm: SshSwarm): () => Promise<Uint8Array> {
  const come: Uint8Array[] = [];
  const waiting: ((payload: Uint8Array) => void)[] = [];
  swarm.listen(({ payload }) => {
    const waiter = waiting.shift();
    if (waiter === undefined) come.push(payload);
    else waiter(payload);
  });
  return () => (come.length > 0 ? Promise.resolve(come.shift()!) : new Promise((resolve) => waiting.push(resolve)));
}

for (const rekey of [0, 50_000]) {
  const options = rekey === 0 ? [] : ['--rekey', String(rekey)];
  const ours = rekey === 0 ? {} : { rekeyBytes: 70_000 };
  const name = rekey === 0 ? '' : ', with new keys every 50 KB there and every 70 KB here';

  describe(`ssh with the independent Go peer: we dial${name}`, { skip: goMissing() }, () => {
    it('asks and tells of every size arrive there, and the answers here', async () => {
      await using go = new GoPeer('ssh', 1, options);
      await using us = await openOurs(ours);
      const dst = us.parseAddr(await go.address());
      for (const size of SIZES) {
        const request = bytesOf(size);
        assert.deepEqual(await us.ask(dst, request), request);
        await us.tell(dst, request);
        const told = await go.next('tell');
        assert.deepEqual(new Uint8Array(Buffer.from(told.payload ?? '', 'base64')), request);
        assert.equal(told.message ?? '', '');
      }
    });

    it('a hundred asks at once get their own answers', async () => {
      await using go = new GoPeer('ssh', 1, options);
      await using us = await openOurs(ours);
      const dst = us.parseAddr(await go.address());
      const asks = Array.from({ length: 100 }, (_, i) => us.ask(dst, bytesOf(i * 50)));
      for (const [i, answer] of (await Promise.all(asks)).entries()) assert.deepEqual(answer, bytesOf(i * 50));
    });
  });

  describe(`ssh with the independent Go peer: it dials${name}`, { skip: goMissing() }, () => {
    it('its tells and asks of every size arrive here, and the answers there', async () => {
      await using go = new GoPeer('ssh', 1, options);
      await go.address();
      await using us = await openOurs(ours);
      const tells = tellsOf(us);
      us.serve(({ payload }) => payload);
      for (const size of SIZES) {
        go.send('tell', us.addr.text, bytesOf(size));
        assert.deepEqual(await tells(), bytesOf(size));
        go.send('ask', us.addr.text, bytesOf(size));
        assert.deepEqual(await go.bytes('answer'), bytesOf(size));
      }
    });

    it('both sides use the connection that it has dialled', async () => {
      await using go = new GoPeer('ssh', 1, options);
      const address = await go.address();
      await using us = await openOurs(ours);
      const sources: string[] = [];
      us.serve(async ({ src, payload }) => {
        sources.push(src.text);
        return us.ask(src, payload);
      });
      go.send('ask', us.addr.text, bytesOf(5));
      assert.deepEqual(await go.bytes('answer'), bytesOf(5));
      assert.equal(sources[0]!.split('@')[0], address.split('@')[0]);
      assert.deepEqual(await us.ask(sources[0]!, bytesOf(100_000)), bytesOf(100_000));
    });
  });
}

describe('ssh with the independent Go peer: refusals', { skip: goMissing() }, () => {
  it('what it refuses is refused here, and what we refuse is refused there', async () => {
    await using go = new GoPeer('ssh', 2);
    await using us = await openOurs();
    us.serve(() => {
      throw new Error('no');
    });
    const dst = us.parseAddr(await go.address());
    await assert.rejects(us.ask(dst, bytes('refuse')), isCode('refused'));
    assert.equal(textOf(await us.ask(dst, bytes('yes'))), 'yes');
    go.send('ask', us.addr.text, bytes('please'));
    assert.match((await go.next('error')).message!, /refused/);
  });

  it('an answer larger than the asker accepts is limit_exceeded, and the next one is right', async () => {
    await using go = new GoPeer('ssh', 2);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    await assert.rejects(us.ask(dst, bytes('size:10'), { maxResponseBytes: 4 }), isCode('limit_exceeded'));
    assert.equal((await us.ask(dst, bytes('size:131072'))).length, 131_072);
    await assert.rejects(us.ask(dst, bytesOf(131_073)), isCode('mtu_exceeded'));
  });

  it('an ask that is given up does not get in the way of the next', async () => {
    await using go = new GoPeer('ssh', 2);
    await using us = await openOurs();
    const dst = us.parseAddr(await go.address());
    await us.ask(dst, bytes('first'));
    const slow = us.ask(dst, bytes('slow'), { timeoutMs: 20 });
    await assert.rejects(slow, isCode('timeout'));
    assert.equal(textOf(await us.ask(dst, bytes('next'))), 'next');
  });

  it('keep-alives fail and are no messages, and channels are prohibited', async () => {
    await using go = new GoPeer('ssh', 2);
    await go.address();
    await using us = await openOurs();
    const messages: string[] = [];
    us.serve(({ payload }) => {
      messages.push(textOf(payload));
      return payload;
    });
    go.send('ask', us.addr.text, bytes('one'));
    await go.next('answer');
    go.command({ cmd: 'keepalive', dst: us.addr.text });
    await go.next('answer');
    go.command({ cmd: 'open', dst: us.addr.text });
    assert.equal(textOf(await go.bytes('answer')), "1 don't do that");
    go.send('ask', us.addr.text, bytes('two'));
    await go.next('answer');
    assert.deepEqual(messages, ['one', 'two']);
  });

  it('an address with another fingerprint is identity_mismatch, and nothing is said there', async () => {
    await using go = new GoPeer('ssh', 2);
    await using us = await openOurs();
    const wrong = (await go.address()).replace(/^[^@]+/, us.addr.fingerprint.replace(/.$/, 'A'));
    const other = us.tryParseAddr(wrong) ?? us.parseAddr(wrong.replace(/.@/, 'E@'));
    await assert.rejects(us.ask(other, bytes('x')), isCode('identity_mismatch'));
    assert.ok(!go.events.some(({ event }) => event === 'tell' || event === 'session'));
  });

  it('a peer that accept refuses is told so before it says anything', async () => {
    await using go = new GoPeer('ssh', 2);
    const address = await go.address();
    await using us = await openOurs({ accept: () => false });
    go.send('ask', us.addr.text, bytes('x'));
    assert.match((await go.next('error')).message!, /refused|disconnect/);
    await assert.rejects(us.ask(address, bytes('x')), isCode('refused'));
  });

  it('it can be reached again after its connection has ended', async () => {
    await using go = new GoPeer('ssh', 2);
    const address = await go.address();
    await using us = await openOurs();
    assert.equal(textOf(await us.ask(address, bytes('a'))), 'a');
    const { peer } = await go.next('session');
    go.command({ cmd: 'close', dst: peer! });
    await go.next('closed');
    for (;;) {
      const answer = await us.ask(address, bytes('b')).catch((error: unknown) => error);
      if (answer instanceof Uint8Array) break;
      isCode('disconnected')(answer);
    }
  });
});
