/** The default bind addresses of sockets: IPv6 and IPv4 together, or IPv4 on a machine without IPv6. */

import type { SocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';

/** In the order in which they are tried. */
export const DEFAULT_BINDS: readonly SocketAddress[] = [
  { ip: '::', port: 0 },
  { ip: '0.0.0.0', port: 0 },
];

/**
 * Binds to the first address that this machine has.
 *
 * @throws (by rejection) the error of `bind` for the last one.
 */
export async function bindFirst<T>(
  [first, ...others]: readonly SocketAddress[],
  bind: (to: SocketAddress) => Promise<T>,
): Promise<T> {
  try {
    return await bind(first!);
  } catch (error) {
    if (others.length === 0 || !P2PError.is(error, 'unreachable')) throw error;
    return bindFirst(others, bind);
  }
}
