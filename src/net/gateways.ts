/** The routers by which this machine reaches other networks. */

import { readFileSync } from 'node:fs';

import { fromHex } from '../base/bytes.ts';
import { ipOfBytes, isLinkLocalIp } from '../base/ip.ts';
import { firstAddresses, MAX_GATEWAYS } from './default-gateways.ts';
import { systemInterfaces } from './interfaces.ts';

/** What is read of a table of routes. */
const MAX_LINES = 4096;

/** The default gateways: from the routes of Linux; elsewhere the first address of each private network. */
export function systemGateways(): readonly string[] {
  if (process.platform !== 'linux') return firstAddresses(systemInterfaces());
  const found = [...ipv4Gateways(table('/proc/net/route')), ...ipv6Gateways(table('/proc/net/ipv6_route'))];
  return [...new Set(found)].slice(0, MAX_GATEWAYS);
}

function table(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // A system without the family.
  }
}

/** RTF_GATEWAY of Linux. */
const HAS_GATEWAY = 2;

/** Those of `/proc/net/route`: interface, destination, gateway, flags …, mask; IPs are numbers in the byte order of the machine. */
export function ipv4Gateways(text: string): readonly string[] {
  return text.split('\n', MAX_LINES).flatMap((line) => {
    const [, destination, gateway, flags, , , , mask] = line.trim().split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000' || !/^[0-9A-F]{8}$/i.test(gateway ?? '')) return [];
    if ((Number.parseInt(flags ?? '', 16) & HAS_GATEWAY) === 0) return [];
    return ipOfBytes(fromHex(gateway!).toReversed()) ?? [];
  });
}

/** Those of `/proc/net/ipv6_route`: destination, its bits, source, its bits, next hop, four numbers, interface. */
export function ipv6Gateways(text: string): readonly string[] {
  return text.split('\n', MAX_LINES).flatMap((line) => {
    const [destination, bits, , , nextHop, , , , , name] = line.trim().split(/\s+/);
    if (name === undefined || bits !== '00' || !/^0{32}$/.test(destination!) || !/^[0-9a-f]{32}$/i.test(nextHop!))
      return [];
    const ip = ipOfBytes(fromHex(nextHop!));
    if (ip === undefined || ip === '::') return [];
    return isLinkLocalIp(ip) ? `${ip}%${name}` : ip;
  });
}
