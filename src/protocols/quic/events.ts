/** What a QUIC endpoint tells, and how connections end. */

import { type EngineFailure } from './engine.ts';
import { type QuicConnection } from './connection.ts';
import { type QuicStream, type StreamKind } from './stream.ts';

/** What the other fields of an event mean is said at its type; every object named in one stays valid. */
export type QuicEvent =
  /** ALPN and server name are known. A server may send from here on, where the endpoint allows 0.5-RTT data. */
  | { readonly type: 'negotiated'; readonly connection: QuicConnection }
  /** The peer has proven its key, the judge has let it in, the handshake is over on this side. */
  | { readonly type: 'connected'; readonly connection: QuicConnection }
  /** The one end of every connection, whoever ended it. What had arrived can still be read; then call `forget`. */
  | { readonly type: 'closed'; readonly connection: QuicConnection; readonly closed: QuicClosed }
  /** The peer opened a stream. Read it: there may be bytes, and no `readable` comes for the first of them. */
  | { readonly type: 'stream'; readonly stream: QuicStream }
  /** Bytes, the end or a reset can be read. */
  | { readonly type: 'readable'; readonly stream: QuicStream }
  /** A stream that took less than it was given takes more. */
  | { readonly type: 'writable'; readonly stream: QuicStream }
  /** The peer's transport has acknowledged every byte and the end. Not: that the application there has read them. */
  | { readonly type: 'acknowledged'; readonly stream: QuicStream }
  /** The peer wants no more of what we send; `stream.stopCode` says why. What was not acknowledged is lost. */
  | { readonly type: 'stopped'; readonly stream: QuicStream }
  /** The peer allows more streams of a kind. */
  | { readonly type: 'streams_available'; readonly connection: QuicConnection; readonly kind: StreamKind }
  /** Datagrams wait: take them until there are none. */
  | { readonly type: 'datagrams'; readonly connection: QuicConnection }
  /** There is room again after `sendDatagram` said `blocked`. */
  | { readonly type: 'datagrams_writable'; readonly connection: QuicConnection }
  /** The peer is at `connection.address` now, not at `previous`: a NAT rebinding or a migration. */
  | { readonly type: 'path_changed'; readonly connection: QuicConnection; readonly previous: number }
  /** `connection.mtuBytes` has changed, and with it `maxDatagramBytes`. */
  | { readonly type: 'mtu_changed'; readonly connection: QuicConnection }
  /** Somebody wanted to connect and was not let in. */
  | { readonly type: 'turned_away'; readonly address: number; readonly how: TurnedAway }
  /** A line in NSS key log format. Only with `keyLog`. */
  | { readonly type: 'key_log'; readonly line: string }
  /** The engine broke and was replaced; every connection was closed with `engine_failure` before this. */
  | { readonly type: 'engine_failed'; readonly failure: EngineFailure };

/**
 * What became of an incoming attempt that was not accepted; `failed`: its first packet was no good; `displaced`: it was, and
 * its handshake or connection then made room for another source.
 */
export type TurnedAway = 'refused' | 'retried' | 'ignored' | 'failed' | 'displaced';

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
  /** Text for people, from whoever closed it; the peer's may be anything. */
  readonly reason: string;
  /** What led to it; for `engine_failure` the failure, for a judge that threw what it threw. */
  readonly cause?: unknown;
}
