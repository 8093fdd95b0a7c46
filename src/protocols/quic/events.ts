/** The events of a QUIC endpoint. */

import type { QuicClosed } from './closed.ts';
import type { EngineFailure } from './engine.ts';
import type { QuicConnection } from './connection.ts';
import type { QuicStream, StreamKind } from './stream.ts';

/** The comment of each type explains its fields. The objects in an event stay valid. */
export type QuicEvent =
  /** ALPN and server name are known. A server may send from here on, where the endpoint allows 0.5-RTT data. */
  | { readonly type: 'negotiated'; readonly connection: QuicConnection }
  /** The peer has proven its key, the judge has accepted it, the handshake is over on this side. */
  | { readonly type: 'connected'; readonly connection: QuicConnection }
  /** The one end of every connection, by either side. What had arrived can still be read; then call `forget`. */
  | { readonly type: 'closed'; readonly connection: QuicConnection; readonly closed: QuicClosed }
  /** The peer opened a stream. Read it: there may be bytes, and no `readable` comes for the first of them. */
  | { readonly type: 'stream'; readonly stream: QuicStream<QuicConnection> }
  /** Bytes, the end or a reset can be read. */
  | { readonly type: 'readable'; readonly stream: QuicStream<QuicConnection> }
  /** A stream that took less than it was given takes more. */
  | { readonly type: 'writable'; readonly stream: QuicStream<QuicConnection> }
  /** The peer's transport has acknowledged every byte and the end. Not: that the application there has read them. */
  | { readonly type: 'acknowledged'; readonly stream: QuicStream<QuicConnection> }
  /** The peer asks us to stop sending; `stream.stopCode` is its reason. Data that was not acknowledged is lost. */
  | { readonly type: 'stopped'; readonly stream: QuicStream<QuicConnection> }
  /** The peer allows more streams of a kind. */
  | { readonly type: 'streams_available'; readonly connection: QuicConnection; readonly kind: StreamKind }
  /** Datagrams wait: take them until none is left. */
  | { readonly type: 'datagrams'; readonly connection: QuicConnection }
  /** There is room again after `sendDatagram` returned `blocked`. */
  | { readonly type: 'datagrams_writable'; readonly connection: QuicConnection }
  /** The peer is at `connection.address` now, not at `previous`: a NAT rebinding or a migration. */
  | { readonly type: 'path_changed'; readonly connection: QuicConnection; readonly previous: number }
  /** `connection.mtuBytes` has changed, and with it `maxDatagramBytes`. */
  | { readonly type: 'mtu_changed'; readonly connection: QuicConnection }
  /** An attempt to connect was not accepted. */
  | { readonly type: 'turned_away'; readonly address: number; readonly how: TurnedAway }
  /** A line in NSS key log format. Only with `keyLog`. */
  | { readonly type: 'key_log'; readonly line: string }
  /** The engine broke and was replaced; every connection was closed with `engine_failure` before this. */
  | { readonly type: 'engine_failed'; readonly failure: EngineFailure };

/**
 * What became of an incoming attempt that was not accepted; `failed`: its first packet was no good; `displaced`: it was, and
 * its handshake or connection was then ended to make room for another source.
 */
export type TurnedAway = 'refused' | 'retried' | 'ignored' | 'failed' | 'displaced';
