/** The node on real sockets: connections, limits, views and counts. Names follow the original's list of behaviours. */

import assert from 'node:assert/strict';
import { connect as rawConnect, createServer, Socket } from 'node:net';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { type TcpConnection, createNode, handshake, onConnect, reading, writing } from '../../src/node/index.ts';
import { codeOf } from '../support/code-of.ts';
import { bare, closing, ear, unopened, until } from './nodes.ts';

describe('node: names and options', () => {
  it('an unnamed node has a number for a name; a given name is kept', () => {
    const [first, second] = [unopened(), unopened()];
    assert.equal(Number(second.name), Number(first.name) + 1);
    assert.equal(createNode({ security: 'none', name: 'hub' }).name, 'hub');
  });

  it('limits of zero throw', () => {
    for (const name of ['maxConnections', 'maxConnectionsPerIp', 'maxConnecting'] as const) {
      assert.throws(() => createNode({ security: 'none', [name]: 0 }), RangeError);
    }
    assert.throws(() => createNode({ security: 'none', bind: 'localhost:1' }), /hostname/);
  });

  it('a node is raw until a handshake is enabled, and says so', () => {
    const node = unopened();
    assert.equal(node.isRaw, true);
    node.enable(handshake(() => Promise.resolve()));
    assert.equal(node.isRaw, false);
  });

  it('enabling a kind of hook twice is an error', () => {
    const node = unopened();
    const hook = writing();
    node.enable(hook);
    assert.throws(() => node.enable(hook), /Cannot enable writing: the node has one already/);
  });
});

describe('node: listening and connecting', () => {
  it('without a bind of its own it can be reached by IPv4, and by IPv6 where there is any', async () => {
    await using node = createNode({ security: 'none' });
    await using initiator = createNode({ security: 'none' });
    const addr = await node.listen();
    const port = addr.split(':').at(-1)!;
    assert.match(addr, /^(\[::\]|0\.0\.0\.0):[0-9]+$/);
    assert.equal((await initiator.connect(`127.0.0.1:${port}`)).ip, '127.0.0.1');
    if (addr.startsWith('[')) assert.equal((await initiator.connect(`[::1]:${port}`)).ip, '::1');
    await until(() => node.connected === initiator.connected);
    assert.ok(
      node.connections().some(({ ip }) => ip === '127.0.0.1'),
      'not as an IPv4-mapped address',
    );
  });

  it('the listener goes on and off any number of times; connections survive', async () => {
    const [node, peer] = [unopened(), await bare()];
    await using _ = closing(node, peer);
    let kept: TcpConnection | undefined;
    for (let i = 0; i < 3; i++) {
      const addr = await node.listen();
      assert.equal(node.listeningAddr, addr);
      assert.equal(await codeOf(node.listen()), 'in_use');
      if (i === 0) kept = await peer.connect(addr);
      await node.stopListening();
      assert.equal(node.listeningAddr, undefined);
      assert.equal(await codeOf(peer.connect(addr)), i === 0 ? 'in_use' : 'unreachable');
    }
    await until(() => node.connected === 1);
    assert.equal(kept?.state, 'open');
  });

  it('the port is free as soon as listening has stopped', async () => {
    await using node = await bare();
    const addr = node.listeningAddr!;
    await node.stopListening();
    assert.equal(await node.listen(addr), addr);
  });

  it('a port in use is in_use', async () => {
    const [node, other] = [await bare(), unopened()];
    await using _ = closing(node, other);
    assert.equal(await codeOf(other.listen(node.listeningAddr)), 'in_use');
  });

  it('connects with a source of its own', async () => {
    const [node, peer] = [await bare(), unopened()];
    await using _ = closing(node, peer);
    await peer.connect(node.listeningAddr!, { bind: '127.0.0.77:0' });
    await until(() => node.connected === 1);
    assert.equal(node.connections()[0]!.ip, '127.0.0.77');
  });

  it('connects with a socket of your own', async () => {
    const [node, peer] = [await bare(), unopened()];
    await using _ = closing(node, peer);
    const [host, port] = node.listeningAddr!.split(':');
    const socket = new Socket({ allowHalfOpen: true });
    socket.connect({ host: host!, port: Number(port), localAddress: '127.0.0.78' });
    const connection = await peer.connect(node.listeningAddr!, { socket, tag: 'mine' });
    await until(() => node.connected === 1);
    assert.equal(node.connections()[0]!.ip, '127.0.0.78');
    assert.equal(connection.tag, 'mine');
  });

  it('connects a socket of your own that is new; what is none is misuse, and a destroyed one rejects', async () => {
    const [node, peer] = [await bare(), unopened()];
    await using _ = closing(node, peer);
    const addr = node.listeningAddr!;
    const connection = await peer.connect(addr, { socket: new Socket() });
    assert.equal(connection.addr, addr);
    await until(() => node.connected === 1);
    await connection.disconnect();
    assert.throws(() => peer.connect(addr, { socket: {} as never }), TypeError);
    await assert.rejects(peer.connect(addr, { socket: new Socket().destroy() }), { code: 'unreachable' });
  });

  it('sockets send at once and find dead peers out, unless told otherwise', async (t) => {
    const noDelay = t.mock.method(Socket.prototype, 'setNoDelay');
    const keepAlive = t.mock.method(Socket.prototype, 'setKeepAlive');
    const node = await bare();
    const [eager, lazy] = [unopened(), createNode({ security: 'none', noDelay: false, keepAliveMs: Infinity })];
    await using _ = closing(node, eager, lazy);
    await lazy.connect(node.listeningAddr!);
    assert.deepEqual([noDelay.mock.callCount(), keepAlive.mock.callCount()], [0, 0]);
    await eager.connect(node.listeningAddr!);
    assert.equal(noDelay.mock.callCount(), 1);
    assert.deepEqual(
      keepAlive.mock.calls.map(({ arguments: args }) => args),
      [[true, 60_000]],
    );
  });

  it('several nodes share a port with reusePort, where the system can', async () => {
    const first = unopened({ reusePort: true });
    await using _ = closing(first);
    const addr = await first.listen().catch((error: unknown) => {
      if (P2PError.is(error, 'unsupported')) return undefined;
      throw error;
    });
    if (addr === undefined) return; // Such a system says so, and that is all there is to test.
    const second = createNode({ security: 'none', reusePort: true });
    const initiator = unopened();
    await using __ = closing(second, initiator);
    assert.equal(await second.listen(addr), addr);
    await initiator.connect(addr);
    await until(() => first.connected + second.connected === 1);
  });

  it('IPv6: a listener on all addresses takes IPv4 too, and shows it as such', async (test) => {
    const node = createNode({ security: 'none', bind: '[::]:0' });
    const initiator = unopened();
    await using _ = closing(node, initiator);
    const addr = await node.listen().catch(() => undefined);
    if (addr === undefined) {
      test.skip('this machine has no IPv6');
      return;
    }
    await initiator.connect(`127.0.0.1:${addr.split(':').at(-1)}`);
    await until(() => node.connected === 1);
    assert.equal(node.connections()[0]!.ip, '127.0.0.1');
  });

  it('does not connect to itself', async () => {
    const node = await bare();
    const wild = await bare({ bind: '0.0.0.0:0' });
    await using _ = closing(node, wild);
    assert.equal(await codeOf(node.connect(node.listeningAddr!)), 'in_use');
    const port = wild.listeningAddr!.split(':')[1]!;
    assert.equal(await codeOf(wild.connect(`127.0.0.1:${port}`)), 'in_use');
    assert.equal(node.connecting + node.connected, 0);
  });

  it('a second connection to the same address is refused, one in the other direction is not', async () => {
    const [a, b] = [await bare(), await bare()];
    await using _ = closing(a, b);
    await a.connect(b.listeningAddr!);
    assert.equal(await codeOf(a.connect(b.listeningAddr!)), 'in_use');
    await b.connect(a.listeningAddr!);
    await until(() => a.connected === 2 && b.connected === 2);
  });

  it('of five parallel calls to one address exactly four fail', async () => {
    const [a, b] = [unopened(), await bare()];
    await using _ = closing(a, b);
    const codes = await Promise.all(Array.from({ length: 5 }, () => codeOf(a.connect(b.listeningAddr!))));
    assert.deepEqual(codes.toSorted(), ['in_use', 'in_use', 'in_use', 'in_use', 'resolved']);
    assert.equal(a.connected, 1);
  });

  it('connecting has a time limit, a signal, and says what is wrong', async () => {
    await using node = unopened();
    assert.equal(await codeOf(node.connect('127.0.0.1:1')), 'unreachable');
    // A listener whose queue is full does not answer.
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, resolve));
    const { port } = server.address() as { readonly port: number };
    await new Promise<void>((resolve) => server.close(() => resolve()));
    const given = new AbortController();
    const aborted = node.connect(`127.0.0.1:${port}`, { signal: given.signal });
    given.abort(new Error('changed my mind'));
    await assert.rejects(aborted, /changed my mind/);
    assert.equal(node.connecting, 0);
    assert.throws(() => node.connect('example.org:80'), TypeError);
    assert.throws(() => node.connect('127.0.0.1:0'), TypeError);
  });
});

describe('node: limits', () => {
  it('maxConnections 1: a second of ours is refused at once, a second that comes is dropped and counted', async () => {
    const [hub, a, b] = [await bare({ maxConnections: 1 }), await bare(), await bare()];
    await using _ = closing(hub, a, b);
    await a.connect(hub.listeningAddr!);
    await until(() => hub.connected === 1);
    assert.equal(await codeOf(hub.connect(b.listeningAddr!)), 'limit_exceeded');
    assert.equal(hub.heuristics.connectRefusals, 1);
    await b.connect(hub.listeningAddr!);
    await until(() => hub.heuristics.refused.get('max_connections') === 1);
    assert.equal(hub.connected, 1);
    assert.equal(hub.heuristics.acceptErrors, 0);
  });

  it('maxConnectionsPerIp 1: a second from one IP is dropped, one from another is not', async () => {
    const [hub, a] = [await bare({ maxConnectionsPerIp: 1 }), unopened()];
    const [b, c] = [unopened(), unopened()];
    await using _ = closing(hub, a, b, c);
    await a.connect(hub.listeningAddr!);
    await b.connect(hub.listeningAddr!);
    await until(() => hub.heuristics.refused.get('max_connections_per_ip') === 1);
    await c.connect(hub.listeningAddr!, { bind: '127.0.0.2:0' });
    await until(() => hub.connected === 2);
  });

  it('fifty at once never exceed a limit of three', async () => {
    const hub = await bare({ maxConnections: 3 });
    const peers = Array.from({ length: 50 }, () => unopened());
    await using _ = closing(hub, ...peers);
    let most = 0;
    hub.enable(onConnect(() => void (most = Math.max(most, hub.connected + hub.connecting))));
    await Promise.all(peers.map((peer) => peer.connect(hub.listeningAddr!)));
    await until(
      () => hub.heuristics.refused.get('max_connections')! + (hub.heuristics.refused.get('max_connecting') ?? 0) === 47,
    );
    assert.equal(most, 3);
    assert.equal(hub.connected, 3);
  });

  it('maxConnecting 3 with stalled handshakes: the fourth call is refused at once, and counts do not move', async () => {
    const [node, target] = [createNode({ security: 'none', maxConnecting: 3 }), await bare()];
    const others = [await bare(), await bare(), await bare()];
    await using _ = closing(node, target, ...others);
    node.enable(
      handshake(
        ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('end')))),
      ),
    );
    const stalled = others.map((other) => codeOf(node.connect(other.listeningAddr!)));
    await until(() => node.running.handshake === 3);
    assert.equal(await codeOf(node.connect(target.listeningAddr!)), 'limit_exceeded');
    assert.deepEqual([node.connecting, node.connected], [3, 0]);
    assert.equal(node.isConnecting(others[0]!.listeningAddr!), true);
    await node.close();
    assert.deepEqual(await Promise.all(stalled), ['closed', 'closed', 'closed']);
  });

  it('a banned IP is refused until its time is up, and what it has is ended', async () => {
    const [hub, a] = [await bare(), unopened()];
    await using _ = closing(hub, a);
    await a.connect(hub.listeningAddr!);
    await until(() => hub.connected === 1);
    hub.ban('127.0.0.1');
    assert.equal(await codeOf(hub.connect('127.0.0.1:9')), 'refused');
    await until(() => hub.connected === 0);
    assert.equal(hub.heuristics.ended.get('banned'), 1);
    const socket = rawConnect(Number(hub.listeningAddr!.split(':')[1]), '127.0.0.1');
    socket.on('error', () => undefined);
    await until(() => hub.heuristics.refused.get('banned') === 1);
    socket.destroy();
    assert.equal(hub.unban('127.0.0.1'), true);
    assert.equal(hub.bans.size, 0);
  });
});

describe('node: views and counts', () => {
  it('all views agree while it grows to five and shrinks in another order', async () => {
    const hub = await ear();
    const peers = await Promise.all(Array.from({ length: 5 }, () => ear()));
    await using _ = closing(hub.node, ...peers.map(({ node }) => node));
    const mine: TcpConnection[] = [];
    const agree = (): void => {
      assert.equal(hub.node.connected, mine.length);
      assert.deepEqual(
        hub.node
          .connections()
          .map(({ addr }) => addr)
          .toSorted(),
        mine.map(({ addr }) => addr).toSorted(),
      );
      for (const { addr } of mine) assert.equal(hub.node.connection(addr)?.addr, addr);
    };
    for (const { node } of peers) {
      mine.push(await hub.node.connect(node.listeningAddr!));
      agree();
    }
    for (const at of [2, 0, 2, 1, 0]) {
      const [gone] = mine.splice(at, 1);
      assert.equal(await gone!.disconnect(), true);
      assert.equal(gone!.state, 'closed');
      agree();
    }
    await until(() => peers.every(({ node }) => node.connected === 0));
  });

  it('a side that does not read does not notice that the peer closes', async () => {
    const [a, b] = [unopened(), await bare()];
    await using _ = closing(a, b);
    const peer = await a.connect(b.listeningAddr!);
    await until(() => b.connected === 1);
    assert.equal(await peer.disconnect(), true);
    assert.equal(await peer.disconnect(), false);
    assert.equal(a.connected, 0);
    assert.equal(b.connected, 1);
  });

  it('side is what the peer is, on both ends', async () => {
    const [a, b] = [await bare(), await bare()];
    await using _ = closing(a, b);
    const peer = await a.connect(b.listeningAddr!);
    await until(() => b.connected === 1);
    assert.equal(peer.side, 'responder');
    assert.equal(b.connections()[0]!.side, 'initiator');
    assert.equal(b.connection('127.0.0.1:1'), undefined);
  });

  it('counts are exact: messages and wire bytes, of node and connection, on both sides', async () => {
    const [a, b] = [await ear(), await ear()];
    await using _ = closing(a.node, b.node);
    const peer = await a.node.connect(b.node.listeningAddr!);
    const [count, size] = [37, 1234];
    for (let i = 0; i < count; i++) peer.send(new Uint8Array(size));
    await peer.flushed();
    await until(() => b.heard.length === count);
    const expected = { messages: count, bytes: count * (size + 4) };
    const there = b.node.connections()[0]!;
    for (const traffic of [peer.stats.sent, a.node.stats.sent, there.stats.received, b.node.stats.received]) {
      assert.deepEqual({ ...traffic }, expected);
    }
    assert.equal(peer.stats.wire.sent, expected.bytes);
    assert.equal(there.stats.wire.received, expected.bytes);
    await peer.disconnect();
    const again = await a.node.connect(b.node.listeningAddr!);
    again.send(new Uint8Array(1));
    await again.flushed();
    assert.equal(a.node.stats.sent.messages, count + 1);
    assert.equal(again.stats.sent.messages, 1);
    assert.deepEqual(a.node.stats.connected, { initiator: 0, responder: 2 }, 'by what the peer is');
  });

  it('closing frees the port, clears every view, and can be done twice; afterwards nothing connects', async () => {
    const [a, b] = [await bare(), await bare()];
    await using _ = closing(a, b);
    await a.connect(b.listeningAddr!);
    const addr = a.listeningAddr!;
    await Promise.all([a.close(), a.close()]);
    await a.close();
    assert.deepEqual([a.connected, a.connecting, a.listeningAddr, a.connections().length], [0, 0, undefined, 0]);
    assert.equal(await codeOf(a.connect(b.listeningAddr!)), 'closed');
    assert.equal(await codeOf(a.listen()), 'closed');
    assert.deepEqual(await a.closed, { by: 'local' });
    const next = unopened();
    assert.equal(await next.listen(addr), addr);
    await next.close();
  });
});

describe('node: bytes', () => {
  it('a flood of messages of all sizes arrives byte for byte, though memory is used again meanwhile', async () => {
    const [a, c] = [await ear(), await ear()];
    let [next, wrong] = [0, 0];
    const sizeOf = (i: number): number => (i % 500 === 0 ? 300_000 : i % 50 === 0 ? 20_000 : (i * 7919) % 1500);
    const onMessage = (_: TcpConnection, message: Uint8Array): Promise<void> | undefined => {
      const i = next++;
      const fits = message.length === sizeOf(i) && message.every((byte) => byte === i % 251);
      if (!fits) wrong++;
      // Now and then the sender has to wait, so that frames pile up.
      return i % 1000 === 999 ? new Promise((resolve) => setImmediate(resolve)) : undefined;
    };
    const b = await ear({}, { onMessage });
    await using _ = closing(a.node, b.node, c.node);
    const [peer, other] = [await a.node.connect(b.node.listeningAddr!), await a.node.connect(c.node.listeningAddr!)];
    const count = 20_000;
    for (let i = 0; i < count; i++) {
      const room = peer.send(new Uint8Array(sizeOf(i)).fill(i % 251));
      // Another connection writes to memory of the same pool.
      if (i % 3 === 0) other.send(new Uint8Array(100).fill(255));
      if (!room) await peer.ready();
    }
    await a.node.drain();
    assert.deepEqual([next, wrong], [count, 0]);
    assert.ok(c.heard.every(({ message }) => message.length === 100 && message.every((byte) => byte === 255)));
    assert.equal(c.heard.length, Math.ceil(count / 3));
  });
});

describe('node: hooks in any order', () => {
  it('a hook that is enabled while running holds for later connections only', async () => {
    const [a, b] = [unopened(), await bare()];
    await using _ = closing(a, b);
    const first = await a.connect(b.listeningAddr!);
    a.enable(writing());
    assert.throws(() => first.send(new Uint8Array(1)), { code: 'unsupported' });
    assert.equal(await codeOf(first.ready()), 'unsupported');
    const heard: number[] = [];
    b.enable(reading({ onMessage: (_, message) => void heard.push(message.length) }));
    await first.disconnect();
    const second = await a.connect(b.listeningAddr!);
    assert.equal(second.send(new Uint8Array(3)), true);
    await until(() => heard.length === 1);
    assert.deepEqual(heard, [3]);
    await second.disconnect();
    assert.throws(() => second.send(new Uint8Array(1)), { code: 'disconnected' });
  });
});
