/** The records of one service on one interface (RFC 6763), and what they are compared by. */

import { type Bytes, equalBytes, toHex } from '../../base/bytes.ts';
import { ipBytes } from '../../base/ip.ts';
import { DNS_TYPE, type DnsQuestion, type DnsRecord, encodeName, nameKey, srvData, txtData } from './message.ts';

/** RFC 6762 §10: records that name a host, and others. */
export const HOST_TTL_S = 120;
export const OTHER_TTL_S = 4500;
/** RFC 6763 §9. */
const META_NAME = '_services._dns-sd._udp.local';

/** What is announced on an interface. */
export interface MdnsService {
  /** Of the SRV record. */
  readonly port: number;
  /** Strings of at most 255 bytes. */
  readonly txt: readonly string[];
  /** The addresses of the host there, without zones. */
  readonly ips: readonly string[];
}

/** The records of a service, by what they are for. */
export interface ServiceRecords {
  /** That there is such a type of service (RFC 6763 §9). */
  readonly meta: DnsRecord;
  /** That there is this instance of it. */
  readonly pointer: DnsRecord;
  readonly location: DnsRecord;
  readonly text: DnsRecord;
  readonly hosts: readonly DnsRecord[];
}

/**
 * @param type - `_shoal._udp.local`.
 * @param label - of the instance and of the host: no other host has it.
 */
export function serviceRecords(type: string, label: string, { port, txt, ips }: MdnsService): ServiceRecords {
  const [instance, host] = [`${label}.${type}`, `${label}.local`];
  return {
    meta: shared(META_NAME, type),
    pointer: shared(type, instance),
    location: unique(instance, DNS_TYPE.SRV, HOST_TTL_S, srvData(port, host)),
    text: unique(instance, DNS_TYPE.TXT, OTHER_TTL_S, txtData(txt)),
    hosts: ips.flatMap((ip) => {
      const data = ipBytes(ip);
      if (data === undefined) return [];
      return [unique(host, data.length === 4 ? DNS_TYPE.A : DNS_TYPE.AAAA, HOST_TTL_S, Uint8Array.from(data))];
    }),
  };
}

function shared(name: string, target: string): DnsRecord {
  return { name, type: DNS_TYPE.PTR, isUnique: false, ttlS: OTHER_TTL_S, data: encodeName(target) };
}

function unique(name: string, type: number, ttlS: number, data: Bytes): DnsRecord {
  return { name, type, isUnique: true, ttlS, data };
}

/** All of them, the most important first. */
export function allRecords({ meta, pointer, location, text, hosts }: ServiceRecords): readonly DnsRecord[] {
  return [pointer, location, text, ...hosts, meta];
}

/** Those that a question asks for. */
export function recordsFor({ name, type }: DnsQuestion, records: ServiceRecords): readonly DnsRecord[] {
  const key = nameKey(name);
  return allRecords(records).filter(
    (record) => nameKey(record.name) === key && (type === DNS_TYPE.ANY || type === record.type),
  );
}

/** What is useful to know with these answers (RFC 6763 §12). */
export function additionalFor(answers: readonly DnsRecord[], records: ServiceRecords): readonly DnsRecord[] {
  const { pointer, location, text, hosts } = records;
  const useful = answers.includes(pointer) ? [location, text, ...hosts] : answers.includes(location) ? hosts : [];
  return useful.filter((record) => !answers.includes(record));
}

/** Whether two records say the same, whatever their TTL. */
export function isSameRecord(a: DnsRecord, b: DnsRecord): boolean {
  return a.type === b.type && nameKey(a.name) === nameKey(b.name) && equalBytes(a.data, b.data);
}

/** A text that is the same for records that say the same. */
export function recordKey({ name, type, data }: DnsRecord): string {
  return `${type} ${nameKey(name)} ${toHex(data)}`;
}
