/** Who may bind where, for UDP and TCP alike. */

/** How a socket shares its port. */
export interface Sharing {
  readonly reusePort?: boolean | undefined;
  readonly reuseAddress?: boolean | undefined;
}

/** How a socket shares its port, and which addresses it takes. */
export interface Bound extends Sharing {
  readonly bind: { readonly ip: string };
  readonly ipv6Only?: boolean | undefined;
}

/** Whether two sockets of one port exclude each other. */
export function excludes(a: Bound, b: Bound): boolean {
  const isSplit = (one: Bound, other: Bound): boolean => one.ipv6Only === true && !other.bind.ip.includes(':');
  return overlaps(a.bind.ip, b.bind.ip) && !isSplit(a, b) && !isSplit(b, a) && !canShare(a, b);
}

/** Whether two addresses of one port would get the same packets: `::` is everything, `0.0.0.0` all of IPv4. */
export function overlaps(a: string, b: string): boolean {
  return a === b || covers(a, b) || covers(b, a);
}

function covers(wildcard: string, ip: string): boolean {
  return wildcard === '::' || (wildcard === '0.0.0.0' && !ip.includes(':'));
}

/** Whether both sockets agree to share. */
export function canShare(a: Sharing, b: Sharing): boolean {
  return (a.reusePort === true && b.reusePort === true) || (a.reuseAddress === true && b.reuseAddress === true);
}

const FIRST_EPHEMERAL_PORT = 49_152;
const LAST_PORT = 65_535;

/** The next free ephemeral port after the last one; `undefined` when all are taken. */
export function freePort(isFree: (port: number) => boolean, counter: { lastPort: number }): number | undefined {
  for (let tried = FIRST_EPHEMERAL_PORT; tried <= LAST_PORT; tried++) {
    counter.lastPort = counter.lastPort >= LAST_PORT ? FIRST_EPHEMERAL_PORT : counter.lastPort + 1;
    if (isFree(counter.lastPort)) return counter.lastPort;
  }
  return undefined;
}

/** Behind this port the first search begins. */
export const BEFORE_FIRST_PORT: number = FIRST_EPHEMERAL_PORT - 1;
