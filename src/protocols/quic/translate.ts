/** Turns what an engine tells of its connections into events. */

import { decodeText } from '../../base/bytes.ts';
import { decodeReason } from '../../base/reason.ts';
import { type QuicConnection } from './connection.ts';
import { EVENT } from './engine.ts';
import { type ClosedBy, type QuicClosed, type QuicEvent } from './events.ts';

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

/** The fields of an event of the engine: see `EventSink`. */
export interface EngineEvent {
  readonly kind: number;
  readonly detail: number;
  readonly low: number;
  readonly high: number;
  readonly text: Uint8Array;
}

/** Where events go. */
export interface Teller {
  emit(event: QuicEvent): void;
  end(connection: QuicConnection, closed: QuicClosed): void;
  /** A peer has moved from one address to another. */
  moved(to: number, from: number): void;
}

/** Tells an event of a connection or of one of its streams. */
export function tell(teller: Teller, connection: QuicConnection, event: EngineEvent): void {
  const { kind, detail, low, high, text } = event;
  switch (kind) {
    case EVENT.NEGOTIATED: {
      const alpnLength = text[0] ?? 0;
      const alpn = decodeText(text.subarray(1, 1 + alpnLength)) ?? '';
      const name = decodeText(text.subarray(1 + alpnLength)) ?? '';
      connection.handleNegotiated(
        alpn === '' ? undefined : alpn,
        connection.role === 'client' ? connection.serverName : name === '' ? undefined : name,
      );
      teller.emit({ type: 'negotiated', connection });
      return;
    }
    case EVENT.CONNECTED:
      if (connection.state !== 'handshake') return;
      connection.handleConnected();
      teller.emit({ type: 'connected', connection });
      return;
    case EVENT.LOST: {
      const by = CLOSED_BY[detail] ?? 'local_transport';
      const code = low + high * 2 ** 32;
      const transport = by === 'local_transport' || by === 'peer_transport';
      const alert = transport && code >= 0x100 && code < 0x200 ? code - 0x100 : undefined;
      teller.end(connection, { by, code, alert, reason: decodeReason(text) ?? '' });
      return;
    }
    case EVENT.AVAILABLE:
      teller.emit({ type: 'streams_available', connection, kind: detail === 1 ? 'uni' : 'bidi' });
      return;
    case EVENT.DATAGRAM:
      teller.emit({ type: 'datagrams', connection });
      return;
    case EVENT.DATAGRAMS_UNBLOCKED:
      teller.emit({ type: 'datagrams_writable', connection });
      return;
    case EVENT.PATH:
      teller.moved(low, high);
      connection.handlePath(low);
      teller.emit({ type: 'path_changed', connection, previous: high });
      return;
    case EVENT.MTU:
      connection.handleMtu(low);
      teller.emit({ type: 'mtu_changed', connection });
      return;
    default:
      streamEvent(teller, connection, event);
  }
}

function streamEvent(teller: Teller, connection: QuicConnection, event: EngineEvent): void {
  const { kind, low, high, text } = event;
  const id = low + high * 2 ** 32;
  if (connection.state === 'closed' && kind === EVENT.OPENED) return;
  const stream = connection.handleStream(id, kind === EVENT.OPENED);
  if (stream === undefined) return;
  switch (kind) {
    case EVENT.OPENED:
      teller.emit({ type: 'stream', stream });
      return;
    case EVENT.READABLE:
      teller.emit({ type: 'readable', stream });
      return;
    case EVENT.WRITABLE:
      if (stream.sendState === 'open') teller.emit({ type: 'writable', stream });
      return;
    case EVENT.FINISHED:
      if (stream.handleAcknowledged()) teller.emit({ type: 'acknowledged', stream });
      return;
    case EVENT.STOPPED: {
      const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
      const code = text.length === 8 ? Number(view.getBigUint64(0, true)) : 0;
      if (stream.handleStopped(code)) teller.emit({ type: 'stopped', stream });
      return;
    }
    default:
  }
}
