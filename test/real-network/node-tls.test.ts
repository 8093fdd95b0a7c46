/** TLS on real sockets: who may come in is known before a byte is delivered. */

import assert from 'node:assert/strict';
import { connect as rawConnect } from 'node:net';
import { describe, it } from 'node:test';
import { connect as tlsConnect } from 'node:tls';

import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createNode, reading, tls, writing } from '../../src/node/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { codeOf } from '../support/code-of.ts';
import { closing, type Ear, ear, gone, LOOPBACK, unopened, until } from './nodes.ts';

const [alice, bob, mallory] = [testKey(1), testKey(2), testKey(3)];

const portOf = (addr: string): number => Number(addr.split(':')[1]);

/** A node with TLS that keeps what it gets. */
const secured = (
  privateKey: typeof alice,
  options: Parameters<typeof ear>[0] = {},
  { timeoutMs }: { readonly timeoutMs?: number } = {},
): Promise<Ear> => ear({ security: tls({ privateKey, timeoutMs }), ...options });

describe('tls', () => {
  it('both know each other by key, messages of every size go both ways, and a drain loses nothing', async () => {
    const [a, b] = [await secured(alice), await secured(bob)];
    await using _ = closing(a.node, b.node);
    assert.equal(a.node.isRaw, false);
    const peer = await a.node.connect(b.node.listeningAddr!);
    assert.equal(peerIdOfKey(peer.publicKey!), peerIdOfKey(bob.publicKey));
    for (const size of [0, 1, 64, 16_384, 100_000, 1_000_000]) peer.send(new Uint8Array(size).fill(size));
    await until(() => b.heard.length > 0);
    const there = b.heard[0]!.peer;
    assert.equal(peerIdOfKey(there.publicKey!), peerIdOfKey(alice.publicKey));
    for (let i = 0; i < 100; i++) there.send(new Uint8Array(1000).fill(i));
    await Promise.all([a.node.drain(), b.node.drain()]);
    assert.deepEqual(
      b.heard.map(({ message }) => message.length),
      [0, 1, 64, 16_384, 100_000, 1_000_000],
    );
    assert.ok(b.heard.every(({ message }) => message.every((byte) => byte === message.length % 256)));
    assert.deepEqual(
      a.heard.map(({ message }) => message[0]),
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  it('many small messages share a record', async () => {
    const [a, b] = [await secured(alice), await secured(bob)];
    await using _ = closing(a.node, b.node);
    const peer = await a.node.connect(b.node.listeningAddr!);
    const before = peer.stats.wire.sent;
    for (let i = 0; i < 1000; i++) peer.send(new Uint8Array(60));
    await peer.flushed();
    await until(() => b.heard.length === 1000);
    // 64 000 bytes of frames; a record each would add 22 000.
    assert.ok(peer.stats.wire.sent - before < 64_000 + 500, `${peer.stats.wire.sent - before} bytes`);
  });

  it('accept refuses a key: the initiator learns it, no message is delivered, the place is free', async () => {
    const a = await secured(alice, { accept: ({ id }) => id === peerIdOfKey(mallory.publicKey) });
    const b = await secured(bob);
    await using _ = closing(a.node, b.node);
    assert.equal(await codeOf(a.node.connect(b.node.listeningAddr!)), 'refused');
    assert.deepEqual([a.node.connected, a.node.connecting], [0, 0]);
    assert.equal(a.node.heuristics.refused.get('not_accepted'), 1);
  });

  it('the responder judges too, and may take its time; what the initiator sent meanwhile is not delivered', async () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const [a, b] = [await secured(alice), await secured(bob, { accept: () => promise })];
    await using _ = closing(a.node, b.node);
    const peer = await a.node.connect(b.node.listeningAddr!);
    peer.send(new Uint8Array(5));
    await peer.flushed();
    resolve(false);
    await peer.closed;
    assert.deepEqual(b.heard, []);
    assert.equal(b.node.heuristics.refused.get('not_accepted'), 1);
    assert.deepEqual([b.node.connected, b.node.connecting], [0, 0]);
  });

  it('a client without a certificate is refused', async () => {
    const b = await secured(bob);
    await using _ = closing(b.node);
    const socket = tlsConnect({ host: '127.0.0.1', port: portOf(b.node.listeningAddr!), rejectUnauthorized: false });
    socket.on('error', () => undefined);
    await until(() => b.node.heuristics.refused.get('identity_mismatch') === 1);
    socket.destroy();
    assert.deepEqual([b.node.connected, b.node.connecting], [0, 0]);
  });

  it('who speaks no TLS is refused, and so is a raw node', async () => {
    const b = await secured(bob);
    await using _ = closing(b.node);
    const socket = rawConnect(portOf(b.node.listeningAddr!), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await gone(socket);
    await until(() => b.node.connecting === 0);
    const a = await secured(alice, {}, { timeoutMs: 200 });
    await using __ = closing(a.node);
    const raw = unopened();
    await using ___ = closing(raw);
    raw.enable(reading({ onMessage: () => undefined }));
    await raw.listen();
    assert.ok(['timeout', 'disconnected'].includes(await codeOf(a.node.connect(raw.listeningAddr!))));
    assert.deepEqual([...b.node.heuristics.refused], [['handshake_failed', 1]]);
  });

  it('a peer that is full is gone for who dials it, and not somebody else', async () => {
    const b = createNode({ security: tls({ privateKey: bob }), bind: LOOPBACK, maxConnecting: 1 });
    await using _ = closing(b);
    const addr = await b.listen();
    const silent = rawConnect(portOf(addr), '127.0.0.1');
    silent.on('error', () => undefined);
    await until(() => b.connecting === 1);
    const a = await secured(alice);
    await using __ = closing(a.node);
    assert.equal(await codeOf(a.node.connect(addr)), 'disconnected');
    silent.destroy();
  });

  it('who hangs up in the handshake frees its place at once', async () => {
    const b = await secured(bob, {}, { timeoutMs: 60_000 });
    await using _ = closing(b.node);
    const port = portOf(b.node.listeningAddr!);
    for (const hello of ['', '\x16\x03\x01\x02\x00\x01']) {
      const socket = rawConnect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await until(() => b.node.connecting === 1);
      socket.end(Buffer.from(hello, 'latin1'));
      await until(() => b.node.connecting === 0);
    }
    const a = createNode({ security: tls({ privateKey: alice }), accept: () => false });
    await using __ = closing(a);
    await codeOf(a.connect(b.node.listeningAddr!));
    await until(() => b.node.connecting + b.node.connected === 0);
    assert.deepEqual([...b.node.heuristics.refused], [['handshake_failed', 3]]);
  });

  it('accept that answers anything but true refuses', async () => {
    for (const answer of ['yes', 1, {}, undefined, null]) {
      const b = await secured(bob, { accept: (() => answer) as unknown as () => boolean });
      await using _ = closing(b.node);
      const a = createNode({ security: tls({ privateKey: alice }) });
      await using __ = closing(a);
      await codeOf(a.connect(b.node.listeningAddr!));
      await until(() => b.node.connecting + b.node.connected === 0);
      assert.equal(b.node.heuristics.refused.get('not_accepted'), 1);
      assert.equal(b.node.heuristics.hookErrors, 1);
    }
  });

  it('a TLS handshake that stalls ends in its time', async () => {
    const b = await secured(bob, {}, { timeoutMs: 100 });
    await using _ = closing(b.node);
    const socket = rawConnect(portOf(b.node.listeningAddr!), '127.0.0.1');
    socket.on('error', () => undefined);
    await gone(socket);
    assert.equal(b.node.heuristics.refused.get('handshake_timeout'), 1);
    assert.equal(b.node.connecting, 0);
  });

  it('refuses wrong options', () => {
    // @ts-expect-error no key
    assert.throws(() => tls({}), TypeError);
    // @ts-expect-error no function
    assert.throws(() => createNode({ security: tls({ privateKey: alice }), accept: 1 }), TypeError);
  });
});

describe('writing over tls', () => {
  it('a peer that never reads fills the queue, then is dropped', async () => {
    const a = await ear({ security: tls({ privateKey: alice }) }, {}, { timeoutMs: 300, maxQueueBytes: 2_000_000 });
    const b = unopened({ security: tls({ privateKey: bob }) });
    await using _ = closing(a.node, b);
    b.enable(writing());
    const peer = await a.node.connect(await b.listen());
    let refused = 0;
    while (peer.state === 'open' && refused < 3) {
      try {
        peer.send(new Uint8Array(500_000));
      } catch {
        refused++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await peer.closed).reason, 'write_timeout');
  });
});
