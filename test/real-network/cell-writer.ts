/**
 * A process that writes a cell until its standard input ends, and reports each call on standard output before it begins and after it has ended: written at
 * once, so that nothing is lost when it is killed. Times are of the machine's monotonic clock, the same for all processes.
 *
 * Arguments: the store, the key, the name of the writer.
 */

import { writeSync } from 'node:fs';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { openCells } from '../../src/cells/open-cells.ts';
import { P2PError } from '../../src/core/errors.ts';

const [, , place = '', key = '', name = ''] = process.argv;
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

function report(line: object): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') process.exit(0);
    }
  }
}

/** One call, from its beginning to its end. */
async function call<T>(what: object, run: () => Promise<T>, seen: (result: T) => object): Promise<T | undefined> {
  report({ ...what, startMs: nowMs() });
  try {
    const result = await run();
    report({ ...seen(result), endMs: nowMs() });
    return result;
  } catch (error) {
    const sent = P2PError.is(error) ? error.sent : 'maybe';
    report({ failed: sent, why: error instanceof Error ? error.message : String(error) });
    return undefined;
  }
}

let isOver = false;
process.stdin.on('end', () => (isOver = true)).resume();
const textOf = (bytes: Uint8Array): string => decodeText(bytes)!;
const LIMITS = { timeoutMs: 2000 };

await using store = await openCells(place);
report({ ready: true });
for (let seq = 0; !isOver; seq++) {
  const value = await call(
    { type: 'get' },
    () => store.get(key, LIMITS),
    (bytes) => ({ seen: textOf(bytes) }),
  );
  if (value === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    continue;
  }
  const next = encodeText(`${Number(textOf(value).split(' ')[0]) + 1} ${name} ${process.pid} ${seq}`);
  const what = { type: 'cas', expected: textOf(value), next: textOf(next) };
  await call(
    what,
    () => store.cas(key, value, next, LIMITS),
    ({ swapped, current }) => ({ swapped, seen: textOf(current) }),
  );
}
report({ over: true });
