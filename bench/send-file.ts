/**
 * A file from `shoal send` to `shoal receive`, beside node:tls that does the same: hashes, a file that is written and synced. Two
 * processes each on loopback. The clock runs at the receiver, from the first request or the dial to the synced file.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import type { Bench } from './harness/bench.ts';

const MIB = 2 ** 20;
const MAIN = fileURLToPath(new URL('../apps/cli/src/main.ts', import.meta.url));
const OWN = ['--bind', '127.0.0.1:0', '--no-lan', '--json'];

/** Starts a command, and waits for an event of it. */
function command(args: readonly string[]): {
  readonly child: ChildProcess;
  readonly event: (name: string) => Promise<Readonly<Record<string, unknown>>>;
} {
  const child = spawn(process.execPath, ['--conditions=shoal-source', MAIN, ...args, ...OWN], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const event = async (name: string): Promise<Readonly<Record<string, unknown>>> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`shoal ${args[0]} ended without ${name}`);
      const parsed = JSON.parse(value) as Readonly<Record<string, unknown>>;
      if (parsed['event'] === name) return parsed;
    }
  };
  return { child, event };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGINT');
  await exited;
}

/** The bench: `npm run bench -- send-file`. */
export const sendFile: Bench = {
  name: 'send-file',
  question: 'How fast is shoal send to shoal receive, beside node:tls that does the same?',
  prepare: async (quick) => {
    const bytes = (quick ? 256 : 1024) * MIB;
    const folder = mkdtempSync(path.join(tmpdir(), 'shoal-bench-'));
    const file = path.join(folder, 'file');
    const block = randomBytes(16 * MIB);
    const fd = openSync(file, 'w');
    for (let at = 0; at < bytes; at += block.length) writeSync(fd, block);
    closeSync(fd);

    const sender = command(['send', file]);
    const ticket = String((await sender.event('ticket'))['ticket']);
    const tls = fileURLToPath(new URL('send-file-tls.ts', import.meta.url));
    const start = (...args: readonly string[]): ChildProcess =>
      fork(tls, args, { execArgv: ['--conditions=shoal-source'] });
    const server = start('send', file);
    const [{ port, sha256 }] = (await once(server, 'message')) as [{ port: number; sha256: string }];
    let allRight = true;

    const byShoal = async (): Promise<number> => {
      const out = path.join(folder, 'out');
      const receiver = command(['receive', ticket, '--out', out]);
      const { ms, fetchedBytes } = await receiver.event('received');
      await once(receiver.child, 'exit');
      allRight &&= fetchedBytes === bytes;
      rmSync(out, { recursive: true });
      return bytes / MIB / (Number(ms) / 1000);
    };
    const byTls = async (): Promise<number> => {
      const out = path.join(folder, 'tls');
      const receiver = start('receive', out, String(port));
      const [result] = (await once(receiver, 'message')) as [{ ms: number; sha256: string }];
      receiver.disconnect();
      await once(receiver, 'exit');
      allRight &&= result.sha256 === sha256;
      rmSync(out);
      return bytes / MIB / (result.ms / 1000);
    };
    const size = `${bytes / MIB} MiB`;
    const names = { shoal: `shoal send and receive: ${size}`, tls: `node:tls, the same hashing: ${size}` };
    return {
      measures: [
        { name: names.tls, unit: 'MiB/s', round: byTls },
        { name: names.shoal, unit: 'MiB/s', round: byShoal },
      ],
      claims: [{ subject: names.shoal, baseline: names.tls, goal: { ratio: 0.9 } }],
      controls: () => [{ what: 'all bytes came, with the right hash', ok: allRight }],
      [Symbol.asyncDispose]: async () => {
        await end(sender.child);
        server.kill();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
};
