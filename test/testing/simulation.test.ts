import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AskSwarm } from '../../src/index.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import {
  type Simulation,
  type SimulationEvent,
  type SimulationOptions,
  checkReplay,
  findFailure,
  metricSvg,
  simulate,
} from '../../src/testing/index.ts';

type Pinger = AskSwarm<MemoryAddr>;

/** Each node asks another one every second. */
function pings(change: Partial<SimulationOptions<Pinger>> = {}): SimulationOptions<Pinger> {
  return {
    nodes: 20,
    durationMs: 20_000,
    network: { kind: 'memory', netem: { latencyMs: 20, jitterMs: 5, loss: 0.1 } },
    open: ({ swarm, realm, random, simulation, index }) => {
      const own = swarm();
      own.serve(({ payload }) => payload);
      const again = (): void => {
        realm.clock.setTimer(
          realm.nowMs() + 1000,
          () => {
            const to = `${Math.floor(random.next() * simulation.size)}`;
            const startedAt = realm.nowMs();
            own.ask(to, Uint8Array.of(index), { timeoutMs: 500 }).then(
              () => {
                simulation.attempt('ping', true);
                simulation.measure('ms', realm.nowMs() - startedAt);
              },
              () => simulation.attempt('ping', false),
            );
            if (own.localAddrs().length > 0) again();
          },
          { background: true },
        );
      };
      again();
      return own;
    },
    ...change,
  };
}

describe('a simulation', () => {
  it('runs the nodes of the program and says what happened', async () => {
    const { isOk, metrics, virtualMs, checkpoints } = await simulate(pings());
    assert.equal(isOk, true);
    assert.equal(virtualMs, 20_000);
    assert.equal(metrics.counts['opened'], 20);
    const { ok, all, share } = metrics.attempts['ping']!;
    assert.ok(
      all >= 20 * 19 && all <= 20 * 20,
      `each node asks every second, some answers are still on their way: ${all}`,
    );
    assert.ok(share > 0.7 && share < 0.95, `${ok} of ${all}`);
    const { min, p50, max } = metrics.distributions['ms']!;
    assert.ok(min === 0 || min >= 40);
    assert.ok(p50 >= 40 && max <= 50, `${p50} ${max}`);
    assert.equal(metrics.courses['running']!.length, checkpoints.length);
    assert.equal(metrics.courses['messages']!.at(-1)![1], metrics.counts['messages']);
  });

  it('is the same for the same seed, and another one for another seed', async () => {
    const change = { churn: { halfLifeMs: 10_000, downMs: 3000, graceful: 0.5 } };
    const { isSame, first } = await checkReplay(pings(change));
    assert.equal(isSame, true);
    assert.notEqual((await simulate(pings({ ...change, seed: 1 }))).traceHash, first.traceHash);
    assert.notEqual((await simulate(pings({ ...change, seed: '0' }))).traceHash, first.traceHash);
  });

  it('tells where two runs part whose program draws from outside of the realm', async () => {
    let runs = 0;
    const { isSame, partBetweenMs } = await checkReplay(
      pings({
        run: async (simulation) => {
          runs++;
          await simulation.sleep(7350);
          await simulation.any()[1].tell('3', new Uint8Array(runs));
        },
      }),
    );
    assert.equal(isSame, false);
    assert.deepEqual(partBetweenMs, [7300, 7400]);
  });

  it('lets nodes vanish and come back with churn, but not those that are spared', async () => {
    const restarts = new Map<number, number>();
    const { metrics } = await simulate(
      pings({
        churn: { halfLifeMs: 5000, downMs: 1000, spared: 3, graceful: 0.3 },
        open: ({ swarm, index, restarts: n }) => {
          restarts.set(index, n);
          return swarm();
        },
      }),
    );
    const { crashed = 0, closed = 0, opened = 0 } = metrics.counts;
    assert.ok(crashed > closed && closed > 0, `${crashed} crashed, ${closed} closed`);
    assert.ok(opened > 40, `${opened}`);
    assert.deepEqual([restarts.get(0), restarts.get(2)], [0, 0]);
    assert.ok([...restarts.values()].some((n) => n > 1));
    assert.ok(metrics.courses['running']!.some(([, running]) => running < 20));
  });

  it('parts the network, changes links and crashes a share, each for its time', async () => {
    const events: SimulationEvent[] = [];
    const { metrics } = await simulate(
      pings({
        network: 'memory',
        chaos: [
          { type: 'partition', atMs: 2000, forMs: 4000 },
          { type: 'link', atMs: 8000, forMs: 2000, netem: { loss: 1 } },
          { type: 'crash', atMs: 12_000, forMs: 3000, share: 0.5 },
        ],
        onEvent: (event) => void events.push(event),
      }),
    );
    assert.ok(metrics.counts['lost.memory.cut']! > 20);
    assert.ok(metrics.counts['lost.memory.loss']! > 20);
    assert.equal(metrics.counts['crashed'], 10);
    assert.equal(metrics.counts['opened'], 30);
    const lost = (reason: string): number[] =>
      events.filter(({ type, text }) => type === 'lost' && text.endsWith(reason)).map(({ atMs }) => atMs);
    assert.ok(lost('memory.cut').every((atMs) => atMs >= 2000 && atMs < 6000));
    assert.ok(lost('memory.loss').every((atMs) => atMs >= 8000 && atMs < 10_000));
    const chaos = events.filter(({ type }) => type === 'chaos').map(({ atMs, text }) => `${atMs} ${text}`);
    assert.deepEqual(chaos, [
      '2000 partition begins',
      '6000 partition ends',
      '8000 link begins',
      '10000 link ends',
      '12000 crash begins',
      '15000 crash ends',
    ]);
  });

  it('draws faults from the seed where chaos is a function', async () => {
    const drawn: number[] = [];
    const chaos: SimulationOptions<Pinger>['chaos'] = (random, durationMs) => {
      const atMs = random.next() * durationMs;
      drawn.push(atMs);
      return [{ type: 'partition', parts: [[0, 1], [2]], atMs, forMs: 100 }];
    };
    await simulate(pings({ chaos }));
    await simulate(pings({ chaos }));
    await simulate(pings({ chaos, seed: 5 }));
    assert.equal(drawn[0], drawn[1]);
    assert.notEqual(drawn[0], drawn[2]);
  });

  it('runs hosts behind a mix of NATs', async () => {
    const { isOk, failure, metrics } = await simulate({
      nodes: 10,
      durationMs: 1000,
      network: { kind: 'internet', nat: (index) => (index === 0 ? 'open' : 'port') },
      open: async ({ host, simulation, index }) => {
        const swarm = await openUdpSwarm({ realm: host.realm, network: host.network, bind: '0.0.0.0:5000' });
        swarm.listen(({ src }) => simulation.note(`${index} hears ${src.text}`));
        return swarm;
      },
      run: async (simulation) => {
        for (const [index, swarm] of simulation.running()) {
          await swarm.tell(`${simulation.host(index === 0 ? 1 : 0).ip}:5000`, Uint8Array.of(index));
        }
      },
      check: ({ nowMs, node }) => assert.ok(nowMs < 500 || node(0)!.counters.received === 9),
    });
    assert.equal(failure, undefined);
    assert.equal(isOk, true);
    assert.equal(metrics.counts['messages'], 10);
    assert.equal(metrics.counts['lost'], 1, 'the private address of node 1');
  });

  it('says in which phase and when it failed', async () => {
    const boom = (): never => {
      throw new Error('boom');
    };
    const phases = await Promise.all([
      simulate(pings({ open: boom })),
      simulate(pings({ open: () => new Promise<never>(() => {}) })),
      simulate(pings({ run: async ({ sleep }) => [await sleep(1500), boom()] as never })),
      simulate(pings({ network: 'memory', run: () => new Promise<never>(() => {}) })),
      simulate(pings({ check: ({ nowMs }) => (nowMs >= 6000 ? boom() : undefined) })),
      simulate(pings({ liveness: { withinMs: 3000, check: boom } })),
    ]);
    assert.deepEqual(
      phases.map(({ isOk, failure }) => [isOk, failure!.phase, failure!.atMs, failure!.message]),
      [
        [false, 'open', 0, 'boom'],
        [false, 'open', 20_000, '20 of 20 nodes are still not open; no wait is named'],
        [false, 'run', 1500, 'boom'],
        [false, 'run', 20_000, 'run has not ended within 20000 ms; no wait is named'],
        [false, 'check', 6000, 'boom'],
        [false, 'liveness', 23_000, 'boom'],
      ],
    );
  });

  it('heals everything before it demands progress', async () => {
    const { isOk } = await simulate(
      pings({
        network: { kind: 'memory', netem: { loss: 1 } },
        chaos: [{ type: 'partition', atMs: 0, forMs: 1e12 }],
        churn: { halfLifeMs: 1000, downMs: Infinity },
        liveness: {
          withinMs: 5000,
          check: async ({ isHealed, running }) => {
            assert.equal(isHealed, true);
            assert.equal(running().length, 20);
            await running()[0]![1].ask('7', Uint8Array.of(1));
          },
        },
      }),
    );
    assert.equal(isOk, true);
  });

  it('finds the seed that fails, and the least nodes and time with which it does', async () => {
    // Fails on seeds that are divisible by 5, with at least 7 nodes, after 1300 ms.
    const results: boolean[] = [];
    const found = await findFailure(
      pings({
        check: ({ seed, size, nowMs }) => {
          if (Number(seed) % 5 === 0 && size >= 7 && nowMs >= 1300) throw new Error('found');
        },
        checkEveryMs: 100,
      }),
      { from: 3, onRun: ({ isOk }) => void results.push(isOk) },
    );
    assert.equal(found!.original.seed, 5);
    assert.equal(found!.original.nodes, 20);
    assert.deepEqual([found!.result.seed, found!.result.nodes, found!.result.durationMs], [5, 7, 1300]);
    assert.equal(found!.runs, results.length);
    const again = await simulate({ ...pings(), nodes: 7, durationMs: 1300, seed: 5 });
    assert.equal(again.traceHash, found!.result.traceHash, 'the failing run can be repeated');
    assert.equal(await findFailure(pings({ durationMs: 100 }), { seeds: 3 }), undefined);
  });

  it('does not take a run for smaller that fails for another reason, or is impossible', async () => {
    const found = await findFailure(
      pings({
        chaos: [{ type: 'partition', parts: [[0, 1], [8]], atMs: 100, forMs: 100 }],
        run: async (simulation) => {
          await simulation.sleep(500);
          throw new Error('bad');
        },
      }),
      { seeds: 1 },
    );
    const { nodes, durationMs, failure } = found!.result;
    assert.deepEqual([nodes, failure!.message], [9, 'bad']);
    assert.ok(durationMs >= 500 && durationMs <= 510, `${durationMs}`);
  });

  it('keeps about two hundred samples of each phase, however often it checks', async () => {
    const { checkpoints, metrics, failure } = await simulate(
      pings({
        nodes: 2,
        durationMs: 1000,
        check: () => undefined,
        checkEveryMs: 1,
        liveness: {
          withinMs: 10_000,
          check: () => {
            throw new Error('never');
          },
        },
      }),
    );
    assert.equal(failure!.message, 'never');
    assert.ok(checkpoints.length >= 200 && checkpoints.length <= 500, `${checkpoints.length}`);
    assert.equal(metrics.courses['running']!.length, checkpoints.length);
  });

  it('says that two runs part behind the last checkpoint where all of those are the same', async () => {
    let runs = 0;
    const options = pings({
      nodes: 2,
      durationMs: 1000,
      liveness: { withinMs: 0, check: (simulation) => simulation.note(`run ${runs++}`) },
    });
    const { isSame, first, partBetweenMs } = await checkReplay(options);
    assert.equal(isSame, false);
    assert.deepEqual(partBetweenMs, [first.checkpoints.at(-1)![0], first.virtualMs]);
  });

  it('ends a partition when the last of several that overlap ends', async () => {
    const heard: string[] = [];
    const tellAt = async (simulation: Simulation<Pinger>, atMs: number): Promise<void> => {
      await simulation.sleep(atMs - simulation.nowMs);
      await simulation.node(0)!.tell('1', Uint8Array.of(1));
    };
    await simulate(
      pings({
        nodes: 2,
        durationMs: 1000,
        network: { kind: 'memory', netem: { latencyMs: 1 } },
        open: ({ swarm, realm }) => {
          const own = swarm();
          own.listen(() => void heard.push(`${realm.nowMs()}`));
          return own;
        },
        chaos: [
          { type: 'partition', atMs: 100, forMs: 200, parts: [[0], [1]] },
          { type: 'partition', atMs: 200, forMs: 300, parts: [[0], [1]] },
        ],
        run: async (simulation) => {
          for (const atMs of [50, 150, 250, 400, 600]) await tellAt(simulation, atMs);
        },
      }),
    );
    assert.deepEqual(heard, ['51', '601']);
  });

  it('draws a counter, its rate and a distribution, and names what there is for another metric', async () => {
    const result = await simulate(pings({ name: 'a<b>' }));
    for (const metric of ['messages', 'messages/s', 'running', 'ms']) {
      const svg = metricSvg(result, metric);
      assert.match(svg, /^<svg [^>]*>[^]*<polyline points="[\d., ]+"[^]*<\/svg>\n$/);
      assert.ok(svg.includes('a&lt;b&gt;') && !svg.includes('NaN'), svg);
    }
    for (const metric of ['hops', 'toString', '__proto__', 'constructor/s']) {
      assert.throws(() => metricSvg(result, metric), /RangeError: Cannot draw .*: the simulation has .*messages/);
    }
  });

  it('reports how far it is, and ends when its signal aborts, with all nodes closed', async () => {
    const controller = new AbortController();
    const nodes: Pinger[] = [];
    const seen: number[] = [];
    await assert.rejects(
      simulate(
        pings({
          signal: controller.signal,
          open: ({ swarm }) => {
            const own = swarm();
            nodes.push(own);
            return own;
          },
          onProgress: ({ virtualMs, running, durationMs }) => {
            assert.deepEqual([running, durationMs], [20, 20_000]);
            seen.push(virtualMs);
            if (virtualMs >= 10_000) controller.abort();
          },
        }),
      ),
      { name: 'AbortError' },
    );
    assert.equal(seen.at(-1), 10_000);
    assert.ok(nodes.every((node) => node.localAddrs().length === 0));
    await assert.rejects(simulate(pings({ signal: controller.signal })), { name: 'AbortError' });
  });

  it('refuses wrong options before it begins', async () => {
    const wrong: readonly [Record<string, unknown>, RegExp][] = [
      [{ nodes: 0 }, /Cannot take nodes: expected 1 to 1000000, got 0/],
      [{ nodes: undefined }, /Cannot take nodes: expected a whole number/],
      [{ nodes: 2.5 }, /whole number/],
      [{ durationMs: -1 }, /Cannot take durationMs/],
      [{ durationMs: undefined }, /Cannot take durationMs/],
      [{ seed: {} }, /Cannot take seed/],
      [{ network: 'mars' }, /Cannot take network: expected 'memory', 'internet'/],
      [{ network: { kind: 'memory', netem: { loss: 2 } } }, /netem loss/],
      [{ open: undefined }, /Cannot take open/],
      [{ check: 5 }, /Cannot take check/],
      [{ churn: { halfLifeMs: 0 } }, /churn.halfLifeMs/],
      [{ churn: { halfLifeMs: 5, graceful: 2 } }, /churn.graceful/],
      [{ chaos: [{ type: 'flood', atMs: 0, forMs: 1 }] }, /expected the type partition, link or crash/],
      [{ chaos: [{ type: 'partition', parts: [[99]], atMs: 0, forMs: 1 }] }, /chaos.parts/],
      [{ chaos: 5 }, /Cannot take chaos: expected a list of events or a function, got 5/],
      [{ liveness: { withinMs: 1 } }, /liveness.check/],
      [{ signal: 3 }, /signal/],
    ];
    for (const [change, message] of wrong) {
      await assert.rejects(simulate(pings(change as never)), message, JSON.stringify(change));
    }
  });

  it('bounds the names of metrics, and refuses what is no number', async () => {
    const failing = async (run: SimulationOptions<Pinger>['run']): Promise<string | undefined> =>
      (await simulate(pings({ durationMs: 10, run }))).failure?.message;
    assert.match((await failing(({ measure }) => measure('x', NaN)))!, /Cannot measure x: expected a finite number/);
    const many: SimulationOptions<Pinger>['run'] = ({ attempt }) => {
      for (let i = 0; i < 2000; i++) attempt(`${i}`, true);
    };
    assert.match((await failing(many))!, /at most 1000 names/);
    const { failure, metrics } = await simulate(
      pings({
        durationMs: 2000,
        run: ({ count }) => {
          for (let i = 0; i < 1000; i++) {
            try {
              count(`${i}`);
            } catch {
              return;
            }
          }
        },
      }),
    );
    assert.equal(failure, undefined);
    assert.ok(metrics.counts['messages']! > 0, 'the counters of the simulator need none of these names');
    assert.match((await failing(({ partition }) => partition([0], [99])))!, /Cannot take partition: expected 0 to 19/);
  });
});
