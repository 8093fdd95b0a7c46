/** The options of mbapp, resolved once. */

import { describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { type PacingOptions, resolveBurstBytes } from '../../swarm-kit/part-sender.ts';
import { type PendingLimits, assertPendingLimits } from '../../swarm-kit/pending-budget.ts';
import type { WrapOptions } from '../../swarm-kit/swarm-over.ts';

/** Options of asks. Pending tells are bounded by `maxPendingMessages` and `maxPendingBytes`. */
export interface MbappOptions extends WrapOptions, PendingLimits, PacingOptions {
  /**
   * The maximum bytes of a tell, a request or an answer. @default 1 048 576 (1 MiB), the value that users of go-p2p set
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * `'go-p2p'` sends every request once: the original does not recognise repeated requests, and would execute them
   * again.
   * @default requests are resent until they are answered
   */
  readonly preset?: 'go-p2p' | undefined;
  /**
   * Whether the inner swarm proves that a message comes from its source. If it does not, as bare UDP, a request can be
   * sent with the address of a victim: an answer of more than three times the bytes of its request then waits until the
   * asker has returned a token, which takes one round trip. go-p2p's mbapp does not support this and sees the code 254.
   * @default true on secure swarms, else false
   */
  readonly provenSources?: boolean | undefined;
  /** The time before the first resend; it doubles with each resend. @default 250, p2pke's handshake interval */
  readonly resendAfterMs?: number | undefined;
  /** The longest pause between two sends. @default 4000 */
  readonly maxResendMs?: number | undefined;
  /** Requests of one peer that handlers may be processing; further ones are refused. @default 256 */
  readonly maxPendingRequestsPerPeer?: number | undefined;
  /** Requests of all peers that handlers may be processing; further ones are refused. @default 1024 */
  readonly maxPendingRequests?: number | undefined;
  /** Executed requests that are remembered with their answers, in case they are repeated. @default 16 384 */
  readonly maxCachedAnswers?: number | undefined;
  /**
   * Bytes of those answers; above it the oldest answers are removed. @default 16 777 216 (16 MiB), or four messages of
   * the maximum size
   */
  readonly maxCachedBytes?: number | undefined;
  /** Incomplete messages of all peers. @default 1024 */
  readonly maxHalfBuiltMessages?: number | undefined;
  /** Incomplete messages of one peer. @default 64 */
  readonly maxHalfBuiltMessagesPerSource?: number | undefined;
  /** Bytes of incomplete messages of all peers. @default 64 MiB, or eight messages of the maximum size */
  readonly maxHalfBuiltBytes?: number | undefined;
  /** Bytes of incomplete messages of one peer. @default 16 MiB, or four messages of the maximum size */
  readonly maxHalfBuiltBytesPerSource?: number | undefined;
  /** A message that is incomplete after this time is dropped. @default 30 000, the default timeout of an ask */
  readonly maxAgeMs?: number | undefined;
}

const MIB = 1_048_576;

/** {@link MbappOptions} with defaults filled in. */
export type ResolvedMbapp = ReturnType<typeof resolveMbapp>;

/** @throws {TypeError | RangeError} for invalid options. */
export function resolveMbapp(
  options: MbappOptions,
  isInnerSecure: boolean,
): {
  readonly keepInner: boolean | undefined;
  readonly provenSources: boolean;
  readonly resends: boolean;
  readonly limits: Readonly<Record<MbappLimit, number>>;
} {
  const { preset, provenSources = isInnerSecure } = options;
  if (typeof provenSources !== 'boolean') {
    throw new TypeError(`Cannot take provenSources: expected true or false, got ${describeValue(provenSources)}`);
  }
  if (preset !== undefined && preset !== 'go-p2p') {
    throw new TypeError(`Cannot take preset: expected 'go-p2p', got ${describeValue(preset)}`);
  }
  const bound = (name: MbappLimit, fallback: number): number =>
    wholeNumber(options[name], name, fallback, 1, Number.MAX_SAFE_INTEGER);
  const time = (name: MbappLimit, fallback: number): number => quantity(options[name], name, fallback, 1, 0x7fff_ffff);
  // The size field has 32 bits.
  const maxMessageBytes = wholeNumber(options.maxMessageBytes, 'maxMessageBytes', MIB, 1, 0xffff_ffff);
  return {
    keepInner: options.keepInner,
    provenSources,
    resends: preset === undefined,
    limits: {
      ...assertPendingLimits(options),
      burstBytes: resolveBurstBytes(options),
      maxMessageBytes,
      resendAfterMs: time('resendAfterMs', 250),
      maxResendMs: time('maxResendMs', 4000),
      maxPendingRequestsPerPeer: bound('maxPendingRequestsPerPeer', 256),
      maxPendingRequests: bound('maxPendingRequests', 1024),
      maxCachedAnswers: bound('maxCachedAnswers', 16_384),
      maxCachedBytes: bound('maxCachedBytes', Math.max(16 * MIB, 4 * maxMessageBytes)),
      maxHalfBuiltMessages: bound('maxHalfBuiltMessages', 1024),
      maxHalfBuiltMessagesPerSource: bound('maxHalfBuiltMessagesPerSource', 64),
      maxHalfBuiltBytes: bound('maxHalfBuiltBytes', Math.max(64 * MIB, 8 * maxMessageBytes)),
      maxHalfBuiltBytesPerSource: bound('maxHalfBuiltBytesPerSource', Math.max(16 * MIB, 4 * maxMessageBytes)),
      maxAgeMs: time('maxAgeMs', 30_000),
    },
  };
}

/** The options that are numbers. */
type MbappLimit = Exclude<keyof MbappOptions, 'keepInner' | 'preset' | 'provenSources'>;
