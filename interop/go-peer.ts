/**
 * The independent Go peer of interop/go, as a process of its own: built on first use, spoken to in JSON lines.
 */

import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { missing } from './toolchains.ts';

/** What the peer prints. */
export interface GoEvent {
  readonly event:
    | 'listening'
    | 'tell'
    | 'ask'
    | 'answer'
    | 'session'
    | 'error'
    | 'closed'
    | 'flooded'
    | 'forgotten'
    | 'count';
  readonly addr?: string;
  readonly src?: string;
  readonly dst?: string;
  /** Base64; absent when empty. */
  readonly payload?: string;
  readonly peer?: string;
  readonly initiator?: boolean;
  readonly message?: string;
  /** Of `flooded`: messages; of `count`: messages after warming up and in all, and in how many milliseconds. */
  readonly sent?: number;
  readonly received?: number;
  readonly total?: number;
  readonly ms?: number;
}

/** What the peer can be told. */
export type GoCommand =
  | { readonly cmd: 'tell'; readonly dst: string; readonly payload: string; readonly times?: number }
  | { readonly cmd: 'ask'; readonly dst: string; readonly payload: string; readonly times?: number }
  | { readonly cmd: 'close'; readonly dst: string; readonly counter?: number }
  | {
      readonly cmd: 'kad-ping' | 'kad-find' | 'kad-get' | 'kad-put';
      readonly dst: string;
      readonly payload?: string;
    }
  | { readonly cmd: 'open' | 'keepalive'; readonly dst: string }
  | {
      readonly cmd: 'flood';
      readonly dst: string;
      readonly bytes: number;
      readonly ms: number;
      readonly times?: number;
    }
  | { readonly cmd: 'announce' | 'lookup'; readonly dst: string; readonly payload?: string }
  | { readonly cmd: 'count' }
  | { readonly cmd: 'lose'; readonly counter: number; readonly times: number };

const source = path.join(import.meta.dirname, 'go');
const binary = path.join(import.meta.dirname, '..', 'build', process.platform === 'win32' ? 'go-peer.exe' : 'go-peer');

/** A reason to skip tests that need Go, or false. */
export const goMissing = (): string | false => missing('go', ['mod', 'download'], source);

let built = false;

/** Builds the peer, once a process; Go's own cache makes it fast after the first time. @returns its path. */
export function buildGoPeer(): string {
  if (built) return binary;
  mkdirSync(path.dirname(binary), { recursive: true });
  execFileSync('go', ['build', '-o', binary, '.'], { cwd: source, stdio: ['ignore', 'ignore', 'inherit'] });
  built = true;
  return binary;
}

/** How long to wait for an event before the test fails; everything is on loopback. */
const PATIENCE_MS = 15_000;

/** A running Go peer. */
export class GoPeer implements AsyncDisposable {
  readonly events: GoEvent[] = [];
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<void>;
  #waiters: (() => void)[] = [];
  #taken = 0;

  /** @param options - more of the peer's own options, `--echo` say. */
  constructor(stack: string, seedByte: number, options: readonly string[] = []) {
    const program = buildGoPeer();
    const seed = seedByte.toString(16).padStart(2, '0').repeat(32);
    this.#child = spawn(program, ['--stack', stack, '--seed', seed, ...options], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface(this.#child.stdout).on('line', (line) => {
      this.events.push(JSON.parse(line) as GoEvent);
      for (const wake of this.#waiters.splice(0)) wake();
    });
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  tell(dst: string, text: string): void {
    this.command({ cmd: 'tell', dst, payload: Buffer.from(text).toString('base64') });
  }

  /** Tells or asks with bytes. */
  send(cmd: 'tell' | 'ask', dst: string, payload: Uint8Array): void {
    this.command({ cmd, dst, payload: Buffer.from(payload).toString('base64') });
  }

  command(command: GoCommand): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** The next event of a kind, in order; rejects when none comes. */
  async next(kind: GoEvent['event']): Promise<GoEvent> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      while (this.#taken < this.events.length) {
        const event = this.events[this.#taken++]!;
        if (event.event === kind) return event;
      }
      await new Promise<void>((resolve, reject) => {
        this.#waiters.push(resolve);
        deadline.addEventListener('abort', () =>
          reject(new Error(`the Go peer did not say "${kind}"; it said ${JSON.stringify(this.events)}`)),
        );
      });
    }
  }

  async address(): Promise<string> {
    return (await this.next('listening')).addr!;
  }

  /** The text of the next tell. */
  async text(): Promise<string> {
    return Buffer.from((await this.next('tell')).payload ?? '', 'base64').toString();
  }

  /** The bytes of the next event of a kind. */
  async bytes(kind: 'tell' | 'ask' | 'answer'): Promise<Uint8Array> {
    return new Uint8Array(Buffer.from((await this.next(kind)).payload ?? '', 'base64'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}
