/**
 * Three kinds of errors:
 *
 * - **misuse**: the caller's mistake; `TypeError` or `RangeError`, thrown at once;
 * - **failure**: peer, path, time or limits; {@link P2PError}, always by rejection;
 * - **bug**: a fault of this library; {@link assert}, never caught inside the library.
 */

import { assertBytes } from '../base/checks.ts';

/**
 * Every code a {@link P2PError} can have. A minor release may add one, so a `switch` needs a `default:`.
 *
 * | code | meaning |
 * | --- | --- |
 * | `closed` | the swarm, node or endpoint is closed |
 * | `mtu_exceeded` | the message is larger than the destination accepts now |
 * | `unreachable` | the destination does not respond, or the layer below has no path to it |
 * | `timeout` | a deadline passed |
 * | `refused` | the other side, or a list on this side, refused it |
 * | `not_found` | the thing asked for does not exist (an unknown key, for example) |
 * | `identity_mismatch` | a peer answered with a key that differs from the one in the address |
 * | `limit_exceeded` | a limit on bytes, messages, asks or connections was reached |
 * | `unsupported` | this swarm does not support that for this address (an unknown scheme, for example) |
 * | `disconnected` | the connection ended before the answer arrived |
 * | `in_use` | the address to bind to, or the name to open, is already in use |
 */
export const P2P_ERROR_CODES = [
  'closed',
  'mtu_exceeded',
  'unreachable',
  'timeout',
  'refused',
  'not_found',
  'identity_mismatch',
  'limit_exceeded',
  'unsupported',
  'disconnected',
  'in_use',
] as const;

/** One of {@link P2P_ERROR_CODES}. */
export type P2PErrorCode = (typeof P2P_ERROR_CODES)[number];

/** Where the fault is: on this side, at the peer, or between them. */
export type ErrorSide = 'local' | 'remote' | 'path';

/** What a {@link P2PError} may carry in addition to its code, side and message. */
export interface P2PErrorOptions {
  /** The error that caused this one, for logs. @default undefined */
  readonly cause?: unknown;
  /**
   * `'no'` only when it is certain that no byte of the message left this process: a retry then cannot make the peer act
   * twice. @default 'maybe'
   */
  readonly sent?: 'no' | 'maybe' | undefined;
}

/**
 * A failure of a peer, a path, time or a limit. The message says what was tried, both numbers with their units, and
 * what to do next.
 *
 * Recognise it with {@link P2PError.is}, which also works across two copies of the package.
 */
export class P2PError extends Error {
  override readonly name = 'P2PError';
  readonly code: P2PErrorCode;
  readonly side: ErrorSide;
  /** For retries: `'no'` when certainly no byte of the message left this process, else `'maybe'`. */
  readonly sent: 'no' | 'maybe';

  constructor(code: P2PErrorCode, side: ErrorSide, message: string, options: P2PErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.side = side;
    this.sent = options.sent ?? 'maybe';
  }

  /**
   * Whether `value` is a P2PError (with this `code`, if given). Structural: an error of a second copy of the package
   * matches too.
   */
  static is(value: unknown, code?: P2PErrorCode): value is P2PError {
    if (!isError(value) || value.name !== 'P2PError' || !('code' in value)) return false;
    return code === undefined ? (P2P_ERROR_CODES as readonly unknown[]).includes(value.code) : value.code === code;
  }
}

/** Whether `value` is an error; one of another JavaScript realm (a `vm` context, as some test runners use) counts too. */
function isError(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

/**
 * The failure of an operation on a closed object.
 *
 * @param sent - `'maybe'` when it was closed during the operation.
 */
export function closedError(what: string, cause?: unknown, sent: 'no' | 'maybe' = 'no'): P2PError {
  return new P2PError('closed', 'local', `Cannot ${what}: closed`, cause === undefined ? { sent } : { sent, cause });
}

/**
 * The failure of a message that is too large; nothing was sent.
 *
 * @param remedy - what the user can do, as a clause: `wrap the swarm in frag()`.
 */
export function mtuError(what: string, sizeBytes: number, limitBytes: number, remedy?: string): P2PError {
  const advice = remedy === undefined ? '' : `; ${remedy}`;
  return new P2PError(
    'mtu_exceeded',
    'local',
    `Cannot ${what}: ${sizeBytes} bytes, limit is ${limitBytes} bytes${advice}`,
    {
      sent: 'no',
    },
  );
}

/** The code of a refusal that gives none: the only one of go-p2p. */
const REFUSAL_CODE = 255;

/**
 * What a serve handler throws to refuse a request with a code and bytes.
 *
 * The asker gets a `refused` {@link P2PError} whose `cause` is a Refusal with the same `bytes` and `code`, if the
 * wire format can carry them. The message is not sent, nor is anything of another error that a handler throws.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** Application bytes for the asker, sent if the wire format can carry them. */
  readonly bytes: Uint8Array | undefined;
  /** A number for the asker, 1 to 255, sent if the wire format can carry it. */
  readonly code: number;

  /** @throws {TypeError | RangeError} when `bytes` is not a Uint8Array, or `code` is not a whole number from 1 to 255. */
  constructor(message = 'refused', bytes?: Uint8Array, code: number = REFUSAL_CODE) {
    if (!Number.isInteger(code) || code < 1 || code > 255) {
      throw new RangeError(`Cannot make Refusal: expected a code from 1 to 255, got ${code}`);
    }
    if (bytes !== undefined) assertBytes(bytes, 'bytes');
    super(message);
    this.bytes = bytes;
    this.code = code;
  }

  /** Structural, like {@link P2PError.is}. */
  static is(value: unknown): value is Refusal {
    return isError(value) && value.name === 'Refusal';
  }
}

/**
 * Throws unless `condition` is true. A failure is a bug in this library, so nothing in it catches the error.
 *
 * @param why - why the condition must be true.
 */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new Error(`Bug in shoal: ${why}`);
}
