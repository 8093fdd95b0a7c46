/**
 * Ten thousand peers of one network at one server of a tracker, which is a process of its own: how fast they announce themselves over HTTP, how fast one is looked up, and what memory that takes.
 *
 *     npm run bench -- tracker-many
 *     node bench/tracker-many.ts --peers 2000
 *
 * Ends with 1 when a peer is not found, or when the server takes more memory than it may.
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { PeerId } from 'shoal';
import { encodePeerId } from 'shoal/keys';
import { createTrackerToken, openTracker } from 'shoal/tracker';
import { createSeededRandom } from 'shoal/testing';

const { values } = parseArgs({ options: { peers: { type: 'string', default: '10000' } } });
const count = Number(values.peers);
/** About one for every fifty peers. */
const SHARDS = Math.min(4096, Math.ceil(count / 50));
/** Few at a time for each cell: peers announce themselves at random moments. */
const IN_FLIGHT = Math.max(4, Math.min(32, Math.floor(SHARDS / 4)));
/** Cells of 32 KiB, with as much again for what node:http and the garbage collector hold, over what a server has at its start. */
const MAX_GROWTH_MIB = 96;
const LOOKUPS = Math.min(count, 1000);

const main = path.join(import.meta.dirname, '..', 'apps', 'cli', 'src', 'main.ts');
const unlimited = ['--requests-per-second', '1000000', '--cells-per-minute', '1000000'];
const args = ['--conditions=shoal-source', main, 'tracker', '--bind', '127.0.0.1:0', '--json', ...unlimited];
const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
process.on('exit', () => child.kill());
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
const { url } = JSON.parse((await lines.next()).value as string) as { readonly url: string };

/** Memory of the server in MiB; Linux only. */
function rssMib(): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

const random = createSeededRandom(1);
const ids: readonly PeerId[] = Array.from({ length: count }, () => encodePeerId(random.bytes(32)));
const { text } = createTrackerToken(url, { shards: SHARDS });

/** Runs all, so many at a time. @returns how many a second */
async function all(items: readonly PeerId[], run: (id: PeerId, index: number) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await run(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return (items.length * 1000) / (performance.now() - startedAt);
}

const announce = async (id: PeerId, index: number): Promise<void> => {
  await using tracker = openTracker({ at: text, id, ttlMs: 3_600_000 });
  await tracker.announce([`quic://${id}@192.0.2.${index % 250}:${1024 + (index % 60_000)}`]);
};

let failed = 0;
const before = rssMib();
const first = await all(ids, announce);
const afterFirst = rssMib();
const second = await all(ids, announce);
const afterSecond = rssMib();
await using seeker = openTracker({ at: text, cacheMs: 0 });
const lookups = await all(ids.slice(0, LOOKUPS), async (id) => {
  if ((await seeker.lookUp(id)).length !== 1) failed++;
});
const metrics = await (await fetch(`${url}/metrics`)).text();
const cells = /^shoal_tracker_cells (\d+)$/m.exec(metrics)?.[1];
child.kill('SIGTERM');

const growth = afterSecond - before;
console.log(
  `${count} peers of one network in ${cells} cells, over HTTP, ${IN_FLIGHT} at a time, sealing and signing in one process`,
);
console.log(`announcements: ${first.toFixed(0)}/s the first time, ${second.toFixed(0)}/s the second`);
console.log(`look-ups: ${lookups.toFixed(0)}/s, ${failed} of ${LOOKUPS} not found`);
console.log(
  `memory of the server: ${before.toFixed(0)} MiB at first, ${afterFirst.toFixed(0)} and ${afterSecond.toFixed(0)} MiB after each time; it may grow by ${MAX_GROWTH_MIB} MiB`,
);
if (failed > 0 || growth > MAX_GROWTH_MIB) process.exitCode = 1;
