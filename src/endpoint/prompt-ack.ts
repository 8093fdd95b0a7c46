/** Acknowledgements that do not wait. */

import { type QuicConnection } from '../protocols/quic/connection.ts';

/**
 * Has the acknowledgement sent at once, with a PING: alone it would wait for 25 ms or a second packet (RFC 9000 §13.2.1), and
 * a peer that awaits each message would get no more than forty a second through. Once a turn is enough for all.
 */
export function promptly(connection: QuicConnection, later: (act: () => void) => void): () => void {
  let acknowledged = false;
  return () => {
    if (acknowledged || connection.closed !== undefined) return;
    acknowledged = true;
    connection.ping();
    later(() => (acknowledged = false));
  };
}
