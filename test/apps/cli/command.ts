/** Runs the `shoal` command for real: each call is a process of its own. */

import assert from 'node:assert/strict';
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { openLan } from 'shoal/discovery';
import { testKey } from 'shoal/testing';
import { faultOf } from '../../../apps/cli/src/schema.ts';

/** The command itself, without the launcher. */
export const main: string = path.join(import.meta.dirname, '..', '..', '..', 'apps', 'cli', 'src', 'main.ts');

/** How a command ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `stdout` as `--json` has it: one object a line. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

function otherClock(aheadMs: number): readonly string[] {
  if (aheadMs === 0) return [];
  const program = `const now = Date.now; Date.now = () => now() + ${aheadMs};`;
  return ['--import', `data:text/javascript,${encodeURIComponent(program)}`];
}

/** How a command is started. */
interface SpawnPlace {
  /** @default pipes for all */
  readonly stdio?: StdioOptions | undefined;
  readonly cwd?: string | undefined;
  /** Milliseconds by which its clock is ahead. @default 0 */
  readonly aheadMs?: number | undefined;
}

/** Commands that look for their peers on the LAN by themselves. */
const ON_LAN: ReadonlySet<string> = new Set(['send', 'receive', 'pipe', 'chat']);

/** Keeps the beacons of a command on this machine. */
function onThisMachine(args: readonly string[]): readonly string[] {
  const [command = ''] = args;
  const says = args.some((arg) => arg === '--broadcast' || arg === '--no-lan' || arg === '--help');
  return ON_LAN.has(command) && !says ? [command, '--broadcast', '127.255.255.255', ...args.slice(1)] : args;
}

/** Starts a command. */
export function spawnShoal(
  args: readonly string[],
  { stdio = ['pipe', 'pipe', 'pipe'], cwd = process.cwd(), aheadMs = 0 }: SpawnPlace = {},
): ChildProcess {
  return spawn(process.execPath, ['--conditions=shoal-source', ...otherClock(aheadMs), main, ...onThisMachine(args)], {
    cwd,
    stdio,
    env: { ...process.env, NO_COLOR: '1' },
  });
}

function eventsOf(stdout: string): Ended['events'] {
  const lines = stdout.split('\n').filter((line) => line.startsWith('{"event"'));
  const events = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  for (const event of events) assert.equal(faultOf(event), undefined, JSON.stringify(event));
  return events;
}

/** Runs a command to its end, with `input` on standard input. */
export async function shoal(
  args: readonly string[],
  input: string | Uint8Array = '',
  cwd: string = process.cwd(),
): Promise<Ended> {
  const child = spawnShoal(args, { cwd });
  child.stdin!.on('error', () => undefined); // a command that does not read has ended before
  child.stdin!.end(input);
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    text(child.stdout!),
    text(child.stderr!),
  ]);
  return { code, stdout, stderr, events: eventsOf(stdout) };
}

/** A command that runs on. */
export interface Running extends AsyncDisposable {
  /** Waits for the next line of output that is this event, with `--json`. */
  next(event: string): Promise<Readonly<Record<string, unknown>>>;
  /** Waits until standard error has this. */
  noted(pattern: RegExp): Promise<void>;
  /** Ctrl-C; waits for the end. */
  interrupt(): Promise<Ended>;
  readonly process: ChildProcess;
}

/** Starts a command with `--json`. */
export function startShoal(...args: readonly string[]): Running {
  return runningShoal(spawnShoal([...args, '--json']));
}

/** The same for a process that was started with `--json`. */
export function runningShoal(child: ChildProcess): Running {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let stderr = '';
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = once(child, 'close') as Promise<[number | null]>;
  let stdout = '';
  const line = async (): Promise<string | undefined> => {
    const { value, done } = await lines.next();
    if (done === true) return undefined;
    stdout += `${value}\n`;
    return value;
  };
  const interrupt = async (): Promise<Ended> => {
    child.kill('SIGINT');
    while ((await line()) !== undefined);
    const [code] = await closed;
    return { code, stdout, stderr, events: eventsOf(stdout) };
  };
  return {
    process: child,
    next: async (event) => {
      for (let got = await line(); got !== undefined; got = await line()) {
        const [parsed] = eventsOf(got);
        if (parsed?.['event'] === event) return parsed;
      }
      return assert.fail(`the command ended without ${event}: ${stdout}${stderr}`);
    },
    noted: async (pattern) => {
      while (!pattern.test(stderr)) await once(child.stderr!, 'data');
    },
    interrupt,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await closed;
    },
  };
}

/** A LAN of this machine, on a port that no other test uses; `args` bring a command into it. */
export async function machineLan(): Promise<
  AsyncDisposable & { readonly args: readonly string[]; readonly port: number }
> {
  const broadcast = '127.255.255.255';
  const lan = await openLan({ privateKey: testKey(0), networkName: 'port', addrs: [], broadcast, port: 0 });
  const args = ['--bind', '127.0.0.1:0', '--broadcast', broadcast, '--lan-port', String(lan.port)];
  return { args, port: lan.port, [Symbol.asyncDispose]: async () => lan[Symbol.asyncDispose]() };
}

/** Starts `shoal listen` on loopback and says where it listens. */
export async function listening(...args: readonly string[]): Promise<Running & { readonly addr: string }> {
  const running = startShoal('listen', '--bind', '127.0.0.1:0', ...args);
  const { addr } = await running.next('listening');
  assert(typeof addr === 'string');
  return { ...running, addr };
}

/** Checks that a command ended with `code` and one line on stderr that matches, without a stack trace. */
export function assertFails(ended: Ended, code: 1 | 2, line: RegExp): void {
  assert.match(ended.stderr, line);
  assert.equal(ended.stderr.trimEnd().split('\n').length, 1, ended.stderr);
  assert.match(ended.stderr, /^shoal: /);
  assert.doesNotMatch(ended.stderr, /^\s+at /m);
  assert.equal(ended.code, code, ended.stderr);
}
