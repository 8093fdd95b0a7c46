/**
 * A peer on the real qp2p (the crate in interop/rust/qp2p), as a process of its own: built on first use, told what to do in
 * lines of words, heard in JSON lines.
 */

import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { missing } from './toolchains.ts';

/** What the peer prints. */
export interface Qp2pEvent {
  readonly event:
    | 'listening'
    | 'connected'
    | 'message'
    | 'bad'
    | 'closed'
    | 'sent'
    | 'asked'
    | 'done'
    | 'reason'
    | 'count'
    | 'error';
  readonly addr?: string;
  /** The peer's number of the connection. */
  readonly conn?: number;
  readonly role?: 'client' | 'server';
  readonly bidi?: boolean;
  /** Hexadecimal; of the payload the first 64 bytes. */
  readonly header?: string;
  readonly dst?: string;
  readonly payload?: string;
  readonly bytes?: number;
  readonly count?: number;
  readonly ms?: number;
  readonly error?: string;
}

const crate = path.join(import.meta.dirname, 'rust', 'qp2p');
const binary = path.join(crate, 'target', 'release', process.platform === 'win32' ? 'qp2p-peer.exe' : 'qp2p-peer');

/** A reason to skip what needs qp2p, or false. */
export const qp2pMissing = (): string | false => missing('cargo', ['fetch', '--locked'], crate);

let built = false;

/** Builds the peer, once a process; cargo's own cache makes it fast after the first minute. @returns its path. */
export function buildQp2pPeer(): string {
  if (built) return binary;
  execFileSync('cargo', ['build', '--release', '--locked', '--quiet'], {
    cwd: crate,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  built = true;
  return binary;
}

/** How long to wait for an event before the test fails; everything is on loopback. */
const PATIENCE_MS = 120_000;

/** A running qp2p peer. */
export class Qp2pPeer implements AsyncDisposable {
  readonly events: Qp2pEvent[] = [];
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<void>;
  #waiters: (() => void)[] = [];

  /** @param options - the peer's own options, `--echo` say. */
  constructor(...options: readonly string[]) {
    this.#child = spawn(buildQp2pPeer(), options, { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(this.#child.stdout).on('line', (line) => {
      this.events.push(JSON.parse(line) as Qp2pEvent);
      for (const wake of this.#waiters.splice(0)) wake();
    });
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Tells the peer to do something; `interop/rust/qp2p/src/main.rs` has the commands. */
  command(...words: readonly (string | number)[]): void {
    this.#child.stdin.write(`${words.join(' ')}\n`);
  }

  /** The next event of a kind, taken out; rejects when none comes. */
  async next(kind: Qp2pEvent['event']): Promise<Qp2pEvent> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const at = this.events.findIndex(({ event }) => event === kind);
      if (at >= 0) return this.events.splice(at, 1)[0]!;
      await new Promise<void>((resolve, reject) => {
        this.#waiters.push(resolve);
        deadline.addEventListener('abort', () =>
          reject(new Error(`the qp2p peer did not say "${kind}"; it said ${JSON.stringify(this.events.slice(-10))}`)),
        );
      });
    }
  }

  async address(): Promise<string> {
    return (await this.next('listening')).addr!;
  }

  /** A command and the event that answers it. */
  async ask(answer: Qp2pEvent['event'], ...words: readonly (string | number)[]): Promise<Qp2pEvent> {
    this.command(...words);
    return this.next(answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}
