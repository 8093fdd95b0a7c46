/**
 * The peer of interop/rust/pea2pea, on the real pea2pea of both eras, as a process of its own: built on first use, told
 * what to do in lines, answering in JSON lines. `src/commands.rs` has the commands.
 */

import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { missing } from './toolchains.ts';

/** What the peer prints. */
export interface Pea2PeaEvent {
  readonly event:
    | 'listening'
    | 'connected'
    | 'disconnected'
    | 'message'
    | 'expecting'
    | 'received'
    | 'flooded'
    | 'pinged'
    | 'cycled'
    | 'memory'
    | 'error';
  readonly addr?: string;
  /** Hexadecimal. */
  readonly payload?: string;
  readonly message?: string;
  readonly count?: number;
  readonly ns?: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly bytes?: number;
  readonly connections?: number;
}

/** Which pea2pea: 0.57, or 0.50, which drops what it cannot queue. */
export type Era = '57' | '50';

/** What is done with messages. */
export type Pea2PeaRole = 'echo' | 'sink' | 'show' | 'rpc' | 'relay';

const source = path.join(import.meta.dirname, 'rust', 'pea2pea');
const target = path.join(import.meta.dirname, '..', 'build', 'rust');
const binary = path.join(target, 'release', process.platform === 'win32' ? 'pea2pea-peer.exe' : 'pea2pea-peer');

/** A reason to skip what needs pea2pea, or false. */
export const pea2peaMissing = (): string | false => missing('cargo', ['fetch', '--locked'], source);

let built = false;

/** Builds the peer, once a process; cargo's own cache makes it fast after the first time. @returns its path. */
export function buildPea2PeaPeer(): string {
  if (built) return binary;
  execFileSync('cargo', ['build', '--release', '--locked', '--quiet', '--target-dir', target], {
    cwd: source,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  built = true;
  return binary;
}

/** How long to wait for an event before the test fails; everything is on loopback. */
const PATIENCE_MS = 60_000;

/** A running peer. */
export class Pea2PeaPeer implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<void>;
  readonly #events: Pea2PeaEvent[] = [];
  #waiters: (() => void)[] = [];

  /** @param era - `sockets` for threads on bare sockets, without pea2pea. */
  constructor(era: Era | 'sockets', role: Pea2PeaRole, prefixBytes: 1 | 2 | 4 = 4) {
    this.#child = spawn(buildPea2PeaPeer(), [era, role, String(prefixBytes)], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(this.#child.stdout).on('line', (line) => {
      this.#events.push(JSON.parse(line) as Pea2PeaEvent);
      for (const wake of this.#waiters.splice(0)) wake();
    });
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Gives a command. */
  tell(...words: readonly (string | number)[]): void {
    this.#child.stdin.write(`${words.join(' ')}\n`);
  }

  /** The next event of a kind; those before it are gone. Rejects when none comes, or the peer complains. */
  async next(kind: Pea2PeaEvent['event']): Promise<Pea2PeaEvent> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        if (event.event === kind) return event;
        if (event.event === 'error') throw new Error(`the peer says: ${event.message}`);
      }
      await new Promise<void>((resolve, reject) => {
        const late = (): void => reject(new Error(`the peer did not say "${kind}"`));
        deadline.addEventListener('abort', late);
        this.#waiters.push(() => {
          deadline.removeEventListener('abort', late);
          resolve();
        });
      });
    }
  }

  /** Gives a command, and waits for what it answers. */
  ask(answer: Pea2PeaEvent['event'], ...words: readonly (string | number)[]): Promise<Pea2PeaEvent> {
    this.tell(...words);
    return this.next(answer);
  }

  /** Where it listens. To be called first, once. */
  async address(): Promise<string> {
    return (await this.next('listening')).addr!;
  }

  /** The bytes of the next message that `show` or `call` prints. */
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(Buffer.from((await this.next('message')).payload ?? '', 'hex'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}
