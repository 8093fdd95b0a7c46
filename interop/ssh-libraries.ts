/** ssh2 of npm and paramiko of Python, as processes of their own: installed on first use, they say what happens in lines of JSON. */

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

import { isInstalled } from '../tools/install.mjs';
import { missing } from './toolchains.ts';

const ssh2 = path.join(import.meta.dirname, 'js', 'ssh2');
const python = path.join(import.meta.dirname, 'python');
const packages = path.join(import.meta.dirname, '..', 'build', 'python');

/** A library, and how its program is started. */
export interface SshLibrary {
  readonly name: string;
  /** A reason to skip it, or false. Installs it where it can be had. */
  readonly missing: () => string | false;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

function paramikoMissing(): string | false {
  const env = { ...process.env, PYTHONPATH: packages };
  const has = spawnSync('python3', ['-c', 'import paramiko; assert paramiko.__version__ == "5.1.0"'], { env });
  if (has.error !== undefined) return 'python3 is not installed';
  if (has.status === 0) return false;
  if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0) return 'python3 has no pip';
  const args = ['-m', 'pip', 'install', '--quiet', '--target', packages, '-r', 'requirements.txt'];
  return missing('python3', args, python);
}

export const LIBRARIES: readonly SshLibrary[] = [
  {
    name: 'ssh2 1.17.0',
    missing: () =>
      isInstalled(ssh2) ? false : missing('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], ssh2),
    command: [process.execPath, path.join(ssh2, 'peer.mjs')],
  },
  {
    name: 'paramiko 5.1.0',
    missing: paramikoMissing,
    command: ['python3', path.join(python, 'peer.py')],
    env: { PYTHONPATH: packages },
  },
];

/** What a program says. */
export interface LibraryEvent {
  readonly event: string;
  readonly port?: number;
  readonly fingerprint?: string;
  readonly user?: string;
  readonly name?: string;
  readonly reason?: number;
  readonly message?: string;
}

/** A running program. */
export class LibraryPeer implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  constructor({ command, env }: SshLibrary, args: readonly string[]) {
    const [program, ...first] = command;
    this.#child = spawn(program!, [...first, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** The next event of a kind; rejects when the program ends first. */
  async next(kind: string): Promise<LibraryEvent> {
    const before: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`it has ended without "${kind}": ${before.join(' ')}`);
      const event = JSON.parse(value) as LibraryEvent;
      if (event.event === kind) return event;
      before.push(value);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}
