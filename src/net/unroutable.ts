/**
 * Recognises addresses that name no single host from their text, so that a dial fails at once instead of timing out.
 */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { whyNoHost } from '../base/ip.ts';

/** Why an address cannot be reached; `undefined` for one that may be reachable, and for one without an IP. */
function whyUnroutable(addr: Addr): string | undefined {
  const ip = ipOf(addr);
  if (ip === undefined) return undefined;
  return portOf(addr) === 0 ? 'nobody has port 0' : whyNoHost(ip);
}

/**
 * The `unreachable` error of an address that cannot be reached: port 0, unspecified, multicast, broadcast, reserved.
 *
 * @param what - the address as the caller describes it.
 */
export function unroutable(addr: Addr, what: string = addr.text): P2PError | undefined {
  const why = whyUnroutable(addr);
  if (why === undefined) return undefined;
  return new P2PError('unreachable', 'local', `Cannot reach ${what}: ${why}`, { sent: 'no' });
}
