/** Handshakes, onConnect and onDisconnect in virtual time. Names follow the original's list of behaviours. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { type TcpConnection, handshake, onConnect, onDisconnect, reading, writing } from '../../src/node/index.ts';
import { never, rawTexts, World } from '../support/node-world.ts';

describe('handshake', () => {
  const nonces = (name: string, seen: string[]) =>
    handshake(async ({ stream }) => {
      await stream.write(encodeText(name));
      seen.push(new TextDecoder().decode(await stream.read(5)));
    });

  it('on both sides: nonces are exchanged, and bytes read past it are messages', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    const seen: string[] = [];
    const heard: string[] = [];
    a.enable(nonces('alice', seen));
    b.enable(
      handshake(async ({ stream }) => {
        seen.push(new TextDecoder().decode(await stream.read(5)));
        // The answer comes late: by then the first message lies behind the nonce.
        await stream.write(encodeText('bobby'));
      }),
    );
    a.enable(writing());
    b.enable(reading({ onMessage: (_, text) => void heard.push(text) }));
    a.enable(onConnect((peer) => peer.send('first')));
    await world.connect(a, await b.listen());
    assert.deepEqual(seen.toSorted(), ['alice', 'bobby']);
    assert.deepEqual(heard, ['first']);
    await world.close(a, b);
  });

  it('read past: what comes in one piece with the handshake is carried over', async () => {
    const world = new World();
    const [a, b] = [world.node({ codec: rawTexts }), await world.talker()];
    b.node.enable(handshake(async ({ stream }) => void (await stream.read(5))));
    a.enable(writing());
    const peer = await world.connect(a, b.addr);
    peer.send('alice\u0000\u0000\u0000\u0002hi\u0000\u0000\u0000\u0003you');
    await world.clock.advance(10);
    assert.deepEqual(b.heard, ['hi', 'you']);
    await world.close(a, b.node);
  });

  it('on one side only it fails in time, and nothing is left', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    a.enable(nonces('alice', []));
    const failed = world.codeOf(a.connect(await b.listen()));
    assert.equal(await failed, 'timeout');
    assert.equal(world.clock.nowMs(), 5002); // Five seconds by default, behind two of connecting.
    assert.deepEqual([a.connecting, a.connected], [0, 0]);
    assert.equal(a.heuristics.refused.get('handshake_timeout'), 1);
    await world.close(a, b);
  });

  it('a failed handshake: reading never begins, even with a frame in the socket; the slot is free, the socket closed', async () => {
    const world = new World();
    const [a, b] = [world.node({ codec: rawTexts }), await world.talker()];
    b.node.enable(handshake(() => Promise.reject(new Error('not one of us'))));
    a.enable(writing());
    a.enable(reading({ onMessage: () => undefined }));
    const peer = await world.run(a.connect(b.addr));
    peer.send('\u0000\u0000\u0000\u0002hi');
    const how = await world.run(peer.closed);
    assert.ok(['closed_by_peer', 'reset'].includes(how.reason));
    assert.deepEqual(b.heard, []);
    assert.deepEqual([b.node.connecting, b.node.connected], [0, 0]);
    assert.equal(b.node.heuristics.refused.get('handshake_failed'), 1);
    await world.close(a, b.node);
  });

  it('what it throws is the cause of refused; a P2PError stays as it is', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    a.enable(handshake(() => Promise.reject(new Error('no thanks'))));
    await assert.rejects(world.run(a.connect(await b.listen())), (error: Error) => {
      assert.match(error.message, /no thanks/);
      return (error as Error & { code: string }).code === 'refused' && (error.cause as Error).message === 'no thanks';
    });
    await world.close(a, b);
  });

  it('maxConnecting 1: the slot is free again after three that work and three that fail', async () => {
    const world = new World();
    const hub = world.node({ maxConnecting: 1 });
    let fail = false;
    hub.enable(handshake(() => (fail ? Promise.reject(new Error('no')) : Promise.resolve())));
    await hub.listen();
    for (let i = 0; i < 6; i++) {
      fail = i >= 3;
      const node = world.node();
      await world.connect(node, hub.listeningAddr!);
      assert.equal(hub.connecting, 0);
    }
    assert.equal(hub.connected, 3);
    assert.equal(hub.heuristics.refused.get('handshake_failed'), 3);
    await world.close(hub);
  });

  it('a hundred stalled ones all time out, all slots are free, all are counted', async () => {
    const world = new World();
    const hub = world.node();
    hub.enable(handshake(({ stream }) => stream.read(1).then(() => undefined), { timeoutMs: 100 }));
    await hub.listen();
    const peers = Array.from({ length: 100 }, () => world.node());
    await world.run(Promise.all(peers.map((peer) => peer.connect(hub.listeningAddr!))));
    await world.clock.advance(1); // The last packet of the handshake of TCP.
    assert.equal(hub.connecting, 100);
    await world.clock.advance(110);
    assert.equal(hub.connecting, 0);
    assert.equal(hub.heuristics.refused.get('handshake_timeout'), 100);
    await world.close(hub, ...peers);
  });

  it('a transform carries the bytes, those read past the handshake included', async () => {
    const world = new World();
    const [a, b] = [world.node(), await world.talker()];
    const flip = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(bytes, (byte) => byte ^ 0xff);
    const flipping = handshake(async ({ stream, connection }) => {
      if (connection.side === 'responder') await stream.write(encodeText('go'));
      else await stream.read(2);
      return { transport: { seal: (batch) => batch.map(flip), open: (chunk) => [flip(chunk)] } };
    });
    a.enable(flipping);
    b.node.enable(flipping);
    a.enable(writing());
    a.enable(onConnect((peer) => peer.send('secret')));
    await world.connect(a, b.addr);
    assert.deepEqual(b.heard, ['secret']);
    await world.close(a, b.node);
  });

  it('a transform that throws ends its connection only', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker()];
    b.node.enable(
      handshake(() =>
        Promise.resolve({
          transport: {
            seal: (batch: readonly Uint8Array[]) => batch,
            open: () => {
              throw new Error('bad tag');
            },
          },
        }),
      ),
    );
    const peer = await world.connect(a.node, b.addr);
    peer.send('x');
    await world.clock.advance(10);
    assert.equal(b.node.heuristics.ended.get('malformed'), 1);
    await world.close(a.node, b.node);
  });
});

describe('connecting', () => {
  it('isConnecting holds while a gated handshake lasts, then the connection is there', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    a.enable(handshake(() => gate));
    const connecting = a.connect(await b.listen());
    await world.clock.advance(10);
    const addr = b.listeningAddr!;
    assert.deepEqual([a.isConnecting(addr), a.connection(addr), a.connecting], [true, undefined, 1]);
    open();
    const peer = await world.run(connecting);
    assert.deepEqual([a.isConnecting(addr), a.connection(addr), a.connecting], [false, peer, 0]);
    await world.close(a, b);
  });

  it('a host that does not answer in time is a timeout, then, and leaves no place taken', async () => {
    const world = new World({ latencyMs: 60_000 });
    const [a, b] = [world.node({ connectTimeoutMs: 300 }), world.node()];
    assert.equal(await world.codeOf(a.connect(await b.listen())), 'timeout');
    assert.equal(world.clock.nowMs(), 300);
    assert.deepEqual([a.connecting, a.connected], [0, 0]);
    assert.equal(await world.codeOf(a.connect(b.listeningAddr!, { timeoutMs: 100 })), 'timeout');
    assert.equal(world.clock.nowMs(), 400);
    await world.close(a, b);
  });

  it('ending one of three leaves the others as they are', async () => {
    const world = new World();
    const [hub, ...others] = [world.node(), world.node(), world.node(), world.node()];
    const peers: TcpConnection[] = [];
    for (const other of others) peers.push(await world.connect(hub, await other.listen()));
    await world.run(peers[1]!.disconnect());
    assert.deepEqual(hub.connections(), [peers[0], peers[2]]);
    assert.deepEqual(
      peers.map(({ state }) => state),
      ['open', 'closed', 'open'],
    );
    await world.close(hub, ...others);
  });
});

describe('onConnect and onDisconnect', () => {
  it('onConnect can send; connect does not wait for it', async () => {
    const world = new World();
    const [a, b] = [world.node(), await world.talker()];
    a.enable(writing());
    let finished = false;
    a.enable(
      onConnect(async (peer, { signal }) => {
        peer.send('hello');
        await never(signal).catch(() => undefined);
        finished = true;
      }),
    );
    const peer = await world.connect(a, b.addr);
    assert.deepEqual(b.heard, ['hello']);
    assert.equal(finished, false);
    assert.equal(a.running.onConnect, 1);
    await world.run(peer.disconnect());
    assert.equal(finished, true);
    await world.close(a, b.node);
  });

  it('not abortable: runs to its end after the connection; abortable: its signal is aborted', async () => {
    const world = new World();
    const [a, b] = [world.node(), world.node()];
    const ended: string[] = [];
    const pause = (): Promise<void> =>
      new Promise((resolve) => void world.clock.setTimer(world.clock.nowMs() + 1000, resolve));
    a.enable(
      onConnect(
        async (_, { signal }) => {
          await pause();
          ended.push(`a ${signal.aborted}`);
        },
        { abortable: false },
      ),
    );
    b.enable(
      onConnect(async (_, { signal }) => {
        await pause();
        ended.push(`b ${signal.aborted}`);
      }),
    );
    await world.connect(a, await b.listen());
    await world.close(a, b);
    await world.clock.advance(2000);
    assert.deepEqual(ended.toSorted(), ['a false', 'b true']);
  });

  it('onDisconnect comes once on both sides, with origins; sending works in it', async () => {
    const world = new World();
    const [a, b] = [await world.talker(), await world.talker()];
    const seen: string[] = [];
    a.node.enable(
      onDisconnect((peer, { origin, reason }) => {
        seen.push(`a ${origin} ${reason}`);
        peer.send('farewell');
      }),
    );
    b.node.enable(onDisconnect((_, { origin, reason }) => void seen.push(`b ${origin} ${reason}`)));
    const peer = await world.connect(a.node, b.addr);
    const both = [peer.disconnect(), peer.disconnect()];
    assert.deepEqual(await world.run(Promise.all(both)), [true, false]);
    assert.deepEqual(seen, ['a user closed', 'b reading closed_by_peer']);
    assert.deepEqual(b.heard, ['farewell']);
    await world.close(a.node, b.node);
    assert.equal(seen.length, 2);
  });

  it('onDisconnect that hangs is waited for in its time, and close for a second at most', async () => {
    const world = new World();
    const [a, b, c] = [world.node(), world.node(), world.node()];
    let given: AbortSignal | undefined;
    a.enable(
      onDisconnect(
        (_, { signal }) => {
          given = signal;
          return never();
        },
        { timeoutMs: 200 },
      ),
    );
    const peer = await world.connect(a, await b.listen());
    const from = world.clock.nowMs();
    await world.run(peer.disconnect());
    assert.equal(world.clock.nowMs() - from, 200);
    assert.equal(given?.aborted, true);
    assert.equal(a.heuristics.hookErrors, 1);
    c.enable(onDisconnect(() => never(), { timeoutMs: Infinity }));
    await world.connect(c, b.listeningAddr!);
    const before = world.clock.nowMs();
    await world.close(c);
    assert.ok(world.clock.nowMs() - before <= 1000);
    assert.deepEqual([c.connected, c.connecting], [0, 0]);
    await world.close(a, b);
  });

  it('a disconnect that is given up still ends the connection', async () => {
    const world = new World();
    const [a, b] = [world.node({ maxConnectionsPerIp: 1 }), world.node()];
    a.enable(onDisconnect(() => never(), { timeoutMs: 10_000 }));
    const peer = await world.connect(a, await b.listen());
    const given = new AbortController();
    const ending = peer.disconnect({ signal: given.signal });
    await world.clock.advance(100);
    given.abort();
    await world.run(ending);
    assert.equal(a.connected, 0);
    await world.connect(a, b.listeningAddr!);
    await world.close(a, b);
  });

  it('a connect that is given up leaves nothing behind', async () => {
    const world = new World({ latencyMs: 100 });
    const [a, b] = [world.node(), await world.talker()];
    const given = new AbortController();
    const connecting = a.connect(b.addr, { signal: given.signal });
    await world.clock.advance(150);
    given.abort(new Error('enough'));
    await assert.rejects(world.run(connecting), /enough/);
    await world.clock.advance(1000);
    assert.deepEqual([a.connected, a.connecting, b.node.connected], [0, 0, 0]);
    await world.close(a, b.node);
  });
});
