/** What the text of an address says without the swarm that parses it. */

import { parseSocketAddress, type SocketAddress } from '../base/ip.ts';
import { type Addr, type IpAddr, makeAddr } from '../core/addr.ts';

/** The IP and port at the end of an address text; `undefined` when the text has no port. */
export function socketAddressIn(text: string): SocketAddress | undefined {
  const start = Math.max(text.lastIndexOf('@') + 1, text.lastIndexOf('://') + 3);
  return parseSocketAddress(start === 2 ? text : text.slice(start));
}

/** An address with the IP and port of a text, or with the text alone, for rules that need no more. */
export function plainAddr(text: string): Addr {
  const socket = socketAddressIn(text);
  return socket === undefined ? makeAddr<Addr>({ text }) : makeAddr<IpAddr>({ ...socket, text });
}
