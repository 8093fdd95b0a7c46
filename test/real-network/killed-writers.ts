/** Processes that write one cell while they, or the server of the cell, are killed; and the judgement of what they have seen. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { decodeText } from '../../src/base/bytes.ts';
import type { CellStore } from '../../src/cells/cell.ts';
import { type CellCall, checkLinearizable } from '../../src/testing/linearizable.ts';

const WRITER = path.join(import.meta.dirname, 'cell-writer.ts');

/** Several writers of one cell. */
export class KilledWriters implements AsyncDisposable {
  readonly #place: string;
  readonly #key: string;
  /** Bounded by the test. */
  readonly history: CellCall[] = [];
  readonly #writers = new Map<string, ChildProcess>();
  readonly #stderr: string[] = [];
  /** Swaps that were acknowledged. */
  acknowledged = 0;
  /** Calls of which nobody knows whether they had an effect. */
  unknown = 0;
  #onProgress: (() => void) | undefined;

  constructor(place: string, key: string) {
    this.#place = place;
    this.#key = key;
  }

  /** Starts a writer, and waits until it has opened the store. */
  async start(name: string): Promise<void> {
    const args = ['--conditions=shoal-source', '--no-warnings', WRITER, this.#place, this.#key, name];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#writers.set(name, child);
    child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk.toString()));
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    let pending: CellCall | undefined;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const event = JSON.parse(line) as Partial<CellCall> & { readonly ready?: boolean; readonly failed?: string };
      if (event.ready === true) resolve();
      else if (event.startMs !== undefined) pending = { ...event, process: name } as CellCall;
      else if (pending !== undefined) {
        // Certain that it had no effect: then it does not count, and the checker finds out when that is not true.
        if (event.failed !== 'no') this.#push({ ...pending, ...event });
        pending = undefined;
      }
    });
    lines.on('close', () => {
      if (pending !== undefined) this.#push(pending);
      reject(new Error(`${name} ended: ${this.#stderr.join('')}`));
    });
    await ready;
  }

  /** Kills a writer at once, and waits for its end. */
  async kill(name: string): Promise<void> {
    const child = this.#writers.get(name)!;
    child.kill('SIGKILL');
    await once(child, 'close');
  }

  /** Waits for so many further acknowledged swaps. */
  async progress(count: number): Promise<void> {
    const goal = this.acknowledged + count;
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`no progress: ${this.#stderr.join('')}`)), 60_000);
      const look = (): void => {
        if (this.acknowledged < goal) return;
        clearTimeout(limit);
        resolve();
      };
      this.#onProgress = look;
      look();
    });
    this.#onProgress = undefined;
  }

  /** Ends all writers in order, reads the cell once more, and judges the history. */
  async judge(store: CellStore): Promise<void> {
    await this[Symbol.asyncDispose]();
    const startMs = Number(process.hrtime.bigint()) / 1e6;
    const last = decodeText(await store.get(this.#key))!;
    this.#push({ process: 'judge', type: 'get', startMs, endMs: Number(process.hrtime.bigint()) / 1e6, seen: last });
    const result = checkLinearizable(this.history);
    assert.ok(result.ok, result.ok ? '' : result.reason);
    // Each swap counts one further: as many as were acknowledged, and at most as many more as nobody knows of.
    const count = Number(last.split(' ')[0]);
    assert.ok(
      count >= this.acknowledged && count <= this.acknowledged + this.unknown,
      `${count} swaps, ${this.acknowledged} acknowledged, ${this.unknown} unknown`,
    );
    // The judge itself is judged: an acknowledged swap that is taken away is found out.
    const taken = this.history.findLastIndex(({ type, swapped }) => type === 'cas' && swapped === true);
    assert.equal(checkLinearizable(this.history.toSpliced(taken, 1)).ok, false, 'a planted fault is found');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#writers.values()].map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.stdin?.end();
        await once(child, 'close');
      }),
    );
  }

  #push(call: CellCall): void {
    this.history.push(call);
    if (call.type === 'cas' && call.swapped === true) this.acknowledged++;
    if (call.type === 'cas' && call.endMs === undefined) this.unknown++;
    this.#onProgress?.();
  }
}
