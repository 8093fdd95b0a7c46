/** From a link to a connection: the handshake, in its time. */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { assertBytes } from '../base/checks.ts';
import { type Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { ByteStream } from './handshake.ts';
import { type HandshakeHook } from './hook.ts';
import { StreamPipe } from '../net/stream-pipe.ts';
import { type NodeConnection } from './node-connection.ts';
import { isBan } from './refusals.ts';
import { type RefusalReason } from './stats.ts';
import { type HandshakeResult } from './transport.ts';

/** What a handshake leaves to the connection. */
export interface Shaken {
  /** Read past the handshake. */
  readonly rest: Bytes;
  /** Whether the peer has closed its half already. */
  readonly hasEnded: boolean;
}

/**
 * Runs the handshake, and puts its results into the connection.
 *
 * @param abort - aborted when it takes too long.
 * @throws (by rejection) {P2PError} `timeout`, `refused` with what the hook threw as its cause, or what it threw; the reason
 *   of the signal.
 */
export async function shake(
  connection: NodeConnection,
  hook: HandshakeHook,
  abort: AbortController,
  realm: Realm,
): Promise<Shaken> {
  const { addr, localRole } = connection;
  const { signal } = abort;
  const stream = new ByteStream(connection.pipe, signal);
  const timer =
    hook.timeoutMs === Infinity
      ? undefined
      : clockOf(realm).setTimer(realm.nowMs() + hook.timeoutMs, () => {
          const message = `Cannot finish handshake with ${addr}: not done within ${hook.timeoutMs} ms`;
          abort.abort(new P2PError('timeout', 'remote', message));
        });
  try {
    const result = await untilAborted(hook.perform({ connection, stream, localRole, signal }), signal);
    const { transport, publicKey, rest: before = EMPTY_BYTES } = checked(result);
    if (stream.isTaken && (transport === undefined || 'seal' in transport)) {
      throw new TypeError('Cannot finish handshake: it has taken the socket and returned no stream in its place');
    }
    const behind = stream.isTaken ? EMPTY_BYTES : stream.rest();
    const rest = before.length === 0 ? behind : concatBytes(before, behind);
    if (transport !== undefined) {
      if ('seal' in transport) connection.transform = transport;
      else connection.pipe = new StreamPipe(transport, connection.pipe.stream);
    }
    connection.publicKey = publicKey;
    return { rest, hasEnded: stream.hasEnded };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (P2PError.is(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new P2PError('refused', 'local', `Cannot finish handshake with ${addr}: ${why}`, { cause: error });
  } finally {
    timer?.cancel();
    stream.close();
  }
}

function checked(result: HandshakeResult | void): HandshakeResult {
  if (result === undefined) return {};
  if (typeof result !== 'object' || result === null) {
    throw new TypeError('Cannot finish handshake: expected nothing or { transport, publicKey, rest }');
  }
  if (result.rest !== undefined) assertBytes(result.rest, 'rest');
  return result;
}

/** The hook cannot be stopped, but nobody waits for it. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    const stop = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(
      (value) => {
        stop();
        resolve(value);
      },
      (error: unknown) => {
        stop();
        reject(error);
      },
    );
    if (signal.aborted) onAbort();
  });
}

/** Why a connection was not set up, for the counts. */
export function refusalOf(error: unknown): RefusalReason {
  if (P2PError.is(error, 'timeout')) return 'handshake_timeout';
  if (P2PError.is(error, 'limit_exceeded')) return 'max_connecting';
  if (isBan(error)) return 'banned';
  return P2PError.is(error, 'identity_mismatch') ? 'identity' : 'handshake_failed';
}
