/** Shoal's endpoint with `preset: 'qp2p'` and the real qp2p 0.36.4, in both directions. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeText, toHex } from 'shoal/bytes';
import { P2PError } from 'shoal';
import {
  type QuicConnection,
  openEndpoint,
  type Endpoint,
  type OpenEndpointOptions,
  type Qp2pMessage,
} from 'shoal/endpoint';
import type { UdpAddr } from 'shoal/udp';
import { Qp2pPeer, qp2pMissing } from './qp2p-peer.ts';

type Udp = Endpoint<UdpAddr, Qp2pMessage>;

const open = (options: OpenEndpointOptions = {}): Promise<Udp> =>
  openEndpoint({ bind: '127.0.0.1:0', preset: 'qp2p', ...options });
const text = (words: string): Uint8Array => encodeText(words);

/** Our end of a connection that the peer has made, and its number over there. */
async function dialledBy(
  peer: Qp2pPeer,
  ours: Udp,
): Promise<{ there: QuicConnection<UdpAddr, Qp2pMessage>; conn: number }> {
  const accepted = ours.connections();
  const { conn } = await peer.ask('connected', 'connect', ours.addr.text);
  const { value } = await accepted.next();
  await accepted.return();
  return { there: value!, conn: conn! };
}

describe('qp2p 0.36.4', { skip: qp2pMissing() }, () => {
  it('shoal dials: uni messages in three parts, and 1 MiB', async () => {
    await using peer = new Qp2pPeer();
    await using ours = await open();
    const connection = await ours.connect(await peer.address());
    assert.deepEqual([connection.authenticated, connection.peerId, connection.alpn], [false, undefined, undefined]);
    await connection.send({ header: text('head'), dst: text('dst'), payload: text('payload') }, { acked: true });
    const message = await peer.next('message');
    assert.deepEqual(
      [message.header, message.dst, message.payload, message.bidi],
      [toHex(text('head')), toHex(text('dst')), toHex(text('payload')), false],
    );
    await connection.send(new Uint8Array(2 ** 20).fill(7), { acked: true });
    const large = await peer.next('message');
    assert.deepEqual([large.bytes, large.payload], [2 ** 20, '07'.repeat(64)]);
  });

  it('qp2p dials: uni messages in three parts, and 1 MiB', async () => {
    await using peer = new Qp2pPeer();
    await using ours = await open();
    const { there, conn } = await dialledBy(peer, ours);
    assert.deepEqual([there.authenticated, there.side], [false, 'initiator']);
    const messages = there.messages();
    await peer.ask('sent', 'send', conn, toHex(text('head')), toHex(text('dst')), toHex(text('payload')), 3);
    const { value } = await messages.next();
    assert.deepEqual(
      [value!.header, value!.dst, value!.payload].map(toHex),
      ['head', 'dst', 'payload'].map((s) => toHex(text(s))),
    );
    assert.equal(value!.reply, undefined);
    peer.command('uni', conn, 1, 2 ** 20, 1);
    const large = (await messages.next()).value!;
    assert.equal(large.payload.length, 2 ** 20);
    assert.ok(large.payload.every((byte) => byte === 7));
  });

  it('requests on bidirectional streams, both ways', async () => {
    await using peer = new Qp2pPeer('--quiet');
    await using ours = await open();
    const connection = await ours.connect(await peer.address());
    const requests = Array.from({ length: 300 }, (_, i) => connection.request(text(`request ${i}`)));
    for (const [i, { payload }] of (await Promise.all(requests)).entries()) {
      assert.equal(new TextDecoder().decode(payload), `request ${i}`);
    }
    assert.equal((await connection.request(new Uint8Array(2 ** 20).fill(1))).payload.length, 2 ** 20);
    await using initiator = new Qp2pPeer();
    const { there, conn } = await dialledBy(initiator, ours);
    void (async () => {
      for await (const { header, dst, payload, reply } of there.messages())
        await reply!.finish({ header, dst, payload });
    })();
    assert.equal((await initiator.ask('asked', 'bidi', conn, 300, 64, 10)).count, 300);
    assert.equal((await initiator.ask('asked', 'bidi', conn, 5, 2 ** 20, 2)).count, 5);
  });

  it('a connection made by one side carries messages of the other', async () => {
    await using peer = new Qp2pPeer('--echo');
    await using ours = await open();
    const connection = await ours.connect(await peer.address());
    await connection.send(text('marco'));
    const { value } = await connection.messages().next();
    assert.equal(new TextDecoder().decode(value!.payload), 'marco');
  });

  it('100 clients of qp2p send 100 messages each, and get each of them back', async () => {
    await using peer = new Qp2pPeer('--quiet');
    await using ours = await open();
    void (async () => {
      for await (const { connection, payload } of ours.messages()) void connection.send(payload);
    })();
    assert.equal((await peer.ask('done', 'clients', ours.addr.text, 100, 100, 200)).count, 100);
  });

  it('100 clients of shoal send 100 messages each to qp2p, and get each of them back', async () => {
    await using peer = new Qp2pPeer('--echo', '--quiet');
    const address = await peer.address();
    await using stack = new AsyncDisposableStack();
    const clients: Udp[] = [];
    for (let i = 0; i < 100; i++) clients.push(stack.use(await open({ listen: false })));
    const one = async (client: Udp): Promise<number> => {
      const connection = await client.connect(address, { timeoutMs: 30_000 });
      for (let i = 0; i < 100; i++) void connection.send(new Uint8Array(200).fill(i));
      let got = 0;
      for await (const { payload } of connection.messages()) {
        if (payload.length === 200) got++;
        if (got === 100) break;
      }
      return got;
    };
    const counts = await Promise.all(clients.map((client) => one(client)));
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      10_000,
    );
    assert.equal((await peer.ask('count', 'count')).count, 10_000);
  });

  it('10 clients send 20 messages of 1 MiB each to qp2p, and 10 clients of qp2p 10 each to shoal and back', async () => {
    await using peer = new Qp2pPeer('--quiet');
    const address = await peer.address();
    await using stack = new AsyncDisposableStack();
    const payload = new Uint8Array(2 ** 20).fill(5);
    const clients = await Promise.all(Array.from({ length: 10 }, () => open()));
    for (const client of clients) stack.use(client);
    await Promise.all(
      clients.map(async (client) => {
        const connection = await client.connect(address);
        const call = { acked: true, timeoutMs: Infinity };
        await Promise.all(Array.from({ length: 20 }, () => connection.send(payload, call)));
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await peer.ask('count', 'count')).count, 200);
    await using ours = await open();
    let got = 0;
    void (async () => {
      for await (const message of ours.messages()) {
        got += message.payload.length;
        void message.connection.send(message.payload, { timeoutMs: Infinity });
      }
    })();
    assert.equal((await peer.ask('done', 'clients', ours.addr.text, 10, 10, 2 ** 20)).count, 10);
    assert.equal(got, 100 * 2 ** 20);
  });

  it('closes tell their reasons, both ways, and benign ends are told from others', async () => {
    await using peer = new Qp2pPeer();
    await using ours = await open();
    const address = await peer.address();
    const first = await ours.connect(address);
    await peer.next('connected');
    await first.close({ reason: 'we are done here' });
    assert.match((await peer.next('closed')).error!, /Application.*error_code: 0.*we are done here/);
    const second = await ours.connect(address);
    const { conn } = await peer.next('connected');
    peer.command('close', conn!, 'their', 'reason');
    const closed = await second.closed;
    assert.deepEqual([closed.by, closed.code, closed.reason, closed.benign], ['peer', 0, 'their reason', true]);
    const third = await ours.connect(address);
    peer.command('drop', (await peer.next('connected')).conn!);
    assert.equal((await third.closed).reason, 'lost interest');
    const fourth = await ours.connect(address, { fresh: true });
    await peer.next('connected');
    await fourth.close({ code: 4711, reason: 'a code of our own' });
    // Before it come those of the connections that the peer has ended itself.
    let error = '';
    while (!error.includes('4711')) error = (await peer.next('closed')).error!;
    assert.match(error, /error_code: 4711.*a code of our own/);
  });

  it('keep-alive of either side keeps a connection open past the idle timeout; without, it ends as idle', async () => {
    await using peer = new Qp2pPeer('--idle', '1000');
    await using ours = await open({ keepAliveMs: 300, idleTimeoutMs: 1000 });
    await using lazy = await open({ idleTimeoutMs: 60_000 });
    const address = await peer.address();
    const [kept, dropped] = await Promise.all([ours.connect(address), lazy.connect(address)]);
    const how = await dropped.closed;
    assert.deepEqual([how.by, how.benign], ['idle_timeout', true]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await kept.send(text('still here'), { acked: true });
    await using theirs = new Qp2pPeer('--idle', '1000', '--keep-alive', '300');
    await using strict = await open({ idleTimeoutMs: 1000 });
    const there = await strict.connect(await theirs.address());
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await there.send(text('kept by the other side'), { acked: true });
  });

  it('any of several: the dead are given up', async () => {
    await using peer = new Qp2pPeer();
    await using ours = await open();
    await using gone = await open();
    const dead = gone.addr.text;
    await gone.close();
    const address = await peer.address();
    const connection = await ours.connectToAny([dead, address], { timeoutMs: 2000 });
    assert.equal(connection.remoteAddr.text, address);
    assert.equal((await peer.ask('connected', 'any', dead, ours.addr.text)).role, 'server');
  });

  it('what qp2p has no words for is refused before it is sent', async () => {
    await using peer = new Qp2pPeer();
    await using ours = await open();
    const connection = await ours.connect(await peer.address());
    const failed = await connection.send(new Uint8Array(0)).catch((error: unknown) => error);
    assert.ok(P2PError.is(failed, 'unsupported') && failed.sent === 'no');
    assert.throws(() => ours.connect(ours.addr, { expect: ours.peerId }), TypeError);
    const stream = await connection.openUni();
    await stream.send(text('one'));
    const second = await stream.send(text('two')).catch((error: unknown) => error);
    assert.ok(P2PError.is(second, 'unsupported'));
    assert.throws(() => stream.writable, /messages/);
  });

  it('a shoal endpoint without the mode does not speak with qp2p', async () => {
    await using peer = new Qp2pPeer();
    await using ours = await openEndpoint({ bind: '127.0.0.1:0' });
    const failed = await ours.connect(await peer.address()).catch((error: unknown) => error);
    assert.ok(P2PError.is(failed, 'refused'), String(failed));
  });
});
