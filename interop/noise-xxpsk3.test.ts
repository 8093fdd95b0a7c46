/** The Noise example, live with snow, the library that pea2pea's own uses: the same bytes in both directions. */

import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { before, describe, it } from 'node:test';

import { buildSnowPeer, snowMissing } from './snow-peer.ts';

let binary = '';
const example = [
  process.execPath,
  '--conditions=shoal-source',
  path.join(import.meta.dirname, '..', 'examples', 'noise-xxpsk3.ts'),
];

/** A program that says things. */
class Program implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly ended: Promise<number | null>;

  constructor(command: readonly string[], ...args: readonly string[]) {
    const [file, ...rest] = [...command, ...args];
    this.#child = spawn(file!, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** The next line, without `prefix`. */
  async says(prefix = ''): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      assert.ok(done !== true, `it ended before it said ${prefix}`);
      if (value.startsWith(prefix)) return value.slice(prefix.length);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill();
    await this.ended;
  }
}

describe('Noise XXpsk3, live with snow', { skip: snowMissing() }, () => {
  before(() => {
    binary = buildSnowPeer();
  });

  it('we dial', async () => {
    await using snow = new Program([binary], 'listen');
    const addr = await snow.says('listening on ');
    await using ours = new Program(example, addr);
    assert.equal(await ours.says('alice hears: '), 'you said first');
    assert.equal(await ours.says('alice hears: '), 'you said second');
    assert.equal(await ours.ended, 0);
  });

  it('we are dialled', async () => {
    await using ours = new Program(example, 'listen');
    const addr = await ours.says('listening on ');
    await using snow = new Program([binary], 'dial', addr);
    assert.equal(await snow.says(), 'you said first');
    assert.equal(await snow.says(), 'you said second');
    assert.equal(await snow.ended, 0);
  });
});
