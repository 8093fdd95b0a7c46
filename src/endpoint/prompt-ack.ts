/** Acknowledgements without delay. */

import type { QuicConnection } from '../protocols/quic/connection.ts';

/**
 * Sends a PING, so that the acknowledgement goes with it at once. Otherwise it would wait for 25 ms or a second packet (RFC 9000
 * §13.2.1), and a peer that awaits each message could send forty a second at most. One PING in a turn is enough.
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
