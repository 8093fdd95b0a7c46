/** Ports of this node that routers forward. */

import { formatSocketAddress, ipVersion, isGlobalIp } from '../base/ip.ts';
import { portOf } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PortMapper, PortMapping } from '../nat/port-mapping.ts';
import type { Network } from '../net/network.ts';
import type { Transport } from './transport.ts';

/** Which protocol each own transport uses. */
const PROTOCOLS: Readonly<Record<string, 'tcp' | 'udp'>> = { tcp: 'tcp', quic: 'udp' };

export class PortMappings {
  readonly #id: PeerId;
  readonly #network: Network;
  readonly #mapper: PortMapper;
  readonly #onChange: () => void;
  /** Bounded by the own transports. */
  readonly #mappings = new Map<Transport, readonly PortMapping[]>();

  constructor(id: PeerId, network: Network, mapper: PortMapper, onChange: () => void) {
    this.#id = id;
    this.#network = network;
    this.#mapper = mapper;
    this.#onChange = onChange;
  }

  /** Maps the ports of the transports that are open, and lets go of the others. */
  update(transports: readonly Transport[]): void {
    for (const [transport, mappings] of this.#mappings) {
      if (transports.includes(transport)) continue;
      this.#mappings.delete(transport);
      for (const mapping of mappings) void mapping.close();
    }
    for (const transport of transports) {
      const protocol = PROTOCOLS[transport.name];
      if (!transport.isOwn || protocol === undefined || this.#mappings.has(transport)) continue;
      const internalPort = portOf(transport.swarm.addr);
      if (internalPort === undefined) continue;
      const families = hasIpv6(this.#network) ? ([4, 6] as const) : ([4] as const);
      const mappings = families.map((family) =>
        this.#mapper.map({ protocol, internalPort, family, externalPort: internalPort }),
      );
      for (const mapping of mappings) mapping.onChange(this.#onChange);
      this.#mappings.set(transport, mappings);
    }
  }

  /** Addresses outside, with the name of their transport. Those behind another NAT lead nowhere. */
  addrs(): readonly string[] {
    const addrs: string[] = [];
    for (const [{ name }, mappings] of this.#mappings) {
      for (const { external, doubleNat } of mappings) {
        if (external === undefined || doubleNat) continue;
        addrs.push(`${name}://${this.#id}@${formatSocketAddress(external.ip, external.port)}`);
      }
    }
    return addrs;
  }

  /** Why ports are not mapped, as sentences. */
  get reasons(): readonly string[] {
    const reasons = [...this.#mappings.values()].flat().map(({ reason }) => reason);
    return [...new Set(reasons.filter((reason) => reason !== undefined))];
  }

  get size(): number {
    return this.#mappings.size;
  }

  /** Removes the mappings from the routers. Never rejects. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#mappings.values()].flat().map((mapping) => mapping.close()));
  }
}

/** Whether this host has a public IPv6 address, for which a firewall may need a pinhole. */
function hasIpv6(network: Network): boolean {
  return network.interfaces().some(({ ip, isInternal }) => !isInternal && ipVersion(ip) === 6 && isGlobalIp(ip));
}
