/** What a QUIC endpoint is made from. */

import type { Bytes } from '../../base/bytes.ts';
import { wholeNumber } from '../../base/checks.ts';
import type { Incoming, Verdict } from './admission.ts';
import type { QuicConnection } from './connection.ts';
import type { EngineFactory } from './engine.ts';
import { encodeAlpn, type QuicSettings } from './settings.ts';

/** The peer that the judge is asked about. */
export interface Judged {
  readonly connection: QuicConnection;
  /** What the peer presented, DER, end entity first; it has proven that it holds the key of the first. Never empty. */
  readonly chain: readonly Bytes[];
}

/**
 * Decides about a peer's identity: `undefined` accepts it, a TLS alert (RFC 8446 §6.2: 42 to 46, 48, 49; see {@link ALERT}) turns it
 * away, and the peer learns the alert. Synchronous: nothing of the peer's is delivered, and nothing is sent to it, before
 * the answer. A judge that throws refuses. It must not use the endpoint.
 *
 * `'pending'`: the handshake continues, and the verdict follows as `admit(connection)` or a close. Until then the peer gets no
 * credit beyond the first windows, as long as nothing of it is read; with `holdPeers` it gets none at all.
 */
export type Judge = (judged: Judged) => number | 'pending' | undefined;

/** TLS alerts that a judge may answer (RFC 8446 §6.2). Others reach the peer as `ACCESS_DENIED`. */
export const ALERT = {
  BAD_CERTIFICATE: 42,
  UNSUPPORTED_CERTIFICATE: 43,
  CERTIFICATE_REVOKED: 44,
  CERTIFICATE_EXPIRED: 45,
  CERTIFICATE_UNKNOWN: 46,
  UNKNOWN_CA: 48,
  ACCESS_DENIED: 49,
} as const;

/** What a QUIC endpoint is made from. */
export interface QuicEndpointOptions extends QuicSettings {
  /** The implementation; `quicEngine()` returns one. */
  readonly engines: EngineFactory;
  /** `length` unpredictable bytes: the realm's `random`. A seeded one replays a run. */
  readonly random: (length: number) => Uint8Array;
  /** Decides about the identity of peers, servers that we dial included. */
  readonly judge: Judge;
  /**
   * Decides about attempts to connect, after the limits; `undefined` accepts. A result that is not a verdict, and a throw,
   * refuse.
   */
  readonly admit?: ((incoming: Incoming) => Verdict | undefined) | undefined;
  /**
   * When a client must prove its address by a Retry first (RFC 9000 §8.1): `under_load` is from
   * `retryFromHandshakes` unfinished handshakes. @default 'under_load'
   */
  readonly addressValidation?: 'never' | 'under_load' | 'always' | undefined;
  /** Unfinished handshakes from which newcomers prove their address; an eighth of it for one source. @default 64 */
  readonly retryFromHandshakes?: number | undefined;
  /**
   * Incoming handshakes at a time. One more takes the place of the oldest from the busiest source (/24, /64); where no source
   * has more than its share it is ignored. @default 256
   */
  readonly maxHandshakes?: number | undefined;
  /**
   * Connections at a time, closing ones included. One more takes the place of the oldest accepted one of a source that has
   * at least two more than its own; otherwise it is refused. @default 4096
   */
  readonly maxConnections?: number | undefined;
  /** The application code when a connection is closed to make room for another source. @default 0 */
  readonly displacedCode?: number | undefined;
  /** How long a handshake may take; 0 for as long as the idle timeout lets it. @default 10_000 */
  readonly handshakeTimeoutMs?: number | undefined;
  /**
   * What all connections together may have their peers send before it is read, in bytes, beyond 8 KiB for each. A connection
   * gets a quarter of what is free, at most the window of the settings, and more as its data is read. @default 48 MiB
   */
  readonly windowBudgetBytes?: number | undefined;
  /** Bytes that are held elsewhere and count as part of that budget. @default none */
  readonly heldElsewhere?: (() => number) | undefined;
  /** The host behind an address, for shares per source. @default each address is a host of its own */
  readonly hostOf?: ((address: number) => string | undefined) | undefined;
  /** Hears which addresses connections use, so that a table of addresses keeps them. */
  readonly addresses?: { retain(address: number): void; release(address: number): void } | undefined;
}

/** Options of one dial. */
export interface ConnectOptions {
  /** Sent as SNI when it is a DNS name; an IP is not sent (RFC 6066 §3). @default none sent */
  readonly serverName?: string | undefined;
  /** ALPN names for this connection; an empty list offers none. @default the endpoint's */
  readonly alpn?: readonly string[] | undefined;
}

const MAX_ADDRESS = 2 ** 32 - 1;
/** A server name as DNS has it (RFC 1035 §2.3.4). */
const MAX_SERVER_NAME = 253;

/** @internal @throws {RangeError} for an address or names out of bounds. */
export function checkConnect(address: number, { serverName, alpn }: ConnectOptions): void {
  wholeNumber(address, 'address', address, 0, MAX_ADDRESS);
  if (serverName !== undefined && (serverName.length < 1 || serverName.length > MAX_SERVER_NAME)) {
    throw new RangeError(
      `Cannot take serverName: expected 1 to ${MAX_SERVER_NAME} characters, got ${serverName.length}`,
    );
  }
  if (alpn !== undefined) encodeAlpn(alpn);
}
