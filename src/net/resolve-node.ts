/** DNS names by the resolver of this system, which also reads its hosts file. */

import { lookup } from 'node:dns/promises';

/**
 * Resolves a DNS name.
 *
 * @returns its IPs, in the order of the system.
 * @throws {Error} (by rejection) the error of node:dns when the name has none.
 */
export async function resolveName(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address }) => address);
}
