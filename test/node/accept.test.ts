/** Whether a peer may talk to a node: `accept` and `recheck`, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createNode, handshake, type NodeAccept, noise } from '../../src/node/index.ts';
import type { Network } from '../../src/net/network.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { World } from '../support/node-world.ts';

const idOf = (key: number) => peerIdOfKey(testKey(key).publicKey);

/** Two nodes with keys 1 and 2 that read and write; the second one has an `accept`. */
async function pair(world: World, accept: NodeAccept, timeoutMs?: number) {
  const security = (key: number) => noise({ pattern: 'XX', privateKey: testKey(key), realm: world.realm, timeoutMs });
  const alice = await world.talker({ security: security(1) });
  const bob = await world.talker({ security: security(2), accept });
  return { alice, bob };
}

describe('accept of a node', () => {
  it('gets id, key, address and side of a peer that dials and of one that is dialled', async () => {
    const world = new World();
    const seen: unknown[] = [];
    const { alice, bob } = await pair(world, ({ id, publicKey, addr, side, connection }) => {
      seen.push([id, publicKey.algorithm, addr.text, side, connection.side, connection.publicKey]);
      return true;
    });
    const there = await world.connect(alice.node, bob.addr);
    const here = await world.connect(bob.node, alice.addr);
    assert.deepEqual(seen, [
      [idOf(1), 'ed25519', there.localAddr, 'initiator', 'initiator', undefined],
      [idOf(1), 'ed25519', alice.addr, 'responder', 'responder', undefined],
    ]);
    assert.deepEqual([there.side, here.side], ['responder', 'responder']);
    assert.equal(peerIdOfKey(here.publicKey!), idOf(1));
    await world.close(alice.node, bob.node);
  });

  it('may take 1 s, longer than the handshake itself has left; nothing is delivered or announced before', async () => {
    const world = new World();
    const verdict = Promise.withResolvers<boolean>();
    const { alice, bob } = await pair(world, () => verdict.promise, 500);
    const peer = await world.connect(alice.node, bob.addr);
    peer.send('hello');
    await world.clock.advance(1000);
    assert.deepEqual([bob.heard, bob.node.connected, bob.node.connecting], [[], 0, 1]);
    verdict.resolve(true);
    await world.clock.advance(10);
    assert.deepEqual([bob.heard, bob.node.connected], [['hello'], 1]);
    await world.close(alice.node, bob.node);
  });

  it('a verdict that never comes is a no after 5 s: the connection is refused, counted, and its place is free', async () => {
    const world = new World();
    const { alice, bob } = await pair(world, () => new Promise(() => undefined));
    const fromMs = world.clock.nowMs();
    const peer = await world.connect(alice.node, bob.addr);
    await world.run(peer.closed);
    const tookMs = world.clock.nowMs() - fromMs;
    assert.ok(tookMs >= 5000 && tookMs < 5100, `${tookMs} ms`);
    assert.deepEqual([...bob.node.heuristics.refused], [['not_accepted', 1]]);
    assert.equal(bob.node.heuristics.hookErrors, 1);
    // And for a peer that is dialled: the call hears of it.
    assert.equal(await world.codeOf(bob.node.connect(alice.addr)), 'refused');
    assert.deepEqual([bob.node.connecting, bob.node.connected], [0, 0]);
    await world.close(alice.node, bob.node);
    assert.equal(world.realm.clock.waits.length, 0);
  });

  it('a throw, another value and a promise that fails are a no, and a fault that is counted', async () => {
    for (const accept of [
      () => {
        throw new Error('a bug of the user');
      },
      () => 1,
      () => Promise.reject(new Error('a bug of the user')),
      () => Promise.resolve('yes'),
    ]) {
      const world = new World();
      const { alice, bob } = await pair(world, accept as unknown as NodeAccept);
      assert.equal(await world.codeOf(bob.node.connect(alice.addr)), 'refused');
      assert.equal(bob.node.heuristics.refused.get('not_accepted'), 1);
      assert.equal(bob.node.heuristics.hookErrors, 1);
      await world.close(alice.node, bob.node);
    }
  });

  it('is asked about the key that a handshake of the user returns, and refuses one that proves none', async () => {
    const world = new World();
    const { publicKey } = testKey(7);
    const asked: string[] = [];
    const accept: NodeAccept = ({ id }) => asked.push(id) === 1;
    const named = world.node({ security: handshake(async () => ({ publicKey })), accept });
    const nameless = world.node({ security: handshake(async () => undefined), accept });
    const peer = world.node();
    const addr = await peer.listen();
    assert.equal(peerIdOfKey((await world.connect(named, addr)).publicKey!), idOf(7));
    assert.equal(await world.codeOf(nameless.connect(addr)), 'identity_mismatch');
    assert.deepEqual(asked, [idOf(7)]);
    await world.close(named, nameless, peer);
  });

  it('recheck asks again, and ends the connections of peers that it refuses', async () => {
    const world = new World();
    let isWelcome = true;
    const { alice, bob } = await pair(world, async () => isWelcome);
    const peer = await world.connect(alice.node, bob.addr);
    await world.run(bob.node.recheck());
    assert.equal(peer.state, 'open');
    isWelcome = false;
    await world.run(bob.node.recheck());
    await world.run(peer.closed);
    assert.deepEqual([...bob.node.heuristics.ended], [['not_accepted', 1]]);
    await world.close(alice.node, bob.node);
  });
});

describe('security of a node', () => {
  const untyped = createNode as (options?: unknown) => unknown;

  it('has to be said: without it, and with anything else, there is no node', () => {
    const sentence =
      /^TypeError: Cannot take security: expected tls\(…\), noise\(…\), handshake\(…\) or, for connections without encryption, 'none', got /;
    for (const options of [{}, { security: undefined }, { security: 'tls' }, { security: {} }, { security: null }]) {
      assert.throws(() => untyped(options), sentence);
    }
  });

  it("with 'none' there are no keys for accept to judge, and a handshake may be enabled; with another one it may not", () => {
    assert.throws(() => createNode({ security: 'none', accept: () => true }), /^TypeError: Cannot take accept: /);
    const raw = createNode({ security: 'none' });
    assert.equal(raw.isRaw, true);
    raw.enable(handshake(async () => undefined));
    assert.equal(raw.isRaw, false);
    const secured = createNode({ security: noise({ pattern: 'XX' }) });
    assert.equal(secured.isRaw, false);
    assert.throws(() => secured.enable(handshake(async () => undefined)), /^TypeError: Cannot enable handshake: /);
  });

  it('reading and writing need a codec', () => {
    const node = createNode({ security: 'none' });
    assert.throws(() => node.enable({ kind: 'reading' }), TypeError);
    assert.throws(() => untyped({ security: 'none', codec: { decoder: () => undefined } }), /codec\.encoder/);
  });
});

describe('the default bind of a node', () => {
  it('is dual stack, and IPv4 on a machine without IPv6', async () => {
    const world = new World();
    const host = world.net.host('10.0.0.1');
    for (const hasIpv6 of [true, false]) {
      const binds: string[] = [];
      const listen: typeof host.listen = (options) => {
        binds.push(options.bind.ip);
        const missing = new P2PError('unreachable', 'local', 'no such address', { sent: 'no' });
        return options.bind.ip === '::' && !hasIpv6 ? Promise.reject(missing) : host.listen(options);
      };
      const network: Network = Object.assign(Object.create(host), { listen });
      const node = world.node({ network, bind: undefined });
      await node.listen();
      assert.deepEqual(binds, hasIpv6 ? ['::'] : ['::', '0.0.0.0']);
      await node.stopListening();
      // One that was asked for is not replaced by another.
      const asked = world.codeOf(node.listen('[::]:0'));
      assert.equal(await asked, hasIpv6 ? 'resolved' : 'unreachable');
      await world.close(node);
    }
  });
});
