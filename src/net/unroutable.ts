/** Addresses that name no single host, told from their text alone, so that a dial fails at once and not by a timeout. */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { whyNoHost } from '../base/ip.ts';

/** Why nobody can be reached at an address; `undefined` for one that may lead somewhere, and for one that is not of IP. */
function whyUnroutable(addr: Addr): string | undefined {
  const ip = ipOf(addr);
  if (ip === undefined) return undefined;
  return portOf(addr) === 0 ? 'nobody has port 0' : whyNoHost(ip);
}

/**
 * The `unreachable` error of an address that nobody can be reached at: port 0, unspecified, multicast, broadcast, reserved.
 *
 * @param what - the address in the words of the caller.
 */
export function unroutable(addr: Addr, what: string = addr.text): P2PError | undefined {
  const why = whyUnroutable(addr);
  if (why === undefined) return undefined;
  return new P2PError('unreachable', 'local', `Cannot reach ${what}: ${why}`, { sent: 'no' });
}
