/** A NAT with its LAN, and LANs by themselves. */

import { describeValue, wholeNumber } from '../../base/checks.ts';
import { canonicalIp } from '../../base/ip.ts';
import { Gateway } from './gateway.ts';
import { HostStack } from './host-stack.ts';
import { type NatKind, resolveNatRules } from './nat-rules.ts';
import { type Site, subnetText } from './site.ts';
import type { VirtualLan, VirtualLanOptions, VirtualNat, VirtualNatOptions } from './types.ts';

/** @throws {TypeError | RangeError} for wrong options. */
export function createVirtualNat(site: Site, kind: NatKind, options: VirtualNatOptions): VirtualNat {
  const { name = site.nameOf('nat'), behind, ip, link, ipv6, subnet, lanLatencyMs, ...rules } = options;
  const place = site.placeOf(behind);
  const { wire, tcpWindowBytes } = site;
  const hasIpv6 = site.ipv6At(place, ipv6, name);
  const router = new HostStack({ name: `${name} router`, wire, hasIpv6, tcpWindowBytes });
  const gateway = new Gateway(name, wire, resolveNatRules(kind, rules), router);
  const outside = site.attach(gateway, 'wan', { behind, ip, link }, { ipv4: true, ipv6: false });
  gateway.attachOutside(outside);
  const depth = place.depth + 1;
  const inside = site.makeLan({
    name: `${name} lan`,
    gateway,
    depth,
    subnet,
    defaultNumber: depth,
    hasIpv6,
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
    network: router,
    setLink: (config) => outside.setLink(config),
    forward: (protocol, port, to) => {
      const ip = canonicalIp(to.ip);
      if (ip === undefined)
        throw new TypeError(`Cannot take to: expected an IP and a port, got ${describeValue(to.ip)}`);
      wholeNumber(port, 'port', 0, 1, 65_535);
      const close = gateway.forward(protocol, port, wire.addrs.get(ip, wholeNumber(to.port, 'port', 0, 1, 65_535)));
      if (close === undefined) throw new RangeError(`Cannot forward port ${port}: ${name} has another use for it`);
      return { [Symbol.dispose]: close };
    },
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
