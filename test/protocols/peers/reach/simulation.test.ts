/** Five hundred machines that meet, churn and are parted, replayed from a seed. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { createSeededRandom } from '../../../../src/base/seeded-random.ts';
import type { PeerId } from '../../../../src/core/peer-id.ts';
import { DueQueue } from '../../../../src/protocols/peers/reach/due-queue.ts';
import { ReachMachine } from '../../../../src/protocols/peers/reach/machine.ts';
import type { AttemptResult, ReachAction } from '../../../../src/protocols/peers/reach/types.ts';
import { candidate, id, mayTryOf } from './reach-world.ts';

const NODES = 500;
const FRIENDS = 3;
/** Nodes leave and come back until then, and are parted in between. */
const CHAOS_MS = 40_000;
const [PARTED_MS, HEALED_MS] = [15_000, 25_000];
/** All that is maintained must be connected by then: a pause is at most a minute, and a round half of one. */
const END_MS = CHAOS_MS + 100_000;

interface Node {
  readonly index: number;
  readonly id: PeerId;
  machine: ReachMachine;
  addr: string;
  isUp: boolean;
  /** Counts its lives: what was under way to an earlier one is lost. */
  life: number;
  readonly friends: readonly number[];
  readonly connected: Set<number>;
  readonly running: Set<number>;
}

function simulate(seed: number) {
  const random = createSeededRandom(seed);
  const below = (n: number): number => Math.floor(random.next() * n);
  const hash = createHash('sha256');
  const events = new DueQueue<() => void>();
  const wakes = new DueQueue<Node>();
  const owners = new Map<string, Node>();
  const victimProbes = new Map<string, number>();
  let nowMs = 0;
  let [dials, connects, port] = [0, 0, 1024];

  const fresh = (): ReachMachine => new ReachMachine({ seed: random.bytes(16), mayTry: mayTryOf() });
  const place = (node: Node): void => {
    node.addr = `198.51.${node.index >> 8}.${node.index & 255}:${port++}`;
    owners.set(node.addr, node);
  };
  const nodes: Node[] = Array.from({ length: NODES }, (_, index) => ({
    index,
    id: id(index),
    machine: fresh(),
    addr: '',
    isUp: true,
    life: 0,
    friends: Array.from({ length: FRIENDS }, (_, i) => (index + 1 + i * 7 + below(200)) % NODES),
    connected: new Set<number>(),
    running: new Set<number>(),
  }));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const later = (ms: number, run: () => void): void => events.set(run, nowMs + ms);
  const isParted = (a: Node, b: Node): boolean =>
    nowMs >= PARTED_MS && nowMs < HEALED_MS && a.index < NODES / 2 !== b.index < NODES / 2;

  const pump = (node: Node): void => {
    for (;;) {
      const output = node.machine.poll();
      if (output.type === 'wait') {
        wakes.set(node, node.isUp ? (output.until ?? Infinity) : Infinity);
        return;
      }
      if (output.type === 'transmit') act(node, output.transmit);
      else if (output.event.type !== 'tried')
        hash.update(`${nowMs} ${node.index} ${output.event.type} ${output.event.id}\n`);
    }
  };
  const outcome = (node: Node, life: number, attempt: number, result: AttemptResult): void => {
    if (node.life !== life || !node.running.delete(attempt)) return;
    node.machine.outcome(nowMs, attempt, result);
    pump(node);
  };
  const lose = (a: Node, b: Node, reason: string): void => {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!from.connected.delete(to.index) || !from.isUp) continue;
      from.machine.disconnected(nowMs, to.id, reason);
      pump(from);
    }
  };
  const act = (node: Node, action: ReachAction): void => {
    const { life } = node;
    if (action.type === 'search') {
      const target = byId.get(action.id)!;
      later(20 + below(180), () => {
        if (node.life !== life || !node.isUp) return;
        const give = (addr: string, more: object): void =>
          node.machine.candidate(nowMs, target.id, candidate(addr, { seenMs: nowMs, ...more }));
        give(`198.51.100.${below(250)}:${1024 + below(60_000)}`, { source: 'cache', trust: 'reached' });
        give(`203.0.113.${below(50)}:5000`, { source: 'exchange', trust: 'claimed' });
        if (target.addr !== '') for (const transport of ['tcp', 'quic']) give(target.addr, { transport });
        node.machine.searched(nowMs, target.id);
        pump(node);
      });
      return;
    }
    hash.update(`${nowMs} ${node.index} ${JSON.stringify(action)}\n`);
    if (action.type === 'abandon') {
      outcome(node, life, action.attempt, { type: 'failed', reason: 'abandoned' });
      return;
    }
    dials++;
    node.running.add(action.attempt);
    assert.ok(node.running.size <= 128);
    if (action.addr.startsWith('203.0.113.')) {
      const key = `${node.index} ${node.life} ${action.addr}`;
      victimProbes.set(key, (victimProbes.get(key) ?? 0) + 1);
      return; // Nobody is there.
    }
    const delayMs = 5 + below(150);
    later(delayMs, () => {
      if (node.life !== life || !node.running.has(action.attempt)) return;
      const there = owners.get(action.addr);
      if (there === undefined || isParted(node, there)) return; // Silence.
      if (!there.isUp || there.addr !== action.addr) {
        outcome(node, life, action.attempt, { type: 'failed', reason: 'refused' });
        return;
      }
      connects++;
      node.connected.add(there.index);
      there.connected.add(node.index);
      const { transport, kind } = action;
      there.machine.connected(nowMs, node.id, { transport, addr: node.addr, kind, side: 'initiator' });
      pump(there);
      outcome(node, life, action.attempt, { type: 'open' });
    });
  };
  const start = (node: Node): void => {
    place(node);
    for (const friend of node.friends) if (friend !== node.index) node.machine.maintain(nowMs, nodes[friend]!.id);
    pump(node);
  };

  for (const node of nodes) later(below(1000), () => start(node));
  for (let atMs = 2000; atMs < CHAOS_MS; atMs += 100) {
    later(atMs, () => {
      const node = nodes[below(NODES)]!;
      if (!node.isUp) return;
      node.isUp = false;
      node.life++;
      node.running.clear();
      wakes.set(node, Infinity);
      for (const other of node.connected) later(below(2000), () => lose(nodes[other]!, node, 'gone'));
      later(1000 + below(4000), () => {
        owners.delete(node.addr);
        for (const other of node.connected) lose(nodes[other]!, node, 'restarted');
        node.isUp = true;
        node.machine = fresh();
        start(node);
      });
    });
  }
  later(PARTED_MS, () => {
    for (const node of nodes) {
      for (const other of node.connected) if (isParted(node, nodes[other]!)) lose(node, nodes[other]!, 'silence');
    }
  });

  for (;;) {
    const nextMs = Math.min(events.nextMs ?? Infinity, wakes.nextMs ?? Infinity);
    if (nextMs > END_MS) break;
    nowMs = nextMs;
    for (const node of wakes.takeDue(nowMs)) {
      node.machine.handleTimeout(nowMs);
      pump(node);
    }
    for (const run of events.takeDue(nowMs)) run();
  }
  const missing = nodes.flatMap((node) =>
    node.friends
      .filter((friend) => friend !== node.index && !node.connected.has(friend))
      .map((friend) => [node.index, friend]),
  );
  return { hash: hash.digest('hex'), missing, dials, connects, victimProbes };
}

describe('500 machines that meet, churn and are parted', () => {
  it('are all connected afterwards as they want to be, have bothered no victim twice, and replay from the seed', () => {
    const first = simulate(1);
    assert.deepEqual(first.missing, []);
    assert.ok(first.dials > 5000 && first.connects > 1500, `${first.dials} dials, ${first.connects} connections`);
    // Newer claims and a minute's pause: two probes at most in this time.
    const most = Math.max(...first.victimProbes.values());
    assert.ok(first.victimProbes.size > 100 && most <= 3, `${most} probes of one node to one victim`);
    assert.equal(simulate(1).hash, first.hash);
    assert.notEqual(simulate(2).hash, first.hash);
  });
});
