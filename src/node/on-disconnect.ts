/** The onDisconnect hook: what is done when a connection ends. */

import { assertFunction, quantity } from '../base/checks.ts';
import { type Disconnect, type TcpConnection } from './connection.ts';
import { type Hook } from './hook.ts';

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
