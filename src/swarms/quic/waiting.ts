/** Messages that wait until their peer allows a stream for them. */

import { P2PError } from '../../core/errors.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { type QuicStream, type StreamKind } from '../../protocols/quic/stream.ts';

/** A message that waits for a stream. */
export interface Waiting {
  readonly begin: (stream: QuicStream) => void;
  readonly fail: (error: P2PError) => void;
}

/** Messages of each kind that wait for a stream; more fail at once, so that a peer that reads nothing gathers no heap. */
const MAX_WAITING = 65_536;

/** @param waits - those that wait already, in order; here is their bound. */
export function waitForStream(waits: Set<Waiting>, waiting: Waiting, peer: PeerId): void {
  if (waits.size < MAX_WAITING) waits.add(waiting);
  else {
    const full = `Cannot reach ${peer}: ${MAX_WAITING} messages wait for it to read`;
    waiting.fail(new P2PError('limit_exceeded', 'remote', full, { sent: 'no' }));
  }
}

/** Gives streams to messages that wait, as far as the peer allows. */
export function giveStreams(waits: Set<Waiting>, connection: QuicConnection, kind: StreamKind): void {
  for (const waiting of waits) {
    const stream = connection.open(kind);
    if (stream === undefined) return;
    waits.delete(waiting);
    waiting.begin(stream);
  }
}

/** Fails all that wait. */
export function failWaiting(waits: Set<Waiting>, error: () => P2PError): void {
  const waiting = [...waits];
  waits.clear();
  for (const { fail } of waiting) fail(error());
}
