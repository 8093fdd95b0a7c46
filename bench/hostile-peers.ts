/**
 * How much memory can peers take whose data nobody reads, and does it come back?
 *
 *   npm run bench:hostile -- endpoint|quic [--peers=1000] [--after=60]
 *
 * The victim is a process of its own with default options, that reads nothing. Attackers, in another process, connect
 * from many loopback IPs with a key each, send megabytes that wait, and are killed. Shown are the victim's resident bytes before,
 * at the most, and after a forced collection so many seconds after the kill. The bars: less than 256 MiB, and within 64 MiB of
 * the beginning.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { inspect } from '../src/core/inspect.ts';
import type { Addr } from '../src/core/addr.ts';
import type { Swarm } from '../src/core/swarm.ts';
import { openEndpoint } from '../src/endpoint/index.ts';
import { generateKey } from '../src/identity/keys.ts';
import { openQuicSwarm } from '../src/swarms/quic/index.ts';

const KINDS = ['endpoint', 'quic'] as const;
type Kind = (typeof KINDS)[number];

const MIB = 2 ** 20;
const MOST_MIB = 256;
const BACK_WITHIN_MIB = 64;
/** What each attacker tries to leave with the victim. */
const MESSAGES = 16;
const MESSAGE_BYTES = 1_000_000;

/** What the victim tells. */
interface Report {
  readonly addr?: string;
  readonly nowMib: number;
  readonly peakMib: number;
  readonly connections: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: 'string', default: '1000' },
    after: { type: 'string', default: '60' },
    role: { type: 'string', default: 'both' },
    addr: { type: 'string', default: '' },
  },
});
const kind = (positionals[0] ?? 'endpoint') as Kind;
if (!KINDS.includes(kind)) throw new Error(`Cannot bench ${kind}: expected one of ${KINDS.join(', ')}`);
const wait = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

const openSwarm = (bind: string): Promise<Swarm<Addr>> => openQuicSwarm({ bind, privateKey: generateKey() });

async function victim(): Promise<void> {
  const open =
    kind === 'endpoint' ? await openEndpoint({ bind: '0.0.0.0:0', trust: 'anyone' }) : await openSwarm('0.0.0.0:0');
  // Nobody reads: an endpoint has no handler, a swarm one that takes half a minute for each message.
  if ('tell' in open) open.listen(() => wait(30_000));
  let peak = 0;
  setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
  const loopback = open.localAddrs().find(({ text }) => text.includes('127.0.0.1')) ?? open.addr;
  await wait(500);
  const report = async (): Promise<void> => {
    // Buffers are given back in a later turn than the one that finds them dead.
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await wait(200);
    }
    const connections = Number(inspect(open).state['connections'] ?? inspect(open).state['sessions'] ?? 0);
    const nowMib = process.memoryUsage.rss() / MIB;
    if (process.env['HOSTILE_DEBUG'] !== undefined)
      console.log(
        JSON.stringify(inspect(open).state),
        JSON.stringify(process.memoryUsage()),
        JSON.stringify([...open.counters.drops]),
      );
    process.send!({ addr: loopback.text, nowMib, peakMib: Math.max(peak / MIB, nowMib), connections } satisfies Report);
  };
  process.on('message', () => void report());
  process.send!({});
}

/** Nobody reads, so these never settle before the kill. */
const quiet = (promise: Promise<unknown>): void => void promise.catch(() => undefined);

/** One attacker, at an IP that few others share. */
async function attack(i: number): Promise<void> {
  const bind = `127.${1 + (i % 100)}.${1 + (Math.floor(i / 100) % 200)}.1:0`;
  const payload = new Uint8Array(MESSAGE_BYTES);
  if (kind === 'endpoint') {
    const connection = await attackers.connect(values.addr, { fresh: true });
    for (let n = 0; n < MESSAGES; n++) quiet(connection.send(payload, { timeoutMs: Infinity }));
    return;
  }
  const swarm = await openSwarm(bind);
  const dst = swarm.parseAddr(values.addr);
  await swarm.tell(dst, Uint8Array.of(1), { timeoutMs: 10_000 });
  for (let n = 0; n < MESSAGES; n++)
    quiet(swarm.tell(dst, payload.subarray(0, swarm.mtu(dst)), { timeoutMs: 3_600_000 }));
}

const attackers =
  values.role === 'attacker' && kind === 'endpoint'
    ? await openEndpoint({ bind: '127.0.0.1:0', trust: 'anyone', sendWindowBytes: 2 ** 24 })
    : (undefined as never);

async function attackAll(): Promise<void> {
  let connected = 0;
  for (let i = 0; i < Number(values.peers); i += 10) {
    const tried = await Promise.allSettled(Array.from({ length: 10 }, (_, k) => attack(i + k)));
    connected += tried.filter(({ status }) => status === 'fulfilled').length;
  }
  await wait(5000);
  process.send!({ connected });
  // Held until it is killed.
  setInterval(() => undefined, 1000);
}

const row = (what: string, mib: number, more = ''): void =>
  console.log(`${what.padEnd(34)} ${mib.toFixed(1).padStart(8)} MiB  ${more}`);

async function both(): Promise<void> {
  const start = (role: string, ...more: string[]) =>
    fork(import.meta.filename, [kind, `--role=${role}`, `--peers=${values.peers}`, ...more], {
      execArgv: [...process.execArgv, '--expose-gc'],
    });
  const attacked = start('victim');
  await once(attacked, 'message');
  const ask = async (): Promise<Report> => {
    attacked.send('report');
    const [report] = (await once(attacked, 'message')) as [Report];
    return report;
  };
  const before = await ask();
  const attacker = start('attacker', `--addr=${before.addr}`);
  const [{ connected }] = (await once(attacker, 'message')) as [{ readonly connected: number }];
  const during = await ask();
  attacker.kill('SIGKILL');
  await wait(Number(values.after) * 1000);
  const after = await ask();
  attacked.kill('SIGKILL');
  console.log(
    `${kind}, ${values.peers} peers, ${connected} of them connected, ${MESSAGES} messages of ${MESSAGE_BYTES} bytes each\n`,
  );
  row('before', before.nowMib);
  row('under attack, collected', during.nowMib, `${during.connections} connections at the end`);
  row('the most', after.peakMib, after.peakMib < MOST_MIB ? 'ok' : `MISSED: less than ${MOST_MIB} MiB`);
  const left = after.nowMib - before.nowMib;
  row(
    `${values.after} s after the attackers died`,
    after.nowMib,
    `${after.connections} connections; ${left <= BACK_WITHIN_MIB ? 'ok' : `MISSED: ${left.toFixed(0)} MiB above the beginning`}`,
  );
  if (after.peakMib >= MOST_MIB || left > BACK_WITHIN_MIB) process.exitCode = 1;
}

if (values.role === 'victim') await victim();
else if (values.role === 'attacker') await attackAll();
else await both();
