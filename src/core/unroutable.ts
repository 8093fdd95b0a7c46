/** Addresses that name no single host, told from their text alone, so that a dial fails at once and not by a timeout. */

import { type Addr, ipOf, portOf } from './addr.ts';
import { P2PError } from './errors.ts';
import { ipBytes, isUnspecifiedIp } from './ip.ts';

/** RFC 1112 §4 (multicast) and, above it, RFC 1112 §4 and RFC 919 (reserved, broadcast). */
const FIRST_NOT_UNICAST_V4 = 224;
/** RFC 4291 §2.7. */
const MULTICAST_V6 = 0xff;

/** Why nobody can be reached at an address; `undefined` for one that may lead somewhere, and for one that is not of IP. */
function whyUnroutable(addr: Addr): string | undefined {
  const ip = ipOf(addr);
  if (ip === undefined) return undefined;
  if (portOf(addr) === 0) return 'nobody has port 0';
  if (isUnspecifiedIp(ip)) return 'the unspecified address is for binding only';
  const bytes = ipBytes(ip);
  const limit = bytes?.length === 4 ? FIRST_NOT_UNICAST_V4 : MULTICAST_V6;
  return bytes !== undefined && bytes[0]! >= limit ? 'it is no address of a single host' : undefined;
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
