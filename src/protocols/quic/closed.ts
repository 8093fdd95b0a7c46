/** How connections end. */

/**
 * Who or what ended a connection.
 *
 * | by | |
 * | --- | --- |
 * | `local` | we called `close`: our code and reason |
 * | `peer` | the application there closed it: its code and reason |
 * | `local_transport` | QUIC or TLS on this side found a fault: an RFC 9000 §20.1 code; certificate refused by our judge included |
 * | `peer_transport` | QUIC or TLS on the other side did |
 * | `idle_timeout` | nothing came for too long |
 * | `handshake_timeout` | the handshake took too long |
 * | `stateless_reset` | the peer has lost all memory of the connection |
 * | `version` | the peer speaks no version of QUIC that we do |
 * | `engine_failure` | our engine broke |
 */
export type ClosedBy =
  | 'local'
  | 'peer'
  | 'local_transport'
  | 'peer_transport'
  | 'idle_timeout'
  | 'handshake_timeout'
  | 'stateless_reset'
  | 'version'
  | 'engine_failure';

/** How a connection ended. */
export interface QuicClosed {
  readonly by: ClosedBy;
  /** Application code, or RFC 9000 §20.1 code with the transport ones. 0 where there is none. Exact up to 2^53. */
  readonly code: number;
  /** The TLS alert (RFC 8446 §6.2) in a transport code, 0 to 255: `bad_certificate` is 42. */
  readonly alert: number | undefined;
  /** Text for people, from the side that closed it; the peer's may be anything. */
  readonly reason: string;
  /** What led to it; for `engine_failure` the failure, for a judge that threw what it threw. */
  readonly cause?: unknown;
}
