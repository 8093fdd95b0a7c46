/** The onConnect hook: runs when a connection is established. */

import { assertFunction } from '../base/checks.ts';
import type { TcpConnection } from './connection.ts';
import type { Hook } from './hook.ts';

/** What {@link onConnect} gets in addition to the connection. */
export interface OnConnectContext {
  /** Aborted when the connection ends; never aborted when the hook is not abortable. */
  readonly signal: AbortSignal;
}

/** Options of {@link onConnect}. */
export interface OnConnectOptions {
  /**
   * Whether the end of the connection aborts the hook: its signal is then aborted, its result is ignored, and it may
   * never start. If false, the hook runs to its end once for each connection, also while the node closes, so it pairs
   * with `onDisconnect`.
   * @default true
   */
  readonly abortable?: boolean | undefined;
}

const NEVER: AbortSignal = new AbortController().signal;

/**
 * Runs `run` once for each established connection. It runs concurrently: `connect` does not wait for it, and messages
 * may arrive before it ends. A throw ends the connection (`on_connect_error`).
 *
 * @throws {TypeError} when `run` is not a function.
 */
export function onConnect<Out = never>(
  run: (connection: TcpConnection<Out>, context: OnConnectContext) => unknown,
  options: OnConnectOptions = {},
): Hook<unknown, Out> {
  assertFunction(run, 'run');
  return new ConnectHook(run, options.abortable ?? true);
}

/** The hook as the node uses it. @internal */
export class ConnectHook<out Out = never> implements Hook<unknown, Out> {
  readonly kind = 'onConnect';
  readonly abortable: boolean;
  readonly #run: (connection: TcpConnection<Out>, context: OnConnectContext) => unknown;

  constructor(run: (connection: TcpConnection<Out>, context: OnConnectContext) => unknown, abortable: boolean) {
    this.#run = run;
    this.abortable = abortable;
  }

  async run(connection: TcpConnection<Out>): Promise<unknown> {
    return this.#run(connection, { signal: this.abortable ? connection.signal : NEVER });
  }
}
