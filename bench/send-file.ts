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

import { type Bench, rateOf, type Round } from './harness/bench.ts';
import { Lazy } from './harness/child.ts';
import { programEnd } from './harness/ends.ts';

const MIB = 2 ** 20;
const MIBS = 1024;
const BYTES = MIBS * MIB;
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

/** A file that both servers offer. */
interface Served extends AsyncDisposable {
  readonly folder: string;
  readonly sender: ChildProcess;
  readonly ticket: string;
  readonly server: ChildProcess;
  readonly port: number;
  readonly sha256: string;
}

const startTls = (...args: readonly string[]): ChildProcess =>
  fork(fileURLToPath(new URL('send-file-tls.ts', import.meta.url)), args, { execArgv: ['--conditions=shoal-source'] });

async function serveFile(): Promise<Served> {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-bench-'));
  const file = path.join(folder, 'file');
  const block = randomBytes(16 * MIB);
  const fd = openSync(file, 'w');
  for (let at = 0; at < BYTES; at += block.length) writeSync(fd, block);
  closeSync(fd);
  const sender = command(['send', file]);
  const ticket = String((await sender.event('ticket'))['ticket']);
  const server = startTls('send', file);
  const [{ port, sha256 }] = (await once(server, 'message')) as [{ port: number; sha256: string }];
  return {
    folder,
    sender: sender.child,
    ticket,
    server,
    port,
    sha256,
    [Symbol.asyncDispose]: async () => {
      await end(sender.child);
      server.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The bench: `npm run bench -- send-file`. */
export const sendFile: Bench = {
  name: 'send-file',
  question: 'How fast is shoal send to shoal receive, beside node:tls that does the same?',
  prepare: () => {
    const served = new Lazy(serveFile);
    let allRight = true;
    const byShoal = async ({ folder, ticket, sender }: Served): Promise<Round> => {
      const out = path.join(folder, 'out');
      const before = await programEnd(sender.pid!).cpuUs();
      const receiver = command(['receive', ticket, '--out', out]);
      const { ms, fetchedBytes } = await receiver.event('received');
      const cpuUs = (await programEnd(sender.pid!).cpuUs()) - before + (await programEnd(receiver.child.pid!).cpuUs());
      await once(receiver.child, 'exit');
      allRight &&= fetchedBytes === BYTES;
      rmSync(out, { recursive: true });
      return { ...rateOf(MIBS, Number(ms)), cpuUs };
    };
    const byTls = async ({ folder, port, sha256, server }: Served): Promise<Round> => {
      const out = path.join(folder, 'tls');
      const before = await programEnd(server.pid!).cpuUs();
      const receiver = startTls('receive', out, String(port));
      const [result] = (await once(receiver, 'message')) as [{ ms: number; sha256: string }];
      const cpuUs = (await programEnd(server.pid!).cpuUs()) - before + (await programEnd(receiver.pid!).cpuUs());
      receiver.disconnect();
      await once(receiver, 'exit');
      allRight &&= result.sha256 === sha256;
      rmSync(out);
      return { ...rateOf(MIBS, result.ms), cpuUs };
    };
    const names = { shoal: `shoal send and receive: ${MIBS} MiB`, tls: `node:tls, the same hashing: ${MIBS} MiB` };
    return {
      measures: [
        { name: names.tls, unit: 'MiB/s', on: 'not pinned', round: async () => byTls(await served.get()) },
        { name: names.shoal, unit: 'MiB/s', on: 'not pinned', round: async () => byShoal(await served.get()) },
      ],
      claims: [{ subject: names.shoal, baseline: names.tls, goal: { ratio: 0.9 } }],
      controls: [{ what: 'all bytes came, with the right hash', needs: Object.values(names), holds: () => allRight }],
      [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
    };
  },
};
