/** Sends events of the node to the realm's trace; costs nothing when tracing is off. */

import type { Side } from '../core/accept.ts';
import { type IpAddr, makeAddr } from '../core/addr.ts';
import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';
import type { Realm } from '../core/realm.ts';

/** The trace events of a node. */
export type NodeTraceType =
  | 'listening'
  | 'connected'
  | 'disconnected'
  | 'refused'
  | 'handshake_failed'
  | 'dropped'
  | 'handler_error';

/** @param remote - the other end, and what it is; for `listening`, the local address. */
export function trace(
  realm: Realm,
  type: NodeTraceType,
  remote: SocketAddress & { readonly side?: Side | undefined },
  reason?: string,
  cause?: unknown,
): void {
  if (realm.trace === undefined) return;
  const { ip, port, side } = remote;
  const addr = makeAddr<IpAddr>({ ip, port, text: formatSocketAddress(ip, port) });
  realm.trace({ layer: 'node', type, atMs: realm.nowMs(), addr, side, reason, cause });
}
