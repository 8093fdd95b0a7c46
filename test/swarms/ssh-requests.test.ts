/** The SSH swarm in virtual time, with peers that have no frames: messages are global requests, as with go-p2p. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes, encodeText, toHex } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import { MSG } from '../../src/protocols/ssh/constants.ts';
import { byte, string, uint32 } from '../../src/protocols/ssh/wire.ts';
import { type SshAddr, sshAddr, sshIdOf } from '../../src/swarms/ssh/address.ts';
import { openSshSwarm } from '../../src/swarms/ssh/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { answers, inboxOf, request, sshWorld } from '../support/ssh-world.ts';

const [A, B] = ['203.0.113.1', '203.0.113.2'] as const;
const hello = encodeText('hello');

describe('ssh: peers without frames', () => {
  it('a peer that sends more than handlers take is not read until they are done, and nothing is lost', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B, { maxPendingMessages: 4, maxPendingBytes: 1000, maxMessageBytes: 1000 });
    const { promise, resolve } = Promise.withResolvers<void>();
    const come: number[] = [];
    bob.listen(async ({ payload }) => {
      come.push(payload[0]!);
      await promise;
    });
    const peer = await foreignClient(A, bob.addr);
    for (let i = 0; i < 200; i++) request(peer, false, new Uint8Array(500).fill(i));
    await pass(1000);
    assert.equal(come.length, 2);
    assert.ok(Number(inspect(bob).state['heldBytes']) < 20_000);
    resolve();
    await pass(1000);
    assert.deepEqual(
      come,
      Array.from({ length: 200 }, (_, i) => i),
    );
    await run(bob.close());
  });

  it('what all peers make the swarm hold is one budget, and all of it arrives when there is room', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B, { maxSwarmBytes: 200_000, maxMessageBytes: 1000 });
    const peers = await Promise.all([2, 3, 4].map((i) => foreignClient(`198.51.${i}.1`, bob.addr, 10 + i)));
    for (const peer of peers) for (let i = 0; i < 300; i++) request(peer, false, new Uint8Array(1000).fill(i));
    await pass(1000);
    const state = inspect(bob).state;
    assert.ok(Number(state['heldBytes']) < 500_000, `${state['heldBytes']} bytes are held`);
    assert.ok(Number(state['waiting']) > 0, 'connections wait for room');
    const come = new Map<string, number[]>();
    bob.listen(({ src, payload }) => {
      come.set(src.fingerprint, [...(come.get(src.fingerprint) ?? []), payload[0]!]);
    });
    await pass(5000);
    const expected = Array.from({ length: 300 }, (_, i) => i % 256);
    assert.deepEqual([...come.values()], [expected, expected, expected]);
    await run(bob.close());
  });

  it('an idle connection is closed after ten minutes, and not before', async () => {
    const { open, foreignClient, run, realm } = sshWorld();
    const bob = await open(1, B);
    bob.listen(() => {});
    const peer = await foreignClient(A, bob.addr);
    await realm.clock.advance(599_000);
    assert.equal(inspect(bob).state['peers'], 1);
    request(peer, false, hello);
    await realm.clock.advance(599_000);
    assert.equal(inspect(bob).state['peers'], 1);
    await realm.clock.advance(10_000);
    assert.equal(inspect(bob).state['peers'], 0);
    assert.deepEqual([peer.end.closed?.by, peer.end.closed?.reason], ['peer', 'idle']);
    await run(bob.close());
  });

  it('a peer that connects again is reached over the new connection, and the old one stays until it is idle', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    const sources: SshAddr[] = [];
    bob.listen(({ src }) => void sources.push(src));
    const old = await foreignClient(A, bob.addr);
    request(old, false, hello);
    await pass(6000);
    const fresh = await foreignClient(A, bob.addr);
    request(fresh, false, hello);
    await pass();
    assert.equal(sources.length, 2);
    for (const src of sources) await run(bob.tell(src, hello));
    await pass();
    assert.deepEqual([old.end.payloads.length, fresh.end.payloads.length], [0, 2]);
    request(old, false, hello);
    await pass();
    assert.equal(sources.length, 3, 'what comes over the old one still arrives');
    await run(bob.close());
  });

  it('messages larger than this side takes are dropped or refused, and counted', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B, { maxMessageBytes: 100 });
    const inbox = inboxOf(bob);
    bob.serve(({ payload }) => payload);
    const peer = await foreignClient(A, bob.addr);
    request(peer, false, new Uint8Array(101));
    request(peer, true, new Uint8Array(101));
    request(peer, true, new Uint8Array(100).fill(97));
    await pass();
    assert.deepEqual(answers(peer), [undefined, 'a'.repeat(100)]);
    assert.equal(inbox.length, 0);
    assert.equal(bob.counters.drops.get('oversize'), 2);
    await run(bob.close());
  });

  it('messages are the bytes that go-p2p sends', async () => {
    const { open, foreignServer, run, pass } = sshWorld();
    const alice = await open(0, A);
    const connections = await foreignServer(B, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: B, port: 4000 });
    await run(alice.tell(addr, hello));
    const asked = alice.ask(addr, hello);
    asked.catch(() => undefined);
    await pass();
    assert.deepEqual(
      connections[0]!.end.payloads.map((payload) => toHex(payload)),
      ['50000000000068656c6c6f', '50000000000168656c6c6f'],
    );
    await run(alice.close());
  });

  it('a peer that does not read is sent no more than a megabyte ahead, and everything once it reads', async () => {
    const { open, foreignServer, run, pass } = sshWorld();
    const alice = await open(0, A);
    const connections = await foreignServer(B, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: B, port: 4000 });
    await run(alice.tell(addr, hello));
    await pass();
    connections[0]!.pipe.pause();
    const tells = Array.from({ length: 60 }, (_, i) => alice.tell(addr, new Uint8Array(100_000).fill(i)));
    await pass(1000);
    const queued = Number(inspect(alice).state['queuedBytes']);
    assert.ok(queued > 3_000_000 && queued < 6_000_000, `${queued} bytes wait`);
    connections[0]!.pipe.resume();
    await run(Promise.all(tells));
    await run(alice.drain());
    await pass(1000);
    const come = connections[0]!.end.payloads.slice(1).map((payload) => payload[6]);
    assert.deepEqual(
      come,
      Array.from({ length: 60 }, (_, i) => i),
    );
    await run(alice.close());
  });

  it('the largest message follows from the largest packet', async () => {
    const { open, foreignServer, run, pass } = sshWorld();
    const alice = await open(0, A, { maxPacketBytes: 35_000 });
    const connections = await foreignServer(B, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: B, port: 4000 });
    await run(alice.tell(addr, hello));
    assert.equal(alice.mtu(addr), 32_762);
    await run(alice.tell(addr, new Uint8Array(32_762)));
    await assert.rejects(alice.tell(addr, new Uint8Array(32_763)), (error) => P2PError.is(error, 'mtu_exceeded'));
    await pass();
    assert.equal(connections[0]!.end.payloads.at(-1)!.length, 32_768);
    await run(alice.close());
  });

  it('an answer that nobody has asked for ends the connection', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    const peer = await foreignClient(A, bob.addr);
    peer.end.transport.send([byte(MSG.REQUEST_SUCCESS)], 0);
    peer.flush();
    await pass();
    assert.equal(peer.end.closed?.by, 'peer');
    assert.equal(bob.counters.drops.get('ssh.unexpected'), 1);
    await run(bob.close());
  });

  it('refusals that a peer does not read stop the reading, and memory stays bounded', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    const peer = await foreignClient(A, bob.addr);
    peer.pipe.pause();
    const open0 = concatBytes(byte(MSG.CHANNEL_OPEN), string('session'), uint32(7), uint32(1), uint32(1));
    let sent = 0;
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 200; j++) peer.end.transport.send([open0], 0);
      peer.pipe.write([peer.end.take()], () => void sent++);
      await pass(10);
    }
    assert.ok(sent < 100, 'the peer is made to wait');
    assert.ok(Number(inspect(bob).state['heldBytes']) < 1_000_000);
    await run(bob.close());
  });
});

describe('ssh: options', () => {
  it('a key of another algorithm, and limits out of range, are refused at once', () => {
    const privateKey = testKey(0);
    assert.throws(() => openSshSwarm({ privateKey, maxPacketBytes: 262_145 }), RangeError);
    assert.throws(() => openSshSwarm({ privateKey, rekeyBytes: 1 }), RangeError);
    assert.throws(() => openSshSwarm({ privateKey, user: 5 as never }), TypeError);
    assert.throws(() => openSshSwarm(undefined as never), TypeError);
    const other = { ...privateKey, publicKey: { algorithm: 'x', spki: new Uint8Array(3) } };
    assert.throws(() => openSshSwarm({ privateKey: other }), /ed25519/);
  });
});
