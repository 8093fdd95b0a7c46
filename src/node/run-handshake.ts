/** Runs the handshake of a new connection within its time limit, and asks whether the peer is admitted. */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm, Timer } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import type { Pipe } from '../net/pipe.ts';
import { StreamPipe } from '../net/stream-pipe.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { ACCEPT_TIMEOUT_MS } from '../sessions/accept-gate.ts';
import type { Attempt } from './attempt.ts';
import type { TcpConnection } from './connection.ts';
import { notAcceptedError } from './errors.ts';
import type { HandshakeHook } from './handshake.ts';
import { ByteStream } from './handshake-stream.ts';
import type { HandshakeResult, Transform } from './transform.ts';

/** The result of a handshake for the connection. */
export interface Secured {
  readonly publicKey: PublicKey | undefined;
  readonly transform: Transform | undefined;
  /** The pipe to use after the handshake. */
  readonly pipe: Pipe;
  /** Bytes read beyond the handshake. */
  readonly rest: Bytes;
  /** Whether the peer has closed its half already. */
  readonly hasEnded: boolean;
}

/** The arguments for running a handshake. */
export interface HandshakeParts {
  readonly connection: TcpConnection;
  readonly pipe: Pipe;
  readonly hook: HandshakeHook;
  /** Aborted when it takes too long, or the peer is refused. */
  readonly attempt: Attempt;
  readonly realm: Realm;
  /** Whether the peer with this key is admitted; `undefined`: a peer does not need a key. */
  readonly ask: ((publicKey: PublicKey) => Promise<boolean>) | undefined;
}

/**
 * Runs the handshake.
 *
 * @throws (by rejection) {P2PError} `timeout`; `refused`, with the error of the hook as its cause; the error of the
 * hook, if it is a `P2PError`; the reason for which the attempt was aborted.
 */
export async function runHandshake(parts: HandshakeParts): Promise<Secured> {
  const { connection, pipe, hook, attempt, realm, ask } = parts;
  const { addr } = connection;
  const { signal } = attempt;
  const stream = new ByteStream(pipe, signal, realm);
  const deadline = new Deadline(realm, hook.timeoutMs, () => {
    const message = `Cannot finish handshake with ${addr}: not done within ${hook.timeoutMs} ms`;
    attempt.giveUp('handshake_timeout', new P2PError('timeout', 'remote', message));
  });
  let accepted: PublicKey | undefined;
  const accept = async (publicKey: PublicKey): Promise<void> => {
    if (ask !== undefined && !(await deadline.untimed(ask(publicKey)))) throw notAcceptedError(addr);
    accepted = publicKey;
  };
  try {
    const untimed = <T>(wait: Promise<T>): Promise<T> => deadline.untimed(wait);
    const result = await untilAborted(hook.perform({ connection, stream, signal, accept, untimed }), signal);
    const { transport, publicKey, rest: before = EMPTY_BYTES } = checked(result);
    if (stream.isTaken && (transport === undefined || 'seal' in transport)) {
      throw new TypeError('Cannot finish handshake: it has taken the socket and returned no stream in its place');
    }
    if (ask !== undefined && publicKey === undefined) {
      throw new P2PError('identity_mismatch', 'remote', `Cannot accept ${addr}: its handshake has proven no key`);
    }
    if (publicKey !== undefined && publicKey !== accepted) await untilAborted(accept(publicKey), signal);
    const behind = stream.isTaken ? EMPTY_BYTES : stream.rest();
    const transform = transport !== undefined && 'seal' in transport ? transport : undefined;
    return {
      publicKey,
      transform,
      pipe:
        transport === undefined || 'seal' in transport
          ? pipe
          : new StreamPipe(transport, pipe instanceof StreamPipe ? pipe.stream : undefined),
      rest: before.length === 0 ? behind : concatBytes(before, behind),
      hasEnded: stream.hasEnded,
    };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (P2PError.is(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new P2PError('refused', 'local', `Cannot finish handshake with ${addr}: ${why}`, { cause: error });
  } finally {
    deadline.stop();
    stream.close();
  }
}

/** The deadline of a handshake; it is suspended during waits for this process itself. */
class Deadline {
  readonly #realm: Realm;
  readonly #onLate: () => void;
  #leftMs: number;
  /** The remaining time of suspension. */
  #graceMs = ACCEPT_TIMEOUT_MS;
  #armedMs = 0;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(realm: Realm, timeoutMs: number, onLate: () => void) {
    this.#realm = realm;
    this.#leftMs = timeoutMs;
    this.#onLate = onLate;
    this.#arm();
  }

  async untimed<T>(wait: Promise<T>): Promise<T> {
    if (this.#leftMs === Infinity || this.#isStopped) return wait;
    const sinceMs = this.#realm.nowMs();
    this.#timer?.cancel();
    this.#leftMs -= sinceMs - this.#armedMs;
    // A longer wait counts against the handshake's time.
    this.#arm(this.#graceMs);
    try {
      return await wait;
    } finally {
      this.#timer?.cancel();
      const tookMs = this.#realm.nowMs() - sinceMs;
      this.#leftMs -= Math.max(tookMs - this.#graceMs, 0);
      this.#graceMs = Math.max(this.#graceMs - tookMs, 0);
      if (!this.#isStopped) this.#arm();
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #arm(graceMs: number = 0): void {
    if (this.#leftMs === Infinity) return;
    this.#armedMs = this.#realm.nowMs();
    this.#timer = clockOf(this.#realm).setTimer(this.#armedMs + this.#leftMs + graceMs, this.#onLate);
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

/** The hook cannot be stopped, but its result is ignored. */
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
