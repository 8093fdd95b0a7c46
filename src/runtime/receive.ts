/** Receives one message, or discards messages. */

import type { Addr } from '../core/addr.ts';
import type { Asks } from '../core/ask.ts';
import { EMPTY_BYTES } from '../base/bytes.ts';
import { P2PError, closedError } from '../core/errors.ts';
import { assertSignal, quantity } from '../base/checks.ts';
import type { Message } from '../core/message.ts';
import type { CallOptions, Swarm } from '../core/swarm.ts';
import { clockOf } from './system-realm.ts';

/**
 * The next message. Takes the handler slot while it waits.
 *
 * @throws {TypeError | RangeError} (at once) when the swarm has a handler, or for invalid options.
 * @throws (by rejection) {P2PError} `closed`, `timeout` (no deadline by default); `signal.reason`.
 */
export function receiveOne<A extends Addr>(swarm: Swarm<A>, options: CallOptions = {}): Promise<Message<A>> {
  const { signal } = options;
  const timeoutMs = quantity(options.timeoutMs, 'timeoutMs', Infinity, 0, Infinity);
  assertSignal(signal);
  const { promise, resolve, reject } = Promise.withResolvers<Message<A>>();
  if (signal?.aborted === true) {
    reject(signal.reason);
    return promise;
  }
  const { realm } = swarm;
  let listening: Disposable;
  try {
    listening = swarm.listen((message) => {
      end();
      resolve(message);
    });
  } catch (error) {
    if (!P2PError.is(error, 'closed')) throw error;
    reject(error);
    return promise;
  }
  const onAbort = (): void => {
    end();
    reject(signal?.reason);
  };
  const timer =
    timeoutMs === Infinity
      ? undefined
      : clockOf(realm).setTimer(realm.nowMs() + timeoutMs, () => {
          end();
          reject(new P2PError('timeout', 'path', `Cannot receive: no message within ${timeoutMs} ms`, { sent: 'no' }));
        });
  const end = (): void => {
    listening[Symbol.dispose]();
    timer?.cancel();
    signal?.removeEventListener('abort', onAbort);
  };
  signal?.addEventListener('abort', onAbort);
  void swarm.closed.then(({ cause }) => {
    end();
    reject(closedError('receive', cause));
  });
  return promise;
}

/** Receives and drops all tells, until disposed. */
export function discardTells<A extends Addr>(swarm: Swarm<A>): Disposable {
  return swarm.listen(() => {});
}

/** Answers all asks with empty bytes, until disposed. */
export function discardAsks<A extends Addr>(swarm: Asks<A>): Disposable {
  return swarm.serve(() => EMPTY_BYTES);
}
