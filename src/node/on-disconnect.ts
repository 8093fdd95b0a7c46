/** The onDisconnect hook: what is done when a connection ends. */

import { assertFunction, quantity } from '../base/checks.ts';
import { type Connection, type Disconnect } from './connection.ts';
import { type DisconnectHook, type Hook, type HookHandle, runningOf } from './hook.ts';

/** What {@link onDisconnect} gets beside the connection: how it ended. */
export interface OnDisconnectContext extends Disconnect {
  /** Aborted when the hook's time is up; the connection goes then, whatever the hook does. */
  readonly signal: AbortSignal;
}

/** How {@link onDisconnect} is run. */
export interface OnDisconnectOptions {
  /** How long the end of a connection waits for it. @default 3000, as the original; `node.close` waits one second at most */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 3000;

/**
 * Runs `run` once for each connection that was up, before it is gone: sending still works in it, unless it is writing that
 * failed. `disconnect` waits for it. Throwing is counted.
 *
 * @throws {TypeError | RangeError} for wrong options.
 */
export function onDisconnect(
  run: (connection: Connection, context: OnDisconnectContext) => unknown,
  options: OnDisconnectOptions = {},
): Hook<HookHandle> {
  assertFunction(run, 'run');
  const hook: DisconnectHook & Hook<HookHandle> = {
    kind: 'onDisconnect',
    timeoutMs: quantity(options.timeoutMs, 'timeoutMs', DEFAULT_TIMEOUT_MS, 1, Infinity),
    handle: (node) => runningOf(node, 'onDisconnect'),
    run: async (connection, how, signal) => run(connection, { ...how, signal }),
  };
  return hook;
}
