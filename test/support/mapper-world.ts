/** A host behind a virtual router that maps ports, with a port mapper. */

import { openPortMapper, type PortMapper, type PortMapping, type PortMappingRequest } from '../../src/nat/index.ts';
import type { LinkConfig } from '../../src/net/memory/links.ts';
import type { VirtualHost, VirtualNat } from '../../src/net/virtual/types.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import { VirtualWorld } from './virtual-world.ts';
import { type VirtualRouter, virtualRouter, type VirtualRouterOptions } from './virtual-router.ts';

type RouterOptions = Omit<VirtualRouterOptions, 'realm'>;

/** A host behind a router, and one outside. */
export interface Home {
  readonly world: VirtualWorld;
  readonly nat: VirtualNat;
  readonly router: VirtualRouter;
  readonly host: VirtualHost;
  readonly stranger: VirtualHost;
  readonly mapper: PortMapper;
  /** Asks for a mapping, and waits for the verdict. */
  readonly map: (
    internalPort?: number,
    protocol?: 'udp' | 'tcp',
    more?: Partial<PortMappingRequest>,
  ) => Promise<PortMapping>;
  readonly close: () => Promise<void>;
}

/** Builds one. @param options - of the router */
export async function home(
  options: RouterOptions = {},
  kind: NatKind = 'port',
  ipv6 = false,
  { seed = 1, link }: { readonly seed?: number; readonly link?: LinkConfig } = {},
): Promise<Home> {
  const world = new VirtualWorld({ ipv6, seed });
  const nat = world.net.nat(kind);
  const router = await virtualRouter(nat, { realm: world.realm, ipv6, ...options });
  const host = world.net.host({ behind: nat, link });
  const stranger = world.net.host();
  const { network, realm } = host;
  const mapper = openPortMapper({ network, realm });
  const map = async (
    internalPort = 5000,
    protocol: 'udp' | 'tcp' = 'udp',
    more: Partial<PortMappingRequest> = {},
  ): Promise<PortMapping> => {
    const mapping = mapper.map({ protocol, internalPort, ...more });
    await world.run(mapping.ready);
    return mapping;
  };
  return { world, nat, router, host, stranger, mapper, map, close: () => world.run(mapper.close()) };
}

/** The address of a mapping, as text. */
export function external({ external: at }: PortMapping): string | undefined {
  return at && `${at.ip}:${at.port}`;
}
/** Of each router: which protocol was found. */
export const outcomes = ({ report }: PortMapper): readonly (readonly string[])[] =>
  report.gateways.map(({ protocols }) => protocols.map(({ via, outcome }) => `${via} ${outcome}`));

/** Whether a datagram from outside arrives. */
export async function arrives(
  world: VirtualWorld,
  from: VirtualHost,
  at: VirtualHost,
  port: number,
  to: PortMapping,
): Promise<boolean> {
  const inside = await world.ear(at, port);
  const outside = await world.ear(from);
  if (to.external !== undefined) outside.say('knock', to.external);
  await world.advance(200);
  await Promise.all([inside.socket.close(), outside.socket.close()]);
  return inside.heard.some((line) => line.startsWith('knock'));
}
