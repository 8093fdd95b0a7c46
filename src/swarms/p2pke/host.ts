/** The host of an address, for shares. */

import { type Addr, ipOf } from '../../core/addr.ts';

/** The IP of an address; where there are no IPs, the address itself. */
export function hostOf(addr: Addr): string {
  return ipOf(addr) ?? addr.text;
}
