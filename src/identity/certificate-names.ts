/** Checks whether a certificate is valid for a name: RFC 9525, names in subjectAltName only. */

import { equalBytes } from '../base/bytes.ts';
import { canonicalIp, ipBytes } from '../base/ip.ts';
import type { Profile } from './certificate-profile.ts';
import { contextTag } from './der.ts';

const DNS_NAME = contextTag(2, false);
const IP_ADDRESS = contextTag(7, false);
/** RFC 1035 §2.3.4. */
const MAX_NAME_BYTES = 253;
/** Letters, digits and hyphens in labels (RFC 5280 §4.2.1.6), in lower case. */
const HOST_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Lower case for ASCII letters only: some other characters have an ASCII letter as their lower case (U+212A and k). */
function lowerCase(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Whether one of the names equals `serverName`, a DNS name or an IP. Never throws. */
export function matchesServerName({ names }: Pick<Profile, 'names'>, serverName: string): boolean {
  const ip = canonicalIp(serverName);
  if (ip !== undefined) {
    const bytes = ipBytes(ip)!;
    return names.some(({ tag, value }) => tag === IP_ADDRESS && equalBytes(value, bytes));
  }
  const wanted = lowerCase(serverName).replace(/\.$/, '');
  if (!HOST_NAME.test(wanted)) return false;
  return names.some(({ tag, value }) => {
    if (tag !== DNS_NAME || value.length > MAX_NAME_BYTES) return false;
    return matchesPattern(lowerCase(String.fromCharCode(...value)), wanted);
  });
}

/** A `*` may be the complete first label. */
function matchesPattern(pattern: string, name: string): boolean {
  if (!pattern.startsWith('*.')) return pattern === name;
  const dot = name.indexOf('.');
  // A wildcard matches one label, and never all of a top-level domain.
  return dot > 0 && name.slice(dot) === pattern.slice(1) && pattern.slice(2).includes('.');
}
