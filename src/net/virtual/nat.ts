/** A NAT with its LAN, and LANs by themselves. */

import { Gateway } from './gateway.ts';
import { type NatKind, resolveNatRules } from './nat-rules.ts';
import { type Site, subnetText } from './site.ts';
import { type VirtualLan, type VirtualLanOptions, type VirtualNat, type VirtualNatOptions } from './types.ts';

/** @throws {TypeError | RangeError} for wrong options. */
export function createVirtualNat(site: Site, kind: NatKind, options: VirtualNatOptions): VirtualNat {
  const { name = site.nameOf('nat'), behind, ip, link, ipv6, subnet, lanLatencyMs, ...rules } = options;
  const place = site.placeOf(behind);
  const gateway = new Gateway(name, site.wire, resolveNatRules(kind, rules));
  const outside = site.attach(gateway, 'wan', { behind, ip, link }, { ipv4: true, ipv6: false });
  gateway.attachOutside(outside);
  const depth = place.depth + 1;
  const inside = site.makeLan({
    name: `${name} lan`,
    gateway,
    depth,
    subnet,
    defaultNumber: depth,
    hasIpv6: site.ipv6At(place, ipv6, name),
    latencyMs: lanLatencyMs,
  });
  const nat: VirtualNat = {
    name,
    counters: gateway.counters,
    get ip() {
      return outside.ips[0]!.ip;
    },
    get mappings() {
      return gateway.mappings;
    },
    setLink: (config) => outside.setLink(config),
    reboot: () => gateway.reboot(),
    renumber: () => {
      gateway.reboot();
      site.renumber(outside);
    },
  };
  site.setPlace(nat, inside);
  return nat;
}

/** @throws {TypeError | RangeError} for wrong options. */
export function createVirtualLan(site: Site, options: VirtualLanOptions): VirtualLan {
  const { name = site.nameOf('lan'), behind, subnet, ipv6, latencyMs } = options;
  const place = behind === undefined ? undefined : site.placeOf(behind);
  const gateway = place?.gateway;
  const made = site.makeLan({
    name,
    gateway,
    depth: place?.depth ?? 0,
    subnet,
    // The LANs of one NAT have different numbers.
    defaultNumber: place === undefined ? 1 : 16 * gateway!.lans + place.depth,
    hasIpv6: place === undefined ? (ipv6 ?? site.hasIpv6) : site.ipv6At(place, ipv6, name),
    latencyMs,
  });
  const lan: VirtualLan = { name, subnet: subnetText(made.segment.subnet!) };
  site.setPlace(lan, made);
  return lan;
}
