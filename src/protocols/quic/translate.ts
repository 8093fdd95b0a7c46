/** Turns what an engine tells of its connections into events. */

import { decodeText } from '../../base/bytes.ts';
import { decodeReason } from '../../base/reason.ts';
import { type QuicConnection } from './connection.ts';
import { EVENT } from './engine.ts';
import { type ClosedBy, type QuicClosed } from './closed.ts';
import { type QuicEvent } from './events.ts';

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
}

/** Tells a record of the engine as an event; the numbers are those of `EventSink`. */
export function translate(
  target: EventTarget,
  connection: QuicConnection,
  kind: number,
  detail: number,
  low: number,
  high: number,
  text: Uint8Array,
): void {
  switch (kind) {
    case EVENT.NEGOTIATED: {
      const alpnLength = text[0] ?? 0;
      const alpn = decodeText(text.subarray(1, 1 + alpnLength)) ?? '';
      const name = decodeText(text.subarray(1 + alpnLength)) ?? '';
      connection.handleNegotiated(
        alpn === '' ? undefined : alpn,
        connection.role === 'client' ? connection.serverName : name === '' ? undefined : name,
      );
      target.emit({ type: 'negotiated', connection });
      return;
    }
    case EVENT.CONNECTED:
      if (connection.state !== 'handshake') return;
      connection.handleConnected();
      target.emit({ type: 'connected', connection });
      return;
    case EVENT.LOST: {
      const by = CLOSED_BY[detail] ?? 'local_transport';
      const code = low + high * 2 ** 32;
      const transport = by === 'local_transport' || by === 'peer_transport';
      const alert = transport && code >= 0x100 && code < 0x200 ? code - 0x100 : undefined;
      target.end(connection, { by, code, alert, reason: decodeReason(text) ?? '' });
      return;
    }
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
      streamEvent(target, connection, kind, low + high * 2 ** 32, text);
  }
}

function streamEvent(
  target: EventTarget,
  connection: QuicConnection,
  kind: number,
  id: number,
  text: Uint8Array,
): void {
  if (connection.state === 'closed' && kind === EVENT.OPENED) return;
  const stream = connection.handleStream(id, kind === EVENT.OPENED);
  if (stream === undefined) return;
  switch (kind) {
    case EVENT.OPENED:
      target.emit({ type: 'stream', stream });
      return;
    case EVENT.READABLE:
      target.emit({ type: 'readable', stream });
      return;
    case EVENT.WRITABLE:
      if (stream.sendState === 'open') target.emit({ type: 'writable', stream });
      return;
    case EVENT.FINISHED:
      if (stream.handleAcknowledged()) target.emit({ type: 'acknowledged', stream });
      return;
    case EVENT.STOPPED: {
      const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
      const code = text.length === 8 ? Number(view.getBigUint64(0, true)) : 0;
      if (stream.handleStopped(code)) target.emit({ type: 'stopped', stream });
      return;
    }
    default:
  }
}
