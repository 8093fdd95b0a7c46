import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Accept, AcceptPeer } from '../../src/core/accept.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { PublicKey } from '../../src/core/secure.ts';
import { ACCEPT_TIMEOUT_MS, AcceptGate } from '../../src/sessions/accept-gate.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

const peer = (n: number): AcceptPeer => ({
  id: `peer${n}` as PeerId,
  publicKey: {} as PublicKey,
  addr: { text: `peer${n}` },
  side: 'initiator',
});

function gateWith(accept: Accept | undefined, maxPending?: number) {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const faults: Error[] = [];
  const onFault = (_: AcceptPeer, cause: Error): void => void faults.push(cause);
  return { realm, clock: realm.clock, faults, gate: new AcceptGate({ realm, accept, onFault, maxPending }) };
}

const unexpected = (): never => assert.fail('called');
const never = (): Promise<boolean> => new Promise(() => undefined);

describe('accept gate', () => {
  it('lets everybody in without a predicate', () => {
    const { gate } = gateWith(undefined);
    assert.equal(gate.ask(peer(1), 'a', unexpected), true);
  });

  it('takes only true for a yes', () => {
    for (const answer of [1, 'yes', undefined, null, {}, [true]]) {
      const { gate, faults } = gateWith(() => answer as never);
      assert.equal(gate.ask(peer(1), 'a', unexpected), false);
      assert.equal(faults.length, 1);
    }
    const { gate, faults } = gateWith(() => false);
    assert.equal(gate.ask(peer(1), 'a', unexpected), false);
    assert.equal(faults.length, 0);
  });

  it('counts a throw and a promise that rejects as a no with a fault', async () => {
    const thrown = gateWith(() => {
      throw new Error('broken');
    });
    assert.equal(thrown.gate.ask(peer(1), 'a', unexpected), false);
    assert.match(thrown.faults[0]!.message, /broken/);

    for (const cause of [new Error('broken'), 'a text']) {
      const { gate, faults, clock } = gateWith(() => Promise.reject(cause));
      const verdict = await clock.run(new Promise((resolve) => void gate.ask(peer(1), 'a', resolve)));
      assert.equal(verdict, false);
      assert.equal(faults.length, 1);
      assert.equal(gate.pending, 0);
    }
  });

  it('waits for a promise', async () => {
    for (const answer of [true, false]) {
      const { gate, clock, realm } = gateWith(async () => {
        await new Promise<void>((resolve) => realm.clock.setTimer(1000, resolve));
        return answer;
      });
      const verdict = clock.run(new Promise((resolve) => void gate.ask(peer(1), 'a', resolve)));
      assert.equal(gate.pending, 1);
      assert.equal(await verdict, answer);
      assert.equal(realm.nowMs(), 1000);
      assert.equal(gate.pending, 0);
    }
  });

  it('asks a foreign promise in a later turn, and takes one that throws for a no', async () => {
    const thenable = (then: (resolve: (value: boolean) => void) => void) =>
      new Proxy({} as Promise<boolean>, { get: (_, name) => (name === 'then' ? then : undefined), has: () => true });
    const fail = (): never => {
      throw new Error('broken');
    };
    const early = gateWith(() => thenable((resolve) => resolve(true)));
    const broken = gateWith(() => thenable(fail));
    const trap = gateWith(() => new Proxy({} as Promise<boolean>, { get: fail, has: () => true }));
    for (const [{ gate, faults }, expected] of [
      [early, true],
      [broken, false],
    ] as const) {
      let inside = true;
      const settled = await new Promise((resolve) => {
        const answer = gate.ask(peer(1), 'a', (accepted) => resolve([accepted, inside]));
        assert.equal(typeof answer, 'object');
        inside = false;
      });
      assert.deepEqual(settled, [expected, false]);
      assert.equal(faults.length, expected ? 0 : 1);
      assert.equal(gate.pending, 0);
    }
    assert.equal(trap.gate.ask(peer(1), 'a', unexpected), false);
    assert.equal(trap.faults.length, 1);

    const full = gateWith(() => thenable(() => undefined), 1);
    full.gate.ask(peer(1), 'a', () => undefined);
    assert.equal(full.gate.ask(peer(2), 'b', unexpected), false);
    full.gate.close();
  });

  it('takes a promise that resolves to no boolean for a no', async () => {
    const { gate, clock, faults } = gateWith(() => Promise.resolve(1 as never));
    assert.equal(await clock.run(new Promise((resolve) => void gate.ask(peer(1), 'a', resolve))), false);
    assert.match(faults[0]!.message, /true or false, got 1/);
  });

  it('gives up after 5 s, once', async () => {
    let late: (accepted: boolean) => void = unexpected;
    const { gate, clock, faults } = gateWith(() => new Promise((resolve) => (late = resolve)));
    const verdicts: boolean[] = [];
    gate.ask(peer(1), 'a', (accepted) => verdicts.push(accepted));
    await clock.advance(ACCEPT_TIMEOUT_MS - 1);
    assert.deepEqual(verdicts, []);
    await clock.advance(1);
    assert.deepEqual(verdicts, [false]);
    assert.equal(P2PError.is(faults[0], 'timeout'), true);
    late(true);
    await clock.advance(1);
    assert.deepEqual(verdicts, [false]);
  });

  it('forgets a question that is cancelled, its timer too', async () => {
    const { gate, clock } = gateWith(never);
    const pending = gate.ask(peer(1), 'a', unexpected);
    assert(typeof pending === 'object');
    pending.cancel();
    assert.equal(gate.pending, 0);
    await clock.advance(2 * ACCEPT_TIMEOUT_MS);
  });

  it('bounds the questions, and answers the oldest of the busiest source with no', () => {
    const { gate } = gateWith(never, 3);
    const refused: string[] = [];
    const ask = (n: number, host: string): unknown => gate.ask(peer(n), host, () => refused.push(`${host} ${n}`));
    ask(1, '192.0.2.1');
    ask(2, '192.0.2.1');
    ask(3, '198.51.100.1');
    ask(4, '203.0.113.1');
    assert.deepEqual(refused, ['192.0.2.1 1']);
    assert.equal(gate.pending, 3);
    // Every source holds one place now: a newcomer of yet another source has no larger one to displace.
    assert.equal(ask(5, '233.252.0.1'), false);
    assert.deepEqual(refused, ['192.0.2.1 1']);
  });

  it('rechecks sessions and ends those that are refused, without taking places of newcomers', async () => {
    const banned = new Set<string>(['peer2', 'peer300']);
    const { gate, clock } = gateWith(({ id }) => Promise.resolve(!banned.has(id)), 1);
    const ended: string[] = [];
    const sessions = Array.from({ length: 500 }, (_, i) => [peer(i), () => ended.push(`peer${i}`)] as const);
    await clock.run(gate.recheck(sessions));
    assert.deepEqual(ended.toSorted(), ['peer2', 'peer300']);
  });

  it('ends a session whose recheck is never answered', async () => {
    const { gate, clock } = gateWith(never);
    const ended: number[] = [];
    await clock.run(gate.recheck([[peer(1), () => ended.push(1)]]));
    assert.deepEqual(ended, [1]);
  });

  it('answers everything with no when it is closed', async () => {
    const { gate, clock } = gateWith(never);
    const verdicts: boolean[] = [];
    for (const n of [1, 2, 3]) gate.ask(peer(n), 'a', (accepted) => verdicts.push(accepted));
    gate.close();
    assert.deepEqual(verdicts, [false, false, false]);
    assert.equal(gate.pending, 0);
    await clock.advance(2 * ACCEPT_TIMEOUT_MS);
    assert.equal(verdicts.length, 3);
  });
});
