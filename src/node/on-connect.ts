/** The onConnect hook: what is done when a connection is up. */

import { assertFunction } from '../base/checks.ts';
import { type Connection } from './connection.ts';
import { type ConnectHook, type Hook, type HookHandle, runningOf } from './hook.ts';

/** What {@link onConnect} gets beside the connection. */
export interface OnConnectContext {
  /** Aborted when the connection ends; never, when the hook is not abortable. */
  readonly signal: AbortSignal;
}

/** How {@link onConnect} is run. */
export interface OnConnectOptions {
  /**
   * Whether a connection that ends takes the hook with it: then its signal is aborted, its result is ignored, and it may
   * never start. When not, the hook runs to its end once for each connection, also while the node closes, so it pairs with
   * `onDisconnect`.
   * @default true
   */
  readonly abortable?: boolean | undefined;
}

const NEVER: AbortSignal = new AbortController().signal;

/**
 * Runs `run` for each connection that is up, once. It runs beside everything else: `connect` does not wait for it, messages
 * may come before it ends. Throwing ends the connection (`on_connect_error`).
 *
 * @throws {TypeError} when `run` is not a function.
 */
export function onConnect(
  run: (connection: Connection, context: OnConnectContext) => unknown,
  options: OnConnectOptions = {},
): Hook<HookHandle> {
  assertFunction(run, 'run');
  const abortable = options.abortable ?? true;
  const hook: ConnectHook & Hook<HookHandle> = {
    kind: 'onConnect',
    abortable,
    handle: (node) => runningOf(node, 'onConnect'),
    run: async (connection) => run(connection, { signal: abortable ? connection.signal : NEVER }),
  };
  return hook;
}
