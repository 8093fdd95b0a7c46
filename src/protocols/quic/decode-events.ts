/** Decodes what an engine tells: each record becomes one event, and changes the objects that it is about. */

import { type Bytes, decodeText } from '../../base/bytes.ts';
import { decodeReason } from '../../base/reason.ts';
import type { Incoming } from './admission.ts';
import type { ClosedBy, QuicClosed } from './closed.ts';
import type { QuicConnection } from './connection.ts';
import { EVENT, EVENT_WORDS, type EventBatch } from './engine.ts';
import type { QuicEvent } from './events.ts';

/** In the order of `lost_detail` in `engine/src/events.rs`. */
const CLOSED_BY: readonly ClosedBy[] = [
  'engine_failure',
  'version',
  'local_transport',
  'peer_transport',
  'peer',
  'stateless_reset',
  'idle_timeout',
  'local',
  'local_transport',
];

/** Where events go. */
export interface EventTarget {
  emit(event: QuicEvent): void;
  end(connection: QuicConnection, closed: QuicClosed): void;
  /** A peer has moved from one address to another. */
  moved(to: number, from: number): void;
  /** Somebody wants to connect. */
  incoming(attempt: Incoming): void;
  /** Nothing more will come of a connection. */
  drained(connection: QuicConnection): void;
}

/** Decodes all events of a batch, in order. */
export function decodeEvents(
  batch: EventBatch,
  connections: ReadonlyMap<number, QuicConnection>,
  target: EventTarget,
): void {
  for (let index = 0; index < batch.count; index++) decodeEvent(batch, index * EVENT_WORDS, connections, target);
}

function decodeEvent(
  { words, texts }: EventBatch,
  at: number,
  connections: ReadonlyMap<number, QuicConnection>,
  target: EventTarget,
): void {
  const kind = words[at]! & 0xff;
  const detail = words[at]! >>> 8;
  const subject = words[at + 1]!;
  const low = words[at + 2]!;
  const high = words[at + 3]!;
  const text = texts.subarray(words[at + 4], words[at + 4]! + words[at + 5]!);
  if (kind === EVENT.INCOMING) {
    const [addressValidated, mayRetry] = [(detail & 1) !== 0, (detail & 2) !== 0];
    target.incoming({ number: subject, address: low, addressValidated, mayRetry });
    return;
  }
  if (kind === EVENT.KEY_LOG) {
    target.emit({ type: 'key_log', line: decodeText(text) ?? '' });
    return;
  }
  const connection = connections.get(subject);
  if (connection === undefined) return;
  const value = low + high * 2 ** 32;
  const opened = kind === EVENT.OPENED && connection.state !== 'closed';
  // For the kinds that are about a stream, the value is its id.
  const stream = kind >= EVENT.OPENED && kind <= EVENT.STOPPED ? connection.handleStream(value, opened) : undefined;
  switch (kind) {
    case EVENT.NEGOTIATED:
      negotiated(connection, text);
      target.emit({ type: 'negotiated', connection });
      return;
    case EVENT.CONNECTED:
      if (connection.state !== 'handshake') return;
      connection.handleConnected();
      target.emit({ type: 'connected', connection });
      return;
    case EVENT.LOST:
      target.end(connection, closedOf(CLOSED_BY[detail] ?? 'local_transport', value, text));
      return;
    case EVENT.DRAINED:
      target.drained(connection);
      return;
    case EVENT.OPENED:
      if (stream !== undefined && opened) target.emit({ type: 'stream', stream });
      return;
    case EVENT.READABLE:
      if (stream !== undefined) target.emit({ type: 'readable', stream });
      return;
    case EVENT.WRITABLE:
      if (stream?.sendState === 'open') target.emit({ type: 'writable', stream });
      return;
    case EVENT.FINISHED:
      if (stream?.handleAcknowledged() === true) target.emit({ type: 'acknowledged', stream });
      return;
    case EVENT.STOPPED:
      if (stream?.handleStopped(codeOf(text)) === true) target.emit({ type: 'stopped', stream });
      return;
    case EVENT.AVAILABLE:
      target.emit({ type: 'streams_available', connection, kind: detail === 1 ? 'uni' : 'bidi' });
      return;
    case EVENT.DATAGRAM:
      target.emit({ type: 'datagrams', connection });
      return;
    case EVENT.DATAGRAMS_UNBLOCKED:
      target.emit({ type: 'datagrams_writable', connection });
      return;
    case EVENT.PATH:
      target.moved(low, high);
      connection.handlePath(low);
      target.emit({ type: 'path_changed', connection, previous: high });
      return;
    case EVENT.MTU:
      connection.handleMtu(low);
      target.emit({ type: 'mtu_changed', connection });
      return;
    default:
  }
}

/** The ALPN name behind its length, then the server name. */
function negotiated(connection: QuicConnection, text: Bytes): void {
  const alpnLength = text[0] ?? 0;
  const alpn = decodeText(text.subarray(1, 1 + alpnLength)) ?? '';
  const name = decodeText(text.subarray(1 + alpnLength)) ?? '';
  const asked = connection.side === 'responder' ? connection.serverName : name;
  connection.handleNegotiated(alpn === '' ? undefined : alpn, asked === '' ? undefined : asked);
}

function closedOf(by: ClosedBy, code: number, text: Bytes): QuicClosed {
  const transport = by === 'local_transport' || by === 'peer_transport';
  // RFC 9001 §4.8: TLS alerts are transport errors from 0x100 on.
  const alert = transport && code >= 0x100 && code < 0x200 ? code - 0x100 : undefined;
  return { by, code, alert, reason: decodeReason(text) ?? '' };
}

/** A code of eight bytes, little-endian. */
function codeOf(text: Bytes): number {
  const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
  return text.length === 8 ? Number(view.getBigUint64(0, true)) : 0;
}
