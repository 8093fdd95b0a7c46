/** What a bootstrap asks of sources, tells the program, and does at its end. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CandidateSource } from '../../src/core/candidate.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { bootstrap } from '../../src/discovery/index.ts';
import { idOf, named, openBootstrapWorld as open } from '../support/bootstrap-world.ts';

describe('a bootstrap', () => {
  it('says who was first at once, calls the program for each outcome, and traces its faults', async () => {
    const faults: unknown[] = [];
    const world = await open();
    const [bob, carol] = [await world.peer(2), await world.peer(3)];
    const traced = {
      ...world.realm,
      trace: ({ layer, type, cause }: TraceEvent) => void faults.push([layer, type, cause]),
    };
    const calls: string[] = [];
    const fault = new Error('a fault of the program');
    const beganMs = world.realm.nowMs();
    const run = bootstrap({
      realm: traced,
      minPeers: 2,
      sources: [world.contacts([bob.addr.text])].concat({
        ...world.contacts([`${idOf(9)}@50.0.0.1:4000`, carol.addr.text], { fallbackAfterMs: 0 }),
      }),
      attempt: async ({ addr }, { signal }) => {
        await world.swarms[0]!.lookupPublicKey(addr, { signal });
        return { peer: world.swarms[0]!.parseAddr(addr).id };
      },
      onPeer: ({ id }) => void calls.push(`peer ${id}`),
      onRefused: ({ reason }) => {
        calls.push(`refused ${reason}`);
        throw fault;
      },
    });
    const first = await world.run(run.first);
    assert.equal(first?.id, idOf(3));
    assert.ok(world.realm.nowMs() - beganMs < 1000, 'before the contact that is asked two seconds later');
    await world.run(run.ready);
    assert.deepEqual(calls.toSorted(), [`peer ${idOf(2)}`, `peer ${idOf(3)}`, 'refused unreachable'].toSorted());
    assert.deepEqual(faults, [['bootstrap', 'handler_error', fault]]);
    await world.close();
  });

  it('tells all sources what came of each candidate', async () => {
    const world = await open();
    const bob = await world.peer(2);
    const heard: unknown[] = [];
    const source = named('cache', [bob.addr.text, `${idOf(9)}@50.0.0.1:4000`], {
      reached: (outcome) => {
        heard.push(outcome);
        throw new Error('a fault of the source');
      },
      failed: (outcome) => void heard.push(outcome),
    });
    await world.begin({
      sources: [
        { name: 'cache', source },
        { name: 'second', source: named('second', []) },
      ],
    });
    assert.deepEqual(heard, [
      { id: idOf(2), addr: bob.addr.text, proof: 'dialled' },
      { id: idOf(9), addr: `${idOf(9)}@50.0.0.1:4000`, reason: 'unreachable' },
    ]);
    await world.close();
  });

  it('reads no more of an endless source than it considers, passes over nonsense, and names a source that fails', async () => {
    const world = await open();
    let given = 0;
    const endless: CandidateSource = {
      *candidates() {
        for (;;) yield (given++ % 2 === 0 ? { addr: 7 } : undefined) as never;
      },
    };
    const broken: CandidateSource = {
      candidates: () => {
        throw new Error('no disk');
      },
    };
    const late: CandidateSource = { candidates: () => new Promise(() => undefined) };
    const result = await world.begin({
      sources: [
        { name: 'endless', source: endless },
        { name: 'broken', source: broken },
        { name: 'late', source: late },
      ],
    });
    assert.ok(given <= 300, `${given}`);
    assert.deepEqual(
      result.sources.map(({ state, candidates }) => [state, candidates]),
      [
        ['answered', 0],
        ['failed', 0],
        ['timed_out', 0],
      ],
    );
    assert.match(String(result.sources[1]?.cause), /no disk/);
    await world.close();
  });

  it('ends when it is disposed of: attempts and sources are aborted, first and ready settle', async () => {
    const world = await open();
    const signals: AbortSignal[] = [];
    const run = bootstrap({
      realm: world.realm,
      sources: [
        {
          name: 'slow',
          source: {
            async *candidates(_, options) {
              signals.push(options!.signal!);
              yield { addr: '50.0.0.1:4000', source: 'slow', seenMs: 1, expiresMs: 2 };
              await new Promise(() => undefined);
            },
          },
        },
      ],
      attempt: (_, { signal }) => {
        signals.push(signal);
        return new Promise(() => undefined);
      },
    });
    await world.advance(10);
    assert.equal(signals.length, 2);
    run[Symbol.dispose]();
    run[Symbol.dispose]();
    assert.deepEqual(await Promise.all([run.first, run.ready.then(({ peers }) => peers)]), [undefined, []]);
    assert.ok(signals.every(({ aborted }) => aborted));
    await world.close();
  });

  it('begins again after pauses that double, until there are enough peers: for a node that starts without a network', async () => {
    const world = await open();
    let isUp = false;
    const tries: number[] = [];
    const begin = world.realm.nowMs();
    const run = bootstrap({
      realm: world.realm,
      minPeers: 1,
      retryAfterMs: 5000,
      sources: [{ name: 'cache', source: named('cache', [`${idOf(2)}@50.0.0.1:4000`]) }],
      attempt: () => {
        tries.push(world.realm.nowMs() - begin);
        return Promise.resolve(isUp ? { peer: idOf(2) } : { fault: 'unreachable' });
      },
    });
    const { peers } = await world.run(run.ready);
    assert.deepEqual([peers, tries], [[], [0]]);
    await world.advance(20_000);
    assert.deepEqual(tries, [0, 5000, 15_000]);
    isUp = true;
    await world.advance(100_000);
    assert.equal((await run.first)?.id, idOf(2));
    assert.deepEqual(tries, [0, 5000, 15_000, 35_000]);
    run[Symbol.dispose]();
    await world.close();
  });

  it('ends its tries when it is disposed of, at any time', async () => {
    for (const atMs of [0, 1000, 5000, 7000]) {
      const world = await open();
      let tries = 0;
      const run = bootstrap({
        realm: world.realm,
        retryAfterMs: 5000,
        sources: [{ name: 'cache', source: named('cache', [`${idOf(2)}@50.0.0.1:4000`]) }],
        attempt: () => {
          tries++;
          return Promise.resolve({ fault: 'unreachable' });
        },
      });
      await world.advance(atMs);
      run[Symbol.dispose]();
      const before = tries;
      await world.advance(100_000);
      assert.deepEqual([tries, await run.first], [before, undefined]);
      await world.close();
    }
  });

  it('is misuse with wrong options', () => {
    const attempt = () => Promise.resolve({ fault: 'silent' as const });
    for (const options of [
      undefined,
      {},
      { sources: [] },
      { sources: [{ name: 'x', source: {} }], attempt },
      { sources: [], attempt, self: 'nobody' },
      { sources: [], attempt, blacklist: ['nothing'] },
      { sources: Array.from({ length: 17 }, () => ({ name: 'x', source: named('x', []) })), attempt },
    ]) {
      assert.throws(() => bootstrap(options as never), TypeError, JSON.stringify(options));
    }
    for (const options of [
      { minPeers: 0 },
      { staggerMs: -1 },
      { retryAfterMs: 1 },
      { maxParallel: 65 },
      { maxCandidates: 0 },
      { sources: [{ name: 'x', source: named('x', []), timeoutMs: 0 }] },
    ]) {
      assert.throws(() => bootstrap({ sources: [], attempt, ...options }), RangeError, JSON.stringify(options));
    }
  });
});
