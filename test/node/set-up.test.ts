/** Connections that are being set up: who ends them, what is counted, and that nothing is left of them; in virtual time. */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { handshake, type HandshakeStream, type Node, reading } from '../../src/node/index.ts';
import { never, World } from '../support/node-world.ts';

/** A handshake that shows its stream and does not end by itself. */
function stalling(node: Node): HandshakeStream[] {
  const streams: HandshakeStream[] = [];
  node.enable(
    handshake(
      async ({ stream, signal }) => {
        streams.push(stream);
        await never(signal);
      },
      { timeoutMs: 60_000 },
    ),
  );
  return streams;
}

const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );

describe('a ban', () => {
  it('ends set-ups with the banned IP, dialled and dialling, and no other', async () => {
    const world = new World();
    const [bob, banned, other] = [world.node({}, '10.0.0.1'), world.node({}, '10.9.0.1'), world.node({}, '10.9.0.2')];
    for (const node of [bob, banned, other]) stalling(node);
    const addr = await bob.listen('10.0.0.1:65535');
    const theirs = await banned.listen();
    const dialling = messageOf(banned.connect(addr));
    const kept = messageOf(other.connect(addr));
    const dialled = messageOf(bob.connect(theirs));
    await world.clock.advance(100);
    assert.equal(bob.connecting, 3);
    bob.ban('10.9.0.1');
    assert.equal(await world.run(dialled), `Cannot connect with ${theirs}: its IP is banned`);
    await world.clock.advance(10);
    assert.equal(bob.connecting, 1, 'the other one goes on');
    assert.equal(bob.isConnecting(theirs), false);
    assert.deepEqual([...bob.heuristics.refused], [['banned', 2]]);
    assert.equal(bob.connected, 0);
    await world.close(bob, banned, other);
    for (const left of [kept, dialling]) assert.notEqual(await left, 'resolved');
  });

  it('leaves no connection, in whichever step of the end of a handshake it comes', async () => {
    for (let steps = 0; steps < 16; steps++) {
      const world = new World();
      const [bob, alice] = [world.node({}, '10.0.0.1'), world.node({}, '10.9.0.1')];
      bob.enable(
        handshake(async ({ connection }) => {
          let step = Promise.resolve();
          for (let i = 0; i < steps; i++) step = step.then(() => undefined);
          void step.then(() => bob.ban(connection.ip));
        }),
      );
      const addr = await bob.listen();
      alice.enable(reading({ onMessage: () => undefined }));
      await world.run(alice.connect(addr).catch(() => undefined));
      await world.clock.advance(2000);
      assert.deepEqual([bob.connected, bob.connecting, alice.connected], [0, 0, 0], `after ${steps} steps`);
      await world.close(alice, bob);
    }
  });

  it('closes the connections that its IP makes, at once', async () => {
    const world = new World();
    const [bob, alice] = [world.node({}, '10.0.0.1'), world.node({}, '10.9.0.1')];
    alice.enable(reading({ onMessage: () => undefined }));
    const addr = await bob.listen();
    bob.ban('10.9.0.1');
    const peer = await world.run(alice.connect(addr));
    await world.clock.advance(10);
    assert.equal(peer.state, 'closed');
    assert.deepEqual([...bob.heuristics.refused], [['banned', 1]]);
    await world.close(alice, bob);
  });

  it('forMs of 0 bans nobody', async () => {
    const world = new World();
    const [bob, alice] = [world.node({}, '10.0.0.1'), world.node({}, '10.9.0.1')];
    const addr = await bob.listen();
    bob.ban('10.9.0.1', { forMs: 0 });
    await world.connect(alice, addr);
    assert.equal(bob.connected, 1);
    await world.close(alice, bob);
  });
});

describe('the stream of a handshake', () => {
  /** What a handshake on the listening side gets from its stream. */
  async function of(
    act: (stream: HandshakeStream, initiator: Node, signal: AbortSignal) => Promise<unknown>,
  ): Promise<string> {
    const world = new World();
    const [bob, alice] = [world.node(), world.node()];
    stalling(alice);
    const done = Promise.withResolvers<string>();
    bob.enable(
      handshake(async ({ stream, signal }) => {
        done.resolve(await messageOf((async () => act(stream, alice, signal))()));
      }),
    );
    const connecting = messageOf(alice.connect(await bob.listen()));
    const said = await world.run(done.promise);
    await world.close(alice, bob);
    await connecting;
    return said;
  }

  it('reads one at a time, up to 1 MiB, and nothing at once', async () => {
    assert.equal(
      await of(async (stream) => {
        void stream.read(1).catch(() => undefined);
        await stream.read(1);
      }),
      'Cannot read: another read is under way',
    );
    assert.match(await of((stream) => stream.read(1_048_577)), /^Cannot take length: .*1048577/);
    assert.match(await of((stream) => stream.read(-1)), /^Cannot take length: /);
    assert.equal(await of(async (stream) => assert.equal((await stream.read(0)).length, 0)), 'resolved');
  });

  it('gives a stream of Node for a socket on a virtual host as well, and writes bytes only', async () => {
    assert.equal(await of(async (stream) => assert.ok(stream.takeSocket() instanceof Duplex)), 'resolved');
    assert.match(await of((stream) => stream.write('text' as never)), /^Cannot take bytes: /);
  });

  it('of a peer that is gone reads what came and then nothing, and a read of 1 MiB is taken until then', async () => {
    assert.equal(
      await of((stream, alice) => {
        const read = stream.read(1_048_576);
        void alice.close();
        return read;
      }),
      'Cannot finish handshake: the peer is gone',
    );
  });

  it('ends its reads and writes with the time of the handshake, with the reason, and is of no use after it', async () => {
    const world = new World();
    const [bob, alice] = [world.node(), world.node()];
    stalling(alice);
    const ended: Promise<string>[] = [];
    let kept: HandshakeStream | undefined;
    let after: AbortSignal | undefined;
    bob.enable(
      handshake(
        async ({ stream, signal }) => {
          kept = stream;
          after = signal;
          ended.push(messageOf(stream.read(10)), messageOf(stream.write(new Uint8Array(1_000_000))));
          await never();
        },
        { timeoutMs: 3000 },
      ),
    );
    const connecting = messageOf(alice.connect(await bob.listen()));
    await world.clock.advance(2999);
    assert.equal(after!.aborted, false);
    await world.clock.advance(10);
    assert.ok(P2PError.is(after!.reason, 'timeout'));
    for (const said of await Promise.all(ended))
      assert.match(said, /^Cannot finish handshake with .*: not done within 3000 ms$/);
    for (const late of [kept!.read(1), kept!.write(new Uint8Array(1))]) {
      assert.match(await messageOf(late), /not done within 3000 ms$/);
    }
    assert.deepEqual([...bob.heuristics.refused], [['handshake_timeout', 1]]);
    assert.equal(bob.connecting, 0);
    await world.close(alice, bob);
    await connecting;
  });

  it('takes no more than 64 KiB and a piece that nobody asks for, and all of it is there later', async () => {
    const world = new World();
    const [bob, alice] = [world.node(), world.node()];
    const go = Promise.withResolvers<void>();
    const read = Promise.withResolvers<number>();
    let received = (): number => 0;
    alice.enable(
      handshake(async ({ stream, signal }) => {
        for (let i = 0; i < 64; i++) await stream.write(new Uint8Array(16_384).fill(i));
        await never(signal);
      }),
    );
    bob.enable(
      handshake(
        async ({ stream, connection }) => {
          received = () => connection.stats.wire.received;
          await stream.read(1);
          await go.promise;
          for (let at = 0; at < 63; at++) {
            const bytes = await stream.read(16_384);
            assert.deepEqual([bytes[0], bytes[16_383]], [at, at + 1]);
          }
          read.resolve(received());
        },
        { timeoutMs: Infinity },
      ),
    );
    const connecting = messageOf(alice.connect(await bob.listen()));
    await world.clock.advance(1000);
    assert.ok(received() > 65_536 && received() <= 65_536 + 2 * 65_536, String(received()));
    go.resolve();
    assert.ok((await world.run(read.promise)) >= 63 * 16_384);
    await world.close(alice, bob);
    await connecting;
  });

  it('leaves no listener at its signal for writes that are done', async () => {
    assert.equal(
      await of(async (stream, _, signal) => {
        await stream.write(new Uint8Array(10));
        const before = getEventListeners(signal, 'abort').length;
        for (let i = 0; i < 20; i++) await stream.write(new Uint8Array(10));
        assert.equal(getEventListeners(signal, 'abort').length, before);
      }),
      'resolved',
    );
  });

  it('a result that is none is refused with the reason', async () => {
    for (const [result, why] of [
      [{ rest: 'text' }, /rest: expected a Uint8Array/],
      [true, /expected nothing or \{ transport, publicKey, rest \}/],
    ] as const) {
      const world = new World();
      const [bob, alice] = [world.node(), world.node()];
      const addr = await bob.listen();
      alice.enable(handshake(async () => result as never));
      assert.match(await world.run(messageOf(alice.connect(addr))), why);
      assert.deepEqual([alice.connected, alice.connecting], [0, 0]);
      await world.close(alice, bob);
    }
  });

  it('a read that is left under way when the handshake is over is ended', async () => {
    const world = new World();
    const [bob, alice] = [world.node(), world.node()];
    const left: Promise<string>[] = [];
    bob.enable(handshake(async ({ stream }) => void left.push(messageOf(stream.read(5)))));
    const peer = await world.connect(alice, await bob.listen());
    assert.equal(await left[0], 'Cannot finish handshake: the peer is gone');
    assert.equal(peer.state, 'open');
    await world.close(alice, bob);
  });
});
