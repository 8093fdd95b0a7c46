import assert from 'node:assert/strict';
import { Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { generateKey } from '../../src/identity/keys.ts';
import { openQuicSwarm } from '../../src/swarms/quic/index.ts';

// What runs for a tell to a peer that has a session, between the call and the socket's `send`. docs/architecture.md explains it.

/** In order, from the call to the socket. */
const PATH = [
  'sessions/session-swarm.ts',
  'swarms/quic/session.ts',
  'protocols/quic/stream.ts',
  'protocols/quic/wasm-engine.ts',
  'quic/quic-driver.ts',
  'runtime/driver.ts',
  'protocols/quic/endpoint.ts',
  'net/udp/swarm.ts',
  'net/udp/socket.ts',
];

/** Checks of values, counters, whether a swarm is closed, and the end of the current call: the same in every swarm. */
const HELPERS = [
  'base/checks.ts',
  'runtime/close-latch.ts',
  'runtime/later.ts',
  'runtime/system-realm.ts',
  'swarm-kit/counter-set.ts',
];

const ROUNDS = 21;

/** Precise coverage of this process: the files of `src/` whose functions ran since the last look. */
class Coverage {
  readonly #session = new Session();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  }

  take(): Set<string> {
    let result: readonly Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error;
      ({ result } = taken);
    });
    const ran = result.filter(({ functions }) => functions.some(({ ranges: [whole] }) => whole!.count > 0));
    return new Set(ran.flatMap(({ url }) => url.split('/src/').slice(1)));
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}

it('a tell through QUIC goes from the call to the socket through the nine files that the page on architecture names', async (t) => {
  await using a = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey: generateKey() });
  await using b = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey: generateKey() });
  using _ = b.listen(() => undefined);
  const payload = new Uint8Array(100);
  for (let warm = 0; warm < 20; warm++) await a.tell(b.addr, payload).then(() => a.drain());

  const dst = b.addr;
  using coverage = new Coverage();
  let reached: ((ran: Set<string>) => void) | undefined;
  const send: unknown = Reflect.get(Socket.prototype, 'send');
  t.mock.method(Socket.prototype, 'send', function (this: Socket, ...args: unknown[]): void {
    reached?.(coverage.take());
    reached = undefined;
    Reflect.apply(send as () => void, this, args);
  });
  // Timers and datagrams of other moments may come in between: what belongs to a tell runs in most rounds.
  const rounds = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    const { promise, resolve } = Promise.withResolvers<Set<string>>();
    coverage.take();
    reached = resolve;
    await a.tell(dst, payload);
    for (const file of await promise) rounds.set(file, (rounds.get(file) ?? 0) + 1);
    await a.drain();
  }
  const ran = [...rounds].filter(([, times]) => times > ROUNDS / 2).map(([file]) => file);
  assert.deepEqual(ran.toSorted(), [...PATH, ...HELPERS].toSorted());
  assert.ok(PATH.length <= 9);

  const page = readFileSync(new URL('../../docs/architecture.md', import.meta.url), 'utf8');
  for (const file of [...PATH, ...HELPERS])
    assert.ok(page.includes(`\`${file}\``), `docs/architecture.md does not name ${file}`);
});
