import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError, Refusal } from '../../src/core/errors.ts';
import { fingerprints, generateKey, peerIdOfKey } from '../../src/identity/keys.ts';
import { type MemoryAddr, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { openQuicSwarm, type QuicSwarmOptions, quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { codeOf } from '../support/code-of.ts';
import { type Quic, type QuicWorld, quicWorld } from '../support/quic-world.ts';

function world(
  n: number,
  options: Partial<QuicSwarmOptions<MemoryAddr>> = {},
): QuicWorld & { readonly swarms: readonly Quic[] } {
  const made = quicWorld();
  return { ...made, swarms: Array.from({ length: n }, (_, i) => made.open(i, options)) };
}

const drops = (swarm: Quic, reason: string): number =>
  [...swarm.counters.drops].find(([name]) => name === reason)?.[1] ?? 0;
const state = (swarm: Quic): Readonly<Record<string, unknown>> =>
  'describe' in swarm && typeof swarm.describe === 'function' ? swarm.describe().state : {};

const fingerprintOf = (n: number): string => peerIdOfKey(testKey(n).publicKey);

describe('quic', () => {
  it('a thousand asks go over one connection, a hundred at a time and one after the other', async () => {
    const { swarms, run } = world(2);
    const [alice, bob] = swarms as [Quic, Quic];
    bob.serve(({ payload }) => payload);
    for (let round = 0; round < 10; round++) {
      const asks = Array.from({ length: 100 }, (_, i) => alice.ask(bob.addr, Uint8Array.of(round, i)));
      const answers = await run(Promise.all(asks));
      for (const [i, answer] of answers.entries()) assert.deepEqual([...answer], [round, i]);
    }
    assert.deepEqual([state(alice)['connections'], state(bob)['connections']], [1, 1]);
  });

  it('tells beyond the stream limit of the peer wait for credit', async () => {
    const { swarms, run } = world(2, { maxUniStreams: 3 });
    const [alice, bob] = swarms as [Quic, Quic];
    const got = new Set<number>();
    bob.listen(({ payload }) => void got.add(payload[0]!));
    await run(Promise.all(Array.from({ length: 200 }, (_, i) => alice.tell(bob.addr, Uint8Array.of(i)))));
    await run(alice.drain());
    assert.equal(got.size, 200);
  });

  it('drain after a tell that came alone does not wait for the delayed acknowledgement', async () => {
    const { realm, swarms, run } = world(2);
    const [alice, bob] = [swarms[0]!, swarms[1]!];
    bob.listen(() => {});
    for (let i = 0; i < 10; i++) {
      const beganMs = realm.nowMs();
      await run(alice.tell(bob.addr, Uint8Array.of(i)));
      await run(alice.drain());
      assert.equal(realm.nowMs() - beganMs, 0, `tell ${i}`);
    }
  });

  it('errors say whether anything may have been sent', async () => {
    const { swarms, run, pass } = world(2);
    const [alice, bob] = [swarms[0]!, swarms[1]!];
    const sentOf = async (promise: Promise<unknown>): Promise<string> => {
      const error: unknown = await promise.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      return P2PError.is(error) ? `${error.code} ${error.sent}` : String(error);
    };
    const nowhere = alice.parseAddr(`${bob.addr.id}@99`);
    assert.equal(await run(sentOf(alice.tell(nowhere, Uint8Array.of(1), { timeoutMs: 50 }))), 'timeout no');
    assert.equal(await run(sentOf(alice.ask(nowhere, Uint8Array.of(1), { timeoutMs: 50 }))), 'timeout no');
    bob.serve(() => new Promise<Uint8Array>(() => {}));
    const asked = sentOf(alice.ask(bob.addr, Uint8Array.of(1)));
    await pass(10);
    const dialling = sentOf(alice.tell(alice.parseAddr(`${fingerprintOf(7)}@99`), Uint8Array.of(1)));
    await alice.close();
    assert.equal(await asked, 'closed maybe');
    assert.equal(await dialling, 'closed no');
  });

  it('a peer that reads nothing gathers no heap: what waits is bounded, and given up without ado', async () => {
    const { swarms, run } = world(2);
    const [alice, bob] = [swarms[0]!, swarms[1]!];
    await run(alice.lookupPublicKey(bob.addr));
    // 100 streams are allowed, and 65 536 messages may wait for more of them.
    for (let i = 0; i < 65_636; i++) void alice.tell(bob.addr, Uint8Array.of(1), { timeoutMs: 500 });
    assert.equal(await codeOf(alice.tell(bob.addr, Uint8Array.of(1))), 'limit_exceeded');
    assert.equal(await run(codeOf(alice.drain({ timeoutMs: 1000 }))), 'timeout');
    assert.equal(drops(alice, 'quic.tell_failed'), 65_537);
  });

  it('says why it ended when the swarm below is closed', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 1500 });
    const inner = realm.swarm();
    const swarm = quic(inner, { privateKey: testKey(0) });
    await inner.close();
    const { by, cause } = await swarm.closed;
    assert.ok(by === 'failure' && P2PError.is(cause, 'closed'));
  });

  it('a message of a megabyte goes both ways; one that is larger than the peer takes is refused there', async () => {
    const { realm, run } = world(0);
    const alice = quic(realm.swarm(), { privateKey: testKey(0), maxMessageBytes: 3_000_000 });
    const bob = quic(realm.swarm(), { privateKey: testKey(1) });
    bob.serve(({ payload }) => payload);
    let told = 0;
    bob.listen(({ payload }) => void (told += payload.length));
    const large = new Uint8Array(1_048_576).fill(9);
    assert.deepEqual(await run(alice.ask(bob.addr, large)), large);
    await run(alice.tell(bob.addr, large));
    await run(alice.drain());
    assert.equal(told, large.length);
    const tooLarge = new Uint8Array(2_000_000);
    assert.equal(await codeOf(run(alice.ask(bob.addr, tooLarge))), 'mtu_exceeded');
    await run(alice.tell(bob.addr, tooLarge).catch(() => {}));
    await run(alice.drain());
    assert.equal(told, large.length);
    assert.equal(drops(bob, 'oversize'), 2);
    assert.deepEqual([...(await run(alice.ask(bob.addr, Uint8Array.of(1))))], [1]);
  });

  it('every message comes once, whatever pieces it comes in, empty ones too', async () => {
    const { swarms, run, pass } = world(2);
    const [alice, bob] = swarms as [Quic, Quic];
    const got: number[] = [];
    bob.listen(({ payload }) => void got.push(payload.length));
    bob.serve(({ payload }) => payload);
    const sizes = [0, 1, 1200, 5000, 70_000, 300_000];
    for (const size of sizes) {
      await run(alice.tell(bob.addr, new Uint8Array(size)));
      assert.equal((await run(alice.ask(bob.addr, new Uint8Array(size)))).length, size);
    }
    await run(alice.drain());
    await pass(1000);
    assert.deepEqual(
      got.toSorted((a, b) => a - b),
      sizes,
    );
    assert.deepEqual([bob.counters.received, alice.counters.received], [2 * sizes.length, sizes.length]);
    assert.equal([...bob.counters.drops].length, 0);
  });

  it('tells that fit go as datagrams by option, others as streams, and all are taken', async () => {
    const { swarms, run, pass, realm } = world(2, { datagramTells: true });
    const [alice, bob] = swarms as [Quic, Quic];
    const got: number[] = [];
    bob.listen(({ payload }) => void got.push(payload.length));
    for (const size of [1, 1000, 5000]) await run(alice.tell(bob.addr, new Uint8Array(size)));
    await run(alice.drain());
    await pass(100);
    assert.deepEqual(
      got.toSorted((a, b) => a - b),
      [1, 1000, 5000],
    );
    const plain = quic(realm.swarm(), { privateKey: testKey(7) });
    await run(bob.tell(plain.addr, new Uint8Array(1)));
    await pass(100);
    const toPlain: number[] = [];
    plain.listen(({ payload }) => void toPlain.push(payload.length));
    await run(bob.tell(plain.addr, new Uint8Array(2)));
    await pass(100);
    assert.deepEqual(toPlain, [2]);
    assert.equal(drops(plain, 'no_handler'), 1);
  });

  it('peers that dial each other at once settle on one connection', async () => {
    const { swarms, run, pass } = world(2);
    const [alice, bob] = swarms as [Quic, Quic];
    for (const swarm of swarms) swarm.serve(({ payload }) => payload);
    await run(Promise.all([alice.ask(bob.addr, Uint8Array.of(1)), bob.ask(alice.addr, Uint8Array.of(2))]));
    await pass(3000);
    await run(Promise.all([alice.ask(bob.addr, Uint8Array.of(1)), bob.ask(alice.addr, Uint8Array.of(2))]));
    assert.deepEqual([state(alice)['sessions'], state(bob)['sessions']], [1, 1]);
    for (let i = 0; i < 8; i++) {
      await run(alice.ask(bob.addr, Uint8Array.of(1)));
      await run(bob.ask(alice.addr, Uint8Array.of(1)));
      await pass(5000);
    }
    assert.deepEqual([state(alice)['connections'], state(bob)['connections']], [1, 1]);
  });

  it('many calls to a peer that is not connected share one dial', async () => {
    const { swarms, run } = world(2);
    const [alice, bob] = swarms as [Quic, Quic];
    let count = 0;
    bob.listen(() => void count++);
    await run(Promise.all(Array.from({ length: 50 }, () => alice.tell(bob.addr, Uint8Array.of(1)))));
    await run(alice.drain());
    assert.deepEqual([count, state(bob)['connections']], [50, 1]);
  });

  it('a peer that restarted is reached again: its new connection takes the place of the dead one', async () => {
    const { realm, run } = world(0);
    const alice = quic(realm.swarm(), { privateKey: testKey(0) });
    const inner = realm.swarm();
    const first = quic(inner, { privateKey: testKey(1), keepInner: true });
    const serve = ({ payload }: { payload: Uint8Array }): Uint8Array => payload;
    alice.serve(serve);
    first.serve(serve);
    await run(alice.ask(first.addr, Uint8Array.of(1)));
    // It vanishes without a word.
    const dst = first.addr;
    const tell = inner.tell.bind(inner);
    inner.tell = () => Promise.resolve();
    await run(first.close());
    inner.tell = tell;
    const second = quic(inner, { privateKey: testKey(1) });
    second.serve(serve);
    await run(second.ask(alice.addr, Uint8Array.of(2)));
    assert.deepEqual([...(await run(alice.ask(dst, Uint8Array.of(3), { timeoutMs: 2000 })))], [3]);
  });

  it('a closed peer is noticed at once, and the next call dials anew', async () => {
    const { realm, run, pass } = world(0);
    const alice = quic(realm.swarm(), { privateKey: testKey(0) });
    const inner = realm.swarm();
    const first = quic(inner, { privateKey: testKey(1), keepInner: true });
    first.serve(() => new Promise(() => {}));
    const asked = codeOf(alice.ask(first.addr, Uint8Array.of(1)));
    await pass(500);
    const dst = first.addr;
    await run(first.close());
    assert.equal(await run(asked), 'disconnected');
    const second = quic(inner, { privateKey: testKey(1) });
    second.serve(({ payload }) => payload);
    assert.deepEqual([...(await run(alice.ask(dst, Uint8Array.of(3))))], [3]);
  });

  it('accept says who may come, with address and key, before anything is delivered', async () => {
    const { realm, run } = world(0);
    const seen: string[] = [];
    const bob = quic(realm.swarm(), {
      privateKey: testKey(1),
      accept: ({ addr, publicKey }) => {
        seen.push(addr.text, peerIdOfKey(publicKey));
        return false;
      },
    });
    const alice = quic(realm.swarm(), { privateKey: testKey(0) });
    bob.listen(() => assert.fail('delivered'));
    bob.serve(() => assert.fail('served'));
    assert.equal(await codeOf(run(alice.ask(bob.addr, Uint8Array.of(1)))), 'refused');
    assert.deepEqual(seen, [alice.addr.text, alice.addr.id]);
  });

  it('only true from accept lets a peer in, dialled or dialling: all else is a counted no, and traced when it was not false', async () => {
    const answers: Record<string, () => unknown> = {
      'a promise of 1': async () => 1,
      'a promise of false': async () => false,
      'a promise that rejects': async () => Promise.reject(new Error('later')),
      undefined: () => undefined,
      'a number': () => 1,
      'a throw': () => {
        throw new Error('broken');
      },
      false: () => false,
    };
    for (const [name, answer] of Object.entries(answers)) {
      for (const side of ['initiator', 'responder']) {
        const traced: unknown[] = [];
        const realm = createMemoryRealm({
          clock: 'virtual',
          mtu: 1500,
          trace: (event) => {
            if (event.layer === 'quic' && event.type === 'handler_error') traced.push(event.reason, event.addr?.text);
          },
        });
        const open = (i: number, asks: boolean): Quic =>
          quic(realm.swarm(), { privateKey: testKey(i), ...(asks && { accept: answer as () => boolean }) });
        const alice = open(0, side === 'initiator');
        const bob = open(1, side === 'responder');
        bob.serve(() => assert.fail('served'));
        const code = await realm.clock.run(codeOf(alice.ask(bob.addr, Uint8Array.of(1))));
        assert.equal(code, 'refused', `${name}, ${side}`);
        const [asked, other] = side === 'initiator' ? [alice, bob] : [bob, alice];
        assert.equal(drops(asked, 'quic.not_accepted'), 1, `${name}, ${side}`);
        const isFault = !name.endsWith('false');
        assert.equal(drops(asked, 'handler_error'), isFault ? 1 : 0, `${name}, ${side}`);
        const expected = isFault ? ['accept', other.addr.text] : [];
        assert.deepEqual(traced, expected, `${name}, ${side}`);
      }
    }
  });

  it('a refusal resets the stream with a code, a cancelled ask tells the server', async () => {
    const { swarms, run, pass } = world(2);
    const [alice, bob] = swarms as [Quic, Quic];
    let signal: AbortSignal | undefined;
    bob.serve(({ payload, signal: given }) => {
      if (payload.length === 0) throw new Refusal('no');
      signal = given;
      return new Promise(() => {});
    });
    assert.equal(await codeOf(run(alice.ask(bob.addr, new Uint8Array(0)))), 'refused');
    const controller = new AbortController();
    const asked = alice.ask(bob.addr, Uint8Array.of(1), { signal: controller.signal }).catch(() => 'aborted');
    await pass(200);
    controller.abort();
    assert.equal(await run(asked), 'aborted');
    await pass(200);
    assert.equal(signal?.aborted, true);
  });

  it('the preset go-p2p takes its fingerprint, so that addresses from there fit', async () => {
    const { realm, run } = world(0);
    const alice = quic(realm.swarm(), { privateKey: testKey(0), preset: 'go-p2p' });
    const bob = quic(realm.swarm(), { privateKey: testKey(1), preset: 'go-p2p' });
    assert.equal(bob.addr.id, peerIdOfKey(bob.publicKey, fingerprints.sha3));
    bob.serve(({ payload }) => payload);
    await run(alice.ask(bob.addr, Uint8Array.of(1)));
  });

  it('what all peers have in handlers is one budget: each gets one message through, and the rest when there is room', async () => {
    const { realm, run, pass } = world(0);
    const bob = quic(realm.swarm(), { privateKey: testKey(1), maxSwarmBytes: 1000, maxMessageBytes: 600 });
    const done: (() => void)[] = [];
    bob.listen(() => new Promise<void>((resolve) => done.push(resolve)));
    const peers = [0, 2].map((i) => quic(realm.swarm(), { privateKey: testKey(i) }));
    for (const peer of peers) {
      for (let k = 0; k < 5; k++) await run(peer.tell(bob.addr, new Uint8Array(600)));
      await pass(500);
    }
    assert.equal(done.length, 3);
    assert.equal(state(bob)['heldBytes'], 1800);
    for (let i = 0; i < 10; i++) {
      done[i]!();
      await pass(100);
    }
    assert.equal(done.length, 10);
    assert.equal(state(bob)['heldBytes'], 0);
  });

  it('what is not QUIC is handed out, or counted', async () => {
    const { realm, pass } = world(0);
    const [a, b, stranger] = [realm.swarm(), realm.swarm(), realm.swarm()];
    const other: number[] = [];
    const alice = quic(a, { privateKey: testKey(0), onOther: ({ payload }) => void other.push(payload.length) });
    const bob = quic(b, { privateKey: testKey(1) });
    const stun = new Uint8Array(20);
    for (const swarm of [alice, bob]) void stranger.tell(swarm.addr.inner, stun);
    await pass(100);
    assert.deepEqual([other, drops(bob, 'quic.not_quic')], [[20], 1]);
  });

  it('a peer that was started again elsewhere, a moment after it was met, is told there', async () => {
    // Whichever of the two has the smaller PeerID.
    for (const [us, them] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const { realm, run, pass } = world(0);
      const alice = quic(realm.swarm(), { privateKey: testKey(us) });
      const bob = quic(realm.swarm(), { privateKey: testKey(them) });
      await run(alice.tell(bob.addr, Uint8Array.of(1)));
      realm.drop(bob.addr.inner); // without a word, as by kill -9
      await pass(1000);
      const again = quic(realm.swarm(), { privateKey: testKey(them) });
      const got: number[] = [];
      again.listen(({ payload }) => void got.push(payload[0]!));
      await run(again.lookupPublicKey(alice.addr));
      await pass(100);
      await run(alice.tell(again.addr, Uint8Array.of(2)));
      await pass(100);
      assert.deepEqual(got, [2]);
    }
  });

  it('a swarm below that carries less than 1200 bytes is refused, and frag is named', () => {
    const realm = createMemoryRealm({ mtu: 300, clock: 'virtual' });
    assert.throws(
      () => quic(realm.swarm(), { privateKey: testKey(0) }),
      /300 bytes, QUIC needs 1200; wrap it in frag\(\)/,
    );
  });

  it('keepInner leaves the swarm below open, and free for another', async () => {
    const { realm, run } = world(0);
    const inner = realm.swarm();
    const first = quic(inner, { privateKey: testKey(0), keepInner: true });
    await run(first.close());
    quic(inner, { privateKey: generateKey({ random: (n) => realm.random(n) }) });
    assert.equal(inner.localAddrs().length, 1);
  });

  it('misuse is told at once', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const privateKey = testKey(0);
    // @ts-expect-error no key
    assert.throws(() => quic(realm.swarm(), {}), TypeError);
    // @ts-expect-error no swarm
    assert.throws(() => quic(undefined, { privateKey }), TypeError);
    // @ts-expect-error unknown preset
    assert.throws(() => quic(realm.swarm(), { privateKey, preset: 'other' }), TypeError);
    assert.throws(() => quic(realm.swarm(), { privateKey, maxMessageBytes: 0 }), RangeError);
    assert.throws(() => quic(realm.swarm(), { privateKey, idleTimeoutMs: -1 }), RangeError);
    // @ts-expect-error no key
    assert.throws(() => openQuicSwarm({}), TypeError);
    assert.throws(() => openQuicSwarm({ privateKey, bind: 'nowhere' }), TypeError);
    assert.throws(() => openQuicSwarm({ privateKey, idleTimeoutMs: -1 }), RangeError);
  });
});
