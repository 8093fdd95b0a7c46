/**
 * The handshake hook: what two nodes do on a new connection before anything else. It reads and writes bytes, may put a
 * cipher or another stream in place of the socket, and decides who the peer is.
 */

import { assertFunction, quantity } from '../base/checks.ts';
import { type PublicKey } from '../core/secure.ts';
import { type TcpConnection } from './connection.ts';
import { type HandshakeStream } from './handshake-stream.ts';
import { type Hook } from './hook.ts';
import { type HandshakeResult } from './transform.ts';

/** What a handshake gets. */
export interface HandshakeContext {
  /** `side` says which part is ours: the initiator usually speaks first. */
  readonly connection: TcpConnection;
  readonly stream: HandshakeStream;
  /** Aborted when time is up or the node closes; the connection is given up then, whatever the hook does. */
  readonly signal: AbortSignal;
  /**
   * Asks the `accept` of the node about a peer that has proven this key, before more is said to it. The time that it takes
   * does not count as the handshake's. A handshake that returns a `publicKey` without having asked is asked for at its end.
   *
   * @throws {P2PError} (by rejection) `refused` unless the answer is yes.
   */
  readonly accept: (publicKey: PublicKey) => Promise<void>;
  /**
   * Waits for something of this program that the peer is not to blame for: the handshake's time stands still, for up to
   * 5 s in all.
   */
  readonly untimed: <T>(wait: Promise<T>) => Promise<T>;
}

/** How a handshake is run. */
export interface HandshakeOptions {
  /** How long it may take. @default 5000: a peer that stalls holds one of `maxConnecting` places */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 5000;

/**
 * Runs `perform` on every new connection, on both sides, before any message. Throwing refuses the connection.
 *
 * A handshake that secures connections is given as the `security` of a node, in place of `tls(…)` and `noise(…)`. One that
 * exchanges names, say, and secures nothing may also be enabled on a node with `security: 'none'`.
 *
 * @throws {TypeError | RangeError} for wrong options.
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

/** A handshake: what `handshake`, `tls` and `noise` make. */
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
