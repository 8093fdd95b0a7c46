/** Events of the node for the realm's trace; free when nobody listens. */

import { type IpAddr, makeAddr } from '../core/addr.ts';
import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';
import { type Realm } from '../core/realm.ts';

/** What a node tells the trace. */
export type NodeTraceType =
  | 'listening'
  | 'connected'
  | 'disconnected'
  | 'refused'
  | 'handshake_failed'
  | 'handler_error';

/** @param remote - the other end; for `listening`, our own. */
export function trace(
  realm: Realm,
  type: NodeTraceType,
  remote: SocketAddress,
  reason?: string,
  cause?: unknown,
): void {
  if (realm.trace === undefined) return;
  const { ip, port } = remote;
  const addr = makeAddr<IpAddr>({ ip, port, text: formatSocketAddress(ip, port) });
  realm.trace({ layer: 'node', type, atMs: realm.nowMs(), addr, reason, cause });
}
