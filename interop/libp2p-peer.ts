/** A js-libp2p node as a process of its own: installed on first use, told what to do in lines of JSON. */

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

import { isInstalled } from '../tools/install.mjs';
import { missing } from './toolchains.ts';

const folder = path.join(import.meta.dirname, 'js', 'libp2p');

/** What runs it. */
export const LIBP2P_PROGRAM: string = path.join(folder, 'peer.mjs');

/** A reason to skip what needs js-libp2p, or false. Installs it where it can be had. */
export function libp2pMissing(): string | false {
  if (isInstalled(folder)) return false;
  return missing('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder);
}

/** A running node; `peer.mjs` has the orders. */
export class Libp2pProcess implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  constructor() {
    this.#child = spawn(process.execPath, [LIBP2P_PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Gives an order, and answers what it says. @throws {Error} with its words when it failed */
  async order(order: object): Promise<Readonly<Record<string, unknown>>> {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('js-libp2p has ended');
    const answer = JSON.parse(value) as Readonly<Record<string, unknown>>;
    if (typeof answer['error'] === 'string') throw new Error(answer['error']);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill();
    await this.#ended;
  }
}
