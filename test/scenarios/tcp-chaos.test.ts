/**
 * Peers of the TCP swarm that come, talk, fall silent and go at random, in virtual time: every call settles, no message comes
 * twice, and in the end no connection is left. A seed replays.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { P2PError } from '../../src/core/errors.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { flatNetwork } from '../support/flat-network.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { openTcpSwarm, type TcpAddr, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const PEERS = 8;
const STEPS = 600;
/** What a call may come to while peers come and go. */
const EXPECTED = new Set(['closed', 'unreachable', 'timeout', 'refused', 'disconnected', 'limit_exceeded']);

interface Outcome {
  readonly log: string;
  readonly asked: number;
  readonly answered: number;
  readonly heard: number;
}

async function chaos(seed: number): Promise<Outcome> {
  const random = createSeededRandom(seed);
  const realm = createMemoryRealm({ clock: 'virtual', seed });
  const { clock } = realm;
  const network = flatNetwork({ realm, seed, latencyMs: 15, windowBytes: 20_000 });
  const swarms = new Map<number, TcpSwarm>();
  const addrs = new Map<number, TcpAddr>();
  /** Numbers of the tells that were heard. */
  const seen = new Set<number>();
  const calls = new Set<Promise<unknown>>();
  const failures: string[] = [];
  let [number, asked, answered, heard] = [0, 0, 0, 0];

  const open = async (i: number): Promise<void> => {
    const ip = `10.0.0.${i + 1}`;
    const common = { security: 'noise', realm, network: network.host(ip), bind: `${ip}:4000` } as const;
    const swarm = await openTcpSwarm({
      privateKey: testKey(i),
      ...common,
      idleTimeoutMs: 3000,
      maxPendingBytes: 50_000,
    });
    swarms.set(i, swarm);
    addrs.set(i, swarm.addr);
    swarm.serve(({ payload }) => payload);
    swarm.listen(({ payload }) => {
      heard++;
      const sent = Number(new TextDecoder().decode(payload.subarray(0, 40)));
      if (seen.has(sent)) failures.push(`${sent} came twice`);
      seen.add(sent);
    });
  };
  const track = (promise: Promise<unknown>): void => {
    const settled = promise
      .catch((error: unknown) => {
        if (!P2PError.is(error) || !EXPECTED.has(error.code)) failures.push(String(error));
      })
      .finally(() => calls.delete(settled));
    calls.add(settled);
  };
  const payload = (): Uint8Array => {
    const bytes = new Uint8Array(40 + Math.floor(random.next() ** 4 * 200_000)).fill(32);
    bytes.set(new TextEncoder().encode(String(++number)));
    return bytes;
  };

  await clock.run(Promise.all(Array.from({ length: PEERS }, (_, i) => open(i))));
  for (let step = 0; step < STEPS; step++) {
    const [i, j] = [Math.floor(random.next() * PEERS), Math.floor(random.next() * PEERS)];
    const from = swarms.get(i);
    const dice = random.next();
    if (from === undefined) await clock.run(open(i));
    else if (dice < 0.03) {
      swarms.delete(i);
      await clock.run(from.close());
    } else if (i !== j && dice < 0.55) track(from.tell(addrs.get(j)!, payload(), { timeoutMs: 5000 }));
    else if (i !== j) {
      asked++;
      const asking = from.ask(addrs.get(j)!, payload(), { timeoutMs: 5000, maxResponseBytes: 1_000_000 });
      track(asking.then(() => void answered++));
    }
    if (random.next() < 0.3) await clock.advance(Math.floor(random.next() ** 3 * 6000));
  }
  await clock.run(Promise.all(calls));
  await clock.advance(60_000);
  for (const swarm of swarms.values()) {
    const { state } = inspect(swarm);
    assert.deepEqual(
      [state['connections'], state['dials'], state['queuedBytes']],
      [0, 0, 0],
      'all are idle and closed',
    );
  }
  const log = [...swarms].map(([i, swarm]) => `${i}: ${JSON.stringify(inspect(swarm).counters)}`).join('\n');
  await clock.run(Promise.all([...swarms.values()].map((swarm) => swarm.close())));
  assert.deepEqual(failures, []);
  return { log, asked, answered, heard };
}

describe('TCP swarms that come and go', () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`seed ${seed}: every call settles, and nothing is left`, async () => {
      const { asked, answered, heard } = await chaos(seed);
      assert.ok(answered > asked / 3, `${answered} of ${asked} asks were answered`);
      assert.ok(heard > 50, `${heard} tells were heard`);
    });
  }

  it('the same seed gives the same run', async () => {
    assert.deepEqual(await chaos(3), await chaos(3));
  });
});
