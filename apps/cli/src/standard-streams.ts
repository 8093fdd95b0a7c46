/**
 * Standard output and error. Whatever is written comes whole or ends the command with an error; a pipe whose reader has gone
 * (EPIPE) is the one exception, since `shoal listen | head -1` is no mistake.
 */

import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { explain } from './failure.ts';

/** After an interrupt, a reader that takes nothing for this long is not waited for. */
const STUCK_MS = 250;

/** One of the two. */
export class StandardStream {
  /** For pipelines. Not to be ended. */
  readonly writable: Writable;
  readonly #name: string;
  readonly #onBroken: (() => void)[] = []; // One for each command that runs: one.
  #broken = false;
  #hurry = false;
  #fault: Error | undefined;
  #waiting: PromiseWithResolvers<void> | undefined;

  constructor(name: string, fd: 1 | 2, stream: () => Writable) {
    this.#name = name;
    this.writable = isPlainFile(fd) ? fileWritable(fd) : stream();
    this.writable.on('error', (error) => this.#fail(error));
    this.writable.on('drain', () => this.#release());
  }

  /** Why output was lost, as one line; `undefined` when none was lost, or when the reader has gone. */
  get fault(): string | undefined {
    return this.#fault === undefined ? undefined : `Cannot write ${this.#name}: ${explain(this.#fault)}`;
  }

  /** Whether more can be written without keeping it in memory. */
  get ready(): boolean {
    return this.#broken || !this.writable.writableNeedDrain;
  }

  get waitingBytes(): number {
    return this.writable.writableLength;
  }

  /** Has `listener` called when nothing can be written any more. */
  onBroken(listener: () => void): void {
    this.#onBroken.push(listener);
    if (this.#broken) listener();
  }

  write(chunk: string | Uint8Array): void {
    if (!this.#broken) this.writable.write(chunk);
  }

  /** Resolves when the reader has caught up, when nothing can be written any more, and on {@link giveUp}. */
  whenReady(): Promise<void> {
    if (this.ready) return Promise.resolve();
    return (this.#waiting ??= Promise.withResolvers<void>()).promise;
  }

  /** The command ends: nobody waits for the reader any more, beyond a moment at {@link flush}. */
  giveUp(): void {
    this.#hurry = true;
    this.#release();
  }

  /** Waits until everything is written or cannot be. */
  async flush(): Promise<void> {
    let done = this.#broken;
    let before = this.waitingBytes;
    const { promise, resolve } = Promise.withResolvers<void>();
    const finish = (): void => {
      done = true;
      resolve();
    };
    this.onBroken(finish);
    if (!done) this.writable.write('', finish);
    const watch = setInterval(() => {
      if (this.#hurry && this.waitingBytes === before) finish();
      before = this.waitingBytes;
    }, STUCK_MS);
    await promise;
    clearInterval(watch);
  }

  #release(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  #fail(error: Error): void {
    this.#broken = true;
    this.#release();
    // Without a reader there is nothing that could be lost.
    if (!('code' in error && error.code === 'EPIPE')) this.#fault ??= error;
    for (const each of this.#onBroken.splice(0)) each();
  }
}

/** Whether `fd` is neither a terminal nor anything that waits for a reader. */
function isPlainFile(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() || (stat.isCharacterDevice() && !isatty(fd));
  } catch {
    return false;
  }
}

/** Writes to a file to the last byte: Node's own stream takes a write that a full disk cuts short for a whole one. */
function fileWritable(fd: number): Writable {
  return new Writable({
    decodeStrings: true,
    write: (chunk: Buffer, _encoding, done) => {
      try {
        for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}

export const standardOutput: StandardStream = new StandardStream('standard output', 1, () => process.stdout);
export const standardError: StandardStream = new StandardStream('standard error', 2, () => process.stderr);
