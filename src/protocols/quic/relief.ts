/** What is done when the engines have too much in use: less is sent at a time, and then those end that hold most. */

import { type QuicConnection } from './connection.ts';
import { type Engines } from './engines.ts';
import { type WindowBudget } from './window-budget.ts';

/** The part of the budget in use from which connections may have less of ours on its way. */
const PRESSURE = 1 / 2;
/** What a connection takes in the engine by itself, its first window and streams included. */
const CONNECTION_BYTES = 96 * 2 ** 10;
/** What a stream can hold of datagrams beyond its bytes before quinn-proto copies them (`Assembler::insert`). */
const STREAM_BYTES = 32 * 2 ** 10;

/**
 * From half of the budget in use on, connections may have less of ours on its way; over the budget, those end that can hold
 * most: a peer that cuts its data small holds 32 KiB with a few bytes of each stream.
 */
export function relieve(
  engines: Engines,
  windows: WindowBudget,
  budgetBytes: number,
  end: (connection: QuicConnection) => void,
): void {
  const own = engines.connections * CONNECTION_BYTES;
  const limit = own + budgetBytes * PRESSURE;
  if (engines.memoryBytes <= limit && !windows.pressed) return;
  const inUse = engines.inUseBytes();
  const all = engines.all.flatMap(({ connections }) => [...connections.values()]);
  windows.setPressure(
    inUse > limit,
    all.map((connection) => connection.windows),
  );
  let over = inUse - own - budgetBytes;
  if (over <= 0) return;
  const open = all.filter(({ state }) => state === 'open');
  for (const { connection, held } of open.map(heldBy).toSorted((a, b) => b.held - a.held)) {
    if (over <= 0) return;
    over -= held;
    end(connection);
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
