/** The onConnect hook: what is done when a connection is up. */

import { assertFunction } from '../base/checks.ts';
import { type TcpConnection } from './connection.ts';
import { type Hook } from './hook.ts';

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
