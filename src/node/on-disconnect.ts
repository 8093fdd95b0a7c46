/** The onDisconnect hook: runs when a connection ends. */

import { assertFunction, quantity } from '../base/checks.ts';
import type { Disconnect, TcpConnection } from './connection.ts';
import type { Hook } from './hook.ts';

/** What {@link onDisconnect} gets in addition to the connection: how it ended. */
export interface OnDisconnectContext extends Disconnect {
  /** Aborted at the hook's deadline; the connection is then closed, whatever the hook does. */
  readonly signal: AbortSignal;
}

/** Options of {@link onDisconnect}. */
export interface OnDisconnectOptions {
  /**
   * How long the end of a connection waits for it. @default 3000, as in the reference node; `node.close` waits at most
   * one second
   */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 3000;

/**
 * Runs `run` once for each established connection, before it is closed: sending still works in it, unless writing has
 * failed. `disconnect` waits for it. A throw is counted.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function onDisconnect<Out = never>(
  run: (connection: TcpConnection<Out>, context: OnDisconnectContext) => unknown,
  options: OnDisconnectOptions = {},
): Hook<unknown, Out> {
  assertFunction(run, 'run');
  return new DisconnectHook(run, quantity(options.timeoutMs, 'timeoutMs', DEFAULT_TIMEOUT_MS, 1, Infinity));
}

/** The hook as the node uses it. @internal */
export class DisconnectHook<out Out = never> implements Hook<unknown, Out> {
  readonly kind = 'onDisconnect';
  readonly timeoutMs: number;
  readonly #run: (connection: TcpConnection<Out>, context: OnDisconnectContext) => unknown;

  constructor(run: (connection: TcpConnection<Out>, context: OnDisconnectContext) => unknown, timeoutMs: number) {
    this.#run = run;
    this.timeoutMs = timeoutMs;
  }

  async run(connection: TcpConnection<Out>, how: Disconnect, signal: AbortSignal): Promise<unknown> {
    return this.#run(connection, { ...how, signal });
  }
}
