/** Lists of peers and addresses that are left out. */

import { canonicalIp, formatSocketAddress, ipBytes } from '../base/ip.ts';
import { assertString, describeValue } from '../base/checks.ts';
import { type IpPrefix, isInPrefix, parseIpPrefix } from '../base/ip-prefix.ts';
import type { Candidate } from '../core/candidate.ts';
import { isPeerId } from '../core/peer-id.ts';
import { socketAddressIn } from './addr-text.ts';

/** Entries of one blacklist. */
const MAX_ENTRIES = 65_536;

/**
 * Makes a test whether a candidate is on a list.
 *
 * @param entries - PeerIDs, IPs, prefixes (`192.0.2.0/24`) and addresses (`192.0.2.1:4000`, `<PeerID>@192.0.2.1:4000`).
 * @throws {TypeError} for any other entry. @throws {RangeError} for more than 65 536 entries.
 */
export function blacklistOf(entries: readonly string[]): (candidate: Pick<Candidate, 'id' | 'addr'>) => boolean {
  if (!Array.isArray(entries)) {
    throw new TypeError(`Cannot take blacklist: expected an array, got ${describeValue(entries)}`);
  }
  if (entries.length > MAX_ENTRIES) {
    throw new RangeError(`Cannot take blacklist: expected up to ${MAX_ENTRIES} entries, got ${entries.length}`);
  }
  // Bounded by the entries.
  const exact = new Set<string>();
  const prefixes: IpPrefix[] = [];
  for (const [i, entry] of (entries as readonly unknown[]).entries()) {
    assertString(entry, `blacklist[${i}]`);
    const ip = canonicalIp(entry);
    const prefix = parseIpPrefix(entry);
    const socket = socketAddressIn(entry);
    if (isPeerId(entry)) exact.add(entry);
    else if (ip !== undefined) exact.add(ip);
    else if (prefix !== undefined) prefixes.push(prefix);
    else if (socket !== undefined) exact.add(entry.includes('@') ? entry : formatSocketAddress(socket.ip, socket.port));
    else {
      const expected = 'expected a PeerID, an IP, a prefix or an address';
      throw new TypeError(`Cannot take blacklist[${i}]: ${expected}, got ${describeValue(entry)}`);
    }
  }
  return ({ id, addr }) => {
    if (exact.has(addr) || (id !== undefined && exact.has(id))) return true;
    const socket = socketAddressIn(addr);
    if (socket === undefined) return false;
    const { ip, port } = socket;
    const bytes = ipBytes(ip)!;
    return (
      exact.has(ip) || exact.has(formatSocketAddress(ip, port)) || prefixes.some((each) => isInPrefix(bytes, each))
    );
  };
}
