import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { packetSocket } from '../../src/wrappers/packet-socket.ts';

function pair(capacity?: number) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const alice = packetSocket(realm.swarm());
  const bob = packetSocket(realm.swarm(), { capacity });
  return { realm, alice, bob };
}

describe('packetSocket', () => {
  it('writes and reads whole datagrams in order, before and after they came', async () => {
    const { realm, alice, bob } = pair();
    const early = bob.readFrom();
    await alice.writeTo(Uint8Array.of(1), bob.localAddr);
    await alice.writeTo(new Uint8Array(0), bob.localAddr);
    const { data, src } = await realm.clock.run(early);
    assert.deepEqual([data, src.text], [Uint8Array.of(1), alice.localAddr.text]);
    assert.equal((await realm.clock.run(bob.readFrom())).data.length, 0);
  });

  it('never truncates: what does not fit is an error, and stays unread', async () => {
    const { realm, alice, bob } = pair();
    await alice.writeTo(Uint8Array.of(1, 2, 3), bob.localAddr);
    await alice.writeTo(Uint8Array.of(4), bob.localAddr);
    await realm.clock.advance(1);
    await assert.rejects(
      bob.readInto(new Uint8Array(2)),
      (error) => P2PError.is(error, 'limit_exceeded') && error.message.includes('3 bytes'),
    );
    const buffer = new Uint8Array(5);
    assert.equal((await bob.readInto(buffer)).bytes, 3);
    assert.deepEqual(buffer, Uint8Array.of(1, 2, 3, 0, 0));
    assert.deepEqual((await bob.readFrom()).data, Uint8Array.of(4));
  });

  it('with several readers whose buffers are too small nothing is lost, and the order stays', async () => {
    const { realm, alice, bob } = pair();
    const reading = [bob.readInto(new Uint8Array(1)), bob.readInto(new Uint8Array(2)), bob.readInto(new Uint8Array(9))];
    const outcomes = Promise.allSettled(reading);
    for (const size of [5, 6, 7]) await alice.writeTo(new Uint8Array(size), bob.localAddr);
    const ends = await realm.clock.run(outcomes);
    assert.deepEqual(
      ends.map((end) => (end.status === 'fulfilled' ? end.value.bytes : end.reason.code)),
      ['limit_exceeded', 'limit_exceeded', 5],
    );
    for (const size of [6, 7]) assert.equal((await realm.clock.run(bob.readFrom())).data.length, size);
  });

  it('misuse is told at once and costs no datagram', async () => {
    const { realm, alice, bob } = pair();
    await alice.writeTo(Uint8Array.of(7), bob.localAddr);
    await realm.clock.advance(0);
    // @ts-expect-error no buffer
    assert.throws(() => bob.readInto('buffer'), TypeError);
    assert.throws(() => void bob.readFrom({ timeoutMs: -1 }), RangeError);
    assert.throws(() => bob.setReadDeadline(-1), RangeError);
    assert.deepEqual((await realm.clock.run(bob.readFrom())).data, Uint8Array.of(7));
  });

  it('a deadline ends reads that wait already, and can be moved', async () => {
    const { realm, alice, bob } = pair();
    const waiting = bob.readFrom();
    bob.setReadDeadline(100);
    await assert.rejects(realm.clock.run(waiting), (error) => P2PError.is(error, 'timeout'));
    assert.equal(realm.nowMs(), 100);
    await assert.rejects(bob.readFrom(), (error) => P2PError.is(error, 'timeout'));
    bob.setReadDeadline(undefined);
    await alice.writeTo(Uint8Array.of(1), bob.localAddr);
    assert.deepEqual((await realm.clock.run(bob.readFrom())).data, Uint8Array.of(1));
    await assert.rejects(realm.clock.run(bob.readFrom({ timeoutMs: 5 })), (error) => P2PError.is(error, 'timeout'));
  });

  it('drops and counts what nobody reads, and wakes readers when closed', async () => {
    const { realm, alice, bob } = pair(2);
    for (let i = 0; i < 5; i++) await alice.writeTo(Uint8Array.of(i), bob.localAddr);
    await realm.clock.advance(1);
    assert.equal(bob.dropped, 3);
    const { readFrom } = { readFrom: alice.readFrom() };
    await alice.close();
    await assert.rejects(readFrom, (error) => P2PError.is(error, 'closed'));
    await assert.rejects(alice.writeTo(Uint8Array.of(1), bob.localAddr), (error) => P2PError.is(error, 'closed'));
  });
});
