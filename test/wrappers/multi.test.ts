import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { canAsk } from '../../src/core/ask.ts';
import { inspect } from '../../src/core/inspect.ts';
import { isSecure } from '../../src/core/secure.ts';
import { receiveOne } from '../../src/runtime/receive.ts';
import { createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';
import { multi } from '../../src/wrappers/multi.ts';
import { frag } from '../../src/wrappers/frag.ts';

const key = (i: number) => ({ algorithm: 'test', spki: Uint8Array.of(i) });

describe('multi', () => {
  it('an application gains a second transport in one line, and stored addresses stay valid', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [alice, bob] = [multi({ udp: realm.swarm(0) }), multi({ udp: realm.swarm(1) })];
    const stored = bob.addr.text;
    assert.equal(stored, 'udp://1');
    await Promise.all([alice.close(), bob.close()]);

    const later = multi({ udp: realm.swarm(0), quic: realm.secureSwarm(key(1), 10) });
    const peer = multi({ udp: realm.swarm(1), quic: realm.secureSwarm(key(2), 11) });
    const heard: string[] = [];
    peer.listen(({ src, dst }) => void heard.push(`${src.text} to ${dst.text}`));
    await later.tell(later.parseAddr(stored), Uint8Array.of(1));
    await later.tell(later.parseAddr('quic://11'), Uint8Array.of(1));
    await realm.clock.advance(1);
    assert.deepEqual(heard, ['udp://0 to udp://1', 'quic://10 to quic://11']);
    assert.deepEqual(later.localAddrs().map(String), ['udp://0', 'quic://10']);
  });

  it('an unknown scheme parses and prints unchanged, and using it is unsupported', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const alice = multi({ memory: realm.secureSwarm(key(1)) });
    const addr = alice.parseAddr('webrtc://anything://at all');
    assert.equal(addr.text, 'webrtc://anything://at all');
    assert.equal(alice.mtu(addr), 0);
    for (const call of [
      alice.tell(addr, Uint8Array.of(1)),
      alice.ask(addr, Uint8Array.of(1)),
      alice.lookupPublicKey(addr),
    ]) {
      await assert.rejects(
        call,
        (error) => P2PError.is(error, 'unsupported') && error.sent === 'no' && error.message.includes('webrtc'),
      );
    }
  });

  it('can do what all members share, in the type and at run time', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const both = multi({ a: realm.secureSwarm(key(1)), b: realm.secureSwarm(key(1)) });
    assert.ok(canAsk(both) && isSecure(both));
    const plain = multi({ a: realm.secureSwarm(key(1)), b: realm.swarm() });
    assert.ok(canAsk(plain) && !isSecure(plain));
    // @ts-expect-error not all members have keys
    void plain.publicKey;
  });

  it('has the MTU of each destination’s member', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 100 });
    const swarm = multi({ small: realm.swarm(0), large: frag(realm.swarm(1)) });
    assert.equal(swarm.mtu(swarm.parseAddr('small://5')), 100);
    assert.equal(swarm.mtu(swarm.parseAddr('large://5')), 85 * 255);
    await assert.rejects(swarm.tell(swarm.parseAddr('small://5'), new Uint8Array(101)), (error) =>
      P2PError.is(error, 'mtu_exceeded'),
    );
  });

  it('one failing member does not stop the others; the last one ends it', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [a, b] = [realm.swarm(0), realm.swarm(1)];
    const swarm = multi({ a, b });
    let heard = 0;
    swarm.listen(() => void heard++);
    realm.drop(0);
    await realm.clock.advance(1);
    assert.deepEqual(swarm.localAddrs().map(String), ['b://1']);
    const other = realm.swarm(5);
    void other.tell(memoryAddr(1), Uint8Array.of(1));
    await realm.clock.advance(1);
    assert.equal(heard, 1);
    await swarm.drain();
    await b.close();
    assert.equal((await swarm.closed).by, 'failure');
  });

  it('close wakes who waits, and leaves members open with keepInner (H1, H4)', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const member = realm.swarm();
    const swarm = multi({ member }, { keepInner: true });
    const waiting = receiveOne(swarm);
    await swarm.close();
    await assert.rejects(waiting, (error) => P2PError.is(error, 'closed'));
    assert.equal(member.localAddrs().length, 1);
  });

  it('listens and serves on all members or on none', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [a, b] = [realm.swarm(), realm.swarm()];
    const swarm = multi({ a, b });
    const taken = [b.listen(() => {}), b.serve(({ payload }) => payload)];
    assert.throws(() => swarm.listen(() => {}), TypeError);
    assert.throws(() => swarm.serve(({ payload }) => payload), TypeError);
    for (const each of taken) each[Symbol.dispose]();
    swarm.listen(() => {});
    swarm.serve(({ payload }) => payload);
  });

  it('refuses members that do not go together', () => {
    const [one, two] = [createMemoryRealm(), createMemoryRealm()];
    assert.throws(() => multi({}), TypeError);
    assert.throws(() => void multi({ a: one.swarm() }).drain({ timeoutMs: -1 }), RangeError);
    assert.throws(() => multi({ a: {} as never }), /expected a swarm as member a/);
    assert.throws(() => multi({ a: one.swarm(), b: two.swarm() }), /another realm/);
    assert.throws(() => multi({ a: one.secureSwarm(key(1)), b: one.secureSwarm(key(2)) }), /different keys/);
    for (const scheme of ['', 'a b', 'a:b', '1a', 'a/b'])
      assert.throws(() => multi({ [scheme]: one.swarm() }), TypeError);
  });

  it('refuses texts that are no addresses of its members', () => {
    const swarm = multi({ memory: createMemoryRealm().swarm() });
    for (const text of ['memory://', 'memory://x', '://7', 'memory:7', '7'])
      assert.throws(() => swarm.parseAddr(text), TypeError);
  });

  it('shows all members when inspected', () => {
    const realm = createMemoryRealm();
    assert.deepEqual(
      inspect(multi({ a: realm.swarm(), b: realm.swarm() })).inner.map(({ addrs }) => addrs),
      [['0'], ['1']],
    );
  });
});
