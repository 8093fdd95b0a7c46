/**
 * The handshake hook: runs first on a new connection. It reads and writes bytes, may replace the socket with a cipher
 * or another stream, and authenticates the peer.
 */

import { assertFunction, quantity } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import type { TcpConnection } from './connection.ts';
import type { HandshakeStream } from './handshake-stream.ts';
import type { Hook } from './hook.ts';
import type { HandshakeResult } from './transform.ts';

/** The arguments of a handshake. */
export interface HandshakeContext {
  /** Its `side` is the role of the peer. The initiator usually sends first. */
  readonly connection: TcpConnection;
  readonly stream: HandshakeStream;
  /** Aborted at the deadline or when the node closes; the connection is then closed, whatever the hook does. */
  readonly signal: AbortSignal;
  /**
   * Asks the node's `accept` about a peer that has proven this key, before more is sent to it. The time this takes does
   * not count against the handshake's deadline. If a handshake returns a `publicKey` without calling this, `accept` is
   * asked at its end.
   *
   * @throws {P2PError} (by rejection) `refused` unless `accept` returns true.
   */
  readonly accept: (publicKey: PublicKey) => Promise<void>;
  /**
   * Waits for something local that does not depend on the peer: the handshake's deadline is suspended, for up to 5 s in
   * total.
   */
  readonly untimed: <T>(wait: Promise<T>) => Promise<T>;
}

/** Options of a handshake. */
export interface HandshakeOptions {
  /** The time limit. @default 5000: a stalled peer occupies one of `maxConnecting` places */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 5000;

/**
 * Runs `perform` on every new connection, on both sides, before any message. Throwing refuses the connection.
 *
 * A handshake that secures connections is passed as the `security` of a node, in place of `tls(…)` and `noise(…)`. One
 * that secures nothing, for example an exchange of names, may also be enabled on a node with `security: 'none'`.
 *
 * @throws {TypeError | RangeError} for invalid options.
 * @example
 * ```ts
 * const hello = handshake(async ({ stream }) => {
 *   await stream.write(encodeText('hello'));
 *   if (decodeText(await stream.read(5)) !== 'hello') throw new Error('not one of us');
 * });
 * const node = createNode({ security: hello });
 * ```
 */
export function handshake(
  perform: (context: HandshakeContext) => Promise<HandshakeResult | void>,
  options: HandshakeOptions = {},
): Handshake {
  assertFunction(perform, 'perform');
  return new HandshakeHook(perform, quantity(options.timeoutMs, 'timeoutMs', DEFAULT_TIMEOUT_MS, 1, Infinity));
}

/** A handshake, created by `handshake`, `tls` and `noise`. */
export interface Handshake extends Hook {
  readonly kind: 'handshake';
}

/** The hook as the node uses it. */
export class HandshakeHook implements Handshake {
  readonly kind = 'handshake';
  readonly timeoutMs: number;
  readonly #perform: (context: HandshakeContext) => Promise<HandshakeResult | void>;

  constructor(perform: (context: HandshakeContext) => Promise<HandshakeResult | void>, timeoutMs: number) {
    this.#perform = perform;
    this.timeoutMs = timeoutMs;
  }

  async perform(context: HandshakeContext): Promise<HandshakeResult | void> {
    return this.#perform(context);
  }
}
