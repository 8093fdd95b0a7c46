/** Reduces the memory of the engines: smaller send windows first, then the connections that hold most are ended. */

import type { Millis } from '../../base/machine.ts';
import type { QuicConnection } from './connection.ts';
import type { Engines } from './engines.ts';
import type { WindowBudget } from './window-budget.ts';

/** The part of the budget in use from which the send windows of all connections together have no more than this part of it. */
const PRESSURE = 1 / 2;
/**
 * Connections are ended at this multiple of the budget: receive windows may use the whole of it, send windows half of it, and fragments
 * of received datagrams take up to a third more than their bytes.
 */
const HARD_TIMES = 2;
/** What a connection takes in the engine by itself, its first window and streams included. */
const CONNECTION_BYTES = 96 * 2 ** 10;
/** What an engine takes by itself: its code's data and stack, and the part of its buffers that is used. */
const ENGINE_BYTES = 0.9 * 2 ** 20;
/** What a stream can hold of datagrams beyond its bytes before quinn-proto copies them (`Assembler::insert`). */
const STREAM_BYTES = 32 * 2 ** 10;

/** Connections that end free their memory after their closing period, so that more end only after as long as this. */
const PAUSE_MS = 1000;

/**
 * From half of the budget in use on, connections have smaller send windows. Far over the budget, the connections end that can hold
 * most: a peer that sends small fragments makes us hold 32 KiB with a few bytes of each stream.
 */
export class Relief {
  readonly #engines: Engines;
  readonly #windows: WindowBudget;
  readonly #budgetBytes: number;
  #endedMs = -Infinity;

  constructor(engines: Engines, windows: WindowBudget, budgetBytes: number) {
    this.#engines = engines;
    this.#windows = windows;
    this.#budgetBytes = budgetBytes;
  }

  /** Looks at what is in use, and ends those that hold too much. */
  look(nowMs: Millis, end: (connection: QuicConnection) => void): void {
    const own = this.#engines.connections * CONNECTION_BYTES + this.#engines.all.length * ENGINE_BYTES;
    const limit = own + this.#budgetBytes * PRESSURE;
    if (this.#engines.memoryBytes <= limit && !this.#windows.pressed) return;
    const inUse = this.#engines.inUseBytes();
    const all = this.#engines.all.flatMap(({ connections }) => [...connections.values()]);
    this.#windows.limitSends(
      inUse > limit ? (this.#budgetBytes * PRESSURE) / all.length : Infinity,
      all.map((connection) => connection.windows),
    );
    let over = inUse - own - this.#budgetBytes * HARD_TIMES;
    if (over <= 0 || nowMs - this.#endedMs < PAUSE_MS) return;
    this.#endedMs = nowMs;
    const open = all.filter(({ state }) => state === 'open');
    for (const { connection, held } of open.map(heldBy).toSorted((a, b) => b.held - a.held)) {
      if (over <= 0) return;
      over -= held;
      end(connection);
    }
  }
}

/** What the streams of a peer can hold in the engine. */
function heldBy(connection: QuicConnection): { readonly connection: QuicConnection; readonly held: number } {
  let streams = 0;
  for (const { opened, receiveState } of connection.streams) {
    if (opened === 'there' && receiveState === 'open') streams++;
  }
  const { receive, owed } = connection.windows;
  return { connection, held: receive + owed + streams * STREAM_BYTES };
}
