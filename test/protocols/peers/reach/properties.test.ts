/** What holds for any order of inputs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerId } from '../../../../src/core/peer-id.ts';
import { ReachMachine, type WantToken } from '../../../../src/protocols/peers/reach/machine.ts';
import type { FailureReason, ReachKind } from '../../../../src/protocols/peers/reach/types.ts';
import {
  array,
  assert as check,
  constantFrom,
  nat,
  oneof,
  property,
  record,
  tuple,
} from '../../../support/fast-check.ts';
import { candidate, failing, id, mayTryOf, open, ReachWorld } from './reach-world.ts';

const REASONS: readonly FailureReason[] = [
  'refused',
  'silent',
  'unreachable',
  'filtered',
  'wrong_key',
  'wrong_network',
  'denied',
  'not_allowed',
  'version',
  'clock',
  'self',
  'closed',
  'abandoned',
];
const KINDS: readonly ReachKind[] = ['direct', 'punch', 'relay'];
const PEERS = 3;
const MAX_ATTEMPTS = 12;

const peer = nat({ max: PEERS - 1 });
const operation = oneof(
  record({
    do: constantFrom('want', 'unwant', 'maintain', 'drop', 'searched', 'disconnected', 'wake'),
    peer,
    n: nat(9),
  }),
  record({ do: constantFrom('candidate'), peer, n: nat(40), kind: constantFrom(...KINDS), how: nat(7) }),
  record({ do: constantFrom('outcome'), peer, n: nat(20), how: nat(REASONS.length) }),
  record({ do: constantFrom('connected'), peer, n: nat(9), kind: constantFrom(...KINDS) }),
  record({ do: constantFrom('advance'), peer, n: nat(12_000) }),
);

/** The machine beside what must hold of it, with outcomes in any order. */
class Model {
  readonly machine = new ReachMachine({ seed: new Uint8Array(16), mayTry: mayTryOf(), maxAttempts: MAX_ATTEMPTS });
  nowMs = 0;
  readonly running = new Map<number, PeerId>();
  readonly numbers = new Set<number>();
  readonly tokens: { readonly peer: PeerId; readonly token: WantToken }[] = [];
  readonly maintained = new Set<PeerId>();
  readonly connected = new Set<PeerId>();
  /** Peers that were wanted, and of which nothing has been heard since. */
  readonly waiting = new Set<PeerId>();
  readonly outcomes = new Map<number, number>();
  tried = 0;

  pump(): number | undefined {
    for (let outputs = 0; outputs < 10_000; outputs++) {
      const output = this.machine.poll();
      if (output.type === 'wait') {
        assert.ok(output.until === undefined || output.until > this.nowMs, 'a deadline lies in the future');
        return output.until;
      }
      if (output.type === 'event') {
        const { event } = output;
        if (event.type === 'reached' || event.type === 'unreachable') this.waiting.delete(event.id);
        if (event.type === 'reached') this.connected.add(event.id);
        if (event.type === 'unreachable')
          assert.ok(!this.connected.has(event.id), 'a connected peer is not unreachable');
        if (event.type === 'tried') this.tried++;
      } else if (output.transmit.type === 'dial') {
        const { attempt, id: dialled } = output.transmit;
        assert.ok(!this.numbers.has(attempt), 'attempts have different numbers');
        this.numbers.add(attempt);
        this.running.set(attempt, dialled);
        const ofPeer = [...this.running.values()].filter((each) => each === dialled).length;
        assert.ok(ofPeer <= 8, `${ofPeer} attempts at once for a peer`);
        assert.ok(this.running.size <= MAX_ATTEMPTS, `${this.running.size} attempts at once`);
      } else if (output.transmit.type === 'abandon') {
        assert.ok(this.running.has(output.transmit.attempt), 'what is abandoned runs');
        this.machine.outcome(this.nowMs, output.transmit.attempt, this.#end(output.transmit.attempt, 'abandoned'));
      }
    }
    return assert.fail('the machine never waits');
  }

  #end(attempt: number, reason: FailureReason) {
    this.running.delete(attempt);
    this.outcomes.set(attempt, (this.outcomes.get(attempt) ?? 0) + 1);
    return { type: 'failed', reason } as const;
  }

  outcome(attempt: number, how: number): void {
    const dialled = this.running.get(attempt)!;
    const result = this.#end(attempt, REASONS[how] ?? 'refused');
    if (how === REASONS.length) this.connected.add(dialled);
    this.machine.outcome(this.nowMs, attempt, how === REASONS.length ? { type: 'open' } : result);
  }

  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let until = this.pump(); until !== undefined && until <= endMs; until = this.pump()) {
      this.nowMs = until;
      this.machine.handleTimeout(until);
    }
    this.nowMs = endMs;
  }
}

function run(operations: readonly { readonly do: string; readonly peer: number; readonly n: number }[]): Model {
  const model = new Model();
  for (const each of operations) {
    const who = id(each.peer);
    const { machine, nowMs } = model;
    const { kind = 'direct', how = 0 } = each as { readonly kind?: ReachKind; readonly how?: number };
    if (each.do === 'want') {
      model.waiting.add(who);
      model.tokens.push({ peer: who, token: machine.want(nowMs, who) });
    } else if (each.do === 'unwant') {
      const [back] = model.tokens.splice(each.n % Math.max(1, model.tokens.length), 1);
      if (back !== undefined) machine.unwant(nowMs, back.token);
      if (back !== undefined && !model.tokens.some((other) => other.peer === back.peer))
        model.waiting.delete(back.peer);
    } else if (each.do === 'maintain') {
      model.maintained.add(who);
      machine.maintain(nowMs, who);
    } else if (each.do === 'drop') {
      model.maintained.delete(who);
      machine.drop(nowMs, who);
    } else if (each.do === 'searched') machine.searched(nowMs, who);
    else if (each.do === 'candidate') {
      machine.candidate(
        nowMs,
        who,
        candidate(`198.51.100.${each.n}:4000`, {
          kind,
          transport: how & 1 ? 'tcp' : 'quic',
          trust: how & 2 ? 'claimed' : 'given',
          expiresMs: how & 4 ? nowMs + 5000 : undefined,
          seenMs: nowMs,
        }),
      );
    } else if (each.do === 'outcome') {
      const attempts = [...model.running.keys()];
      if (attempts.length > 0) model.outcome(attempts[each.n % attempts.length]!, how);
      machine.outcome(nowMs, 1_000_000 + each.n, { type: 'open' });
    } else if (each.do === 'connected') {
      model.connected.add(who);
      model.waiting.delete(who);
      machine.connected(nowMs, who, { transport: 'tcp', addr: 'there', kind, side: 'initiator' });
    } else if (each.do === 'disconnected') {
      model.connected.delete(who);
      machine.disconnected(nowMs, who, 'gone');
    } else if (each.do === 'wake') machine.wake(nowMs);
    else model.advance(each.n);
    model.pump();
  }
  return model;
}

describe('whatever happens in whatever order', () => {
  it('each attempt has one outcome, at most eight run for a peer, and every wait ends', () => {
    check(
      property(array(operation, { maxLength: 120 }), (operations) => {
        const model = run(operations);
        // From now on no attempt has an outcome of its own. A round takes 30 s at most, a pause one minute.
        model.advance(100_000);
        assert.deepEqual([...model.waiting], [], 'everybody who wanted a peer has heard of it');
        for (const [attempt, count] of model.outcomes) assert.equal(count, 1, `outcomes of attempt ${attempt}`);
        for (const who of model.maintained) {
          const explanation = model.machine.explain(model.nowMs, who)!;
          const isTried = explanation.isSeeking || explanation.nextRoundMs !== undefined;
          assert.ok(isTried || explanation.path !== undefined, 'a maintained peer is connected, or tried again');
        }
        for (const { token } of model.tokens) model.machine.unwant(model.nowMs, token);
        for (const who of model.maintained) model.machine.drop(model.nowMs, who);
        for (let i = 0; i < PEERS; i++) model.machine.disconnected(model.nowMs, id(i), 'end');
        assert.equal(model.pump(), undefined, 'nothing is left to wait for');
        assert.equal(model.running.size, 0);
        assert.equal(model.machine.attempts, 0);
        assert.equal(model.tried, model.numbers.size, 'each attempt is in the history once');
      }),
      { numRuns: 400 },
    );
  });

  it('a peer with one good address is reached in bounded time', () => {
    const dead = record({
      addr: nat(60),
      transport: constantFrom('tcp', 'quic'),
      kind: constantFrom('direct', 'punch', 'relay'),
      scope: constantFrom('same_subnet', 'private', 'public', 'virtual'),
      isClaimed: constantFrom(true, false),
      reason: constantFrom(undefined, ...REASONS),
      afterMs: nat(20_000),
      atMs: nat(3000),
    });
    check(
      property(array(dead, { maxLength: 60 }), tuple(nat(3000), nat(900)), (others, [goodAtMs, goodAfterMs]) => {
        const answers = new Map(others.map((each) => [`192.0.2.${each.addr}:4000`, each]));
        const world = new ReachWorld(({ addr }) => {
          if (addr === '198.51.100.1:4000') return open(goodAfterMs);
          const { reason, afterMs } = answers.get(addr)!;
          return reason === undefined ? undefined : failing(reason, afterMs);
        });
        world.machine.want(0, id(1));
        const arrivals = [
          ...others.map(({ atMs, addr, isClaimed, ...each }) => ({
            atMs,
            given: candidate(`192.0.2.${addr}:4000`, {
              transport: each.transport,
              kind: each.kind,
              scope: each.scope as 'public',
              trust: isClaimed ? 'claimed' : 'given',
              source: isClaimed ? 'exchange' : 'cache',
            }),
          })),
          { atMs: goodAtMs, given: candidate('198.51.100.1:4000') },
        ].toSorted((a, b) => a.atMs - b.atMs);
        for (const { atMs, given } of arrivals) {
          world.advance(atMs - world.nowMs);
          world.machine.candidate(world.nowMs, id(1), given);
        }
        world.advance(12_000);
        assert.ok(world.of('reached').length > 0, 'reached within 12 s after the last candidate');
        assert.ok(world.mostRunning <= 8);
      }),
      { numRuns: 300 },
    );
  });
});
