/** What port mapping says in sentences: why there is no mapping, and what would help. */

import { isLinkLocalIp, isPrivateIp, isSharedIp } from '../base/ip.ts';
import type { MappingFailure } from '../protocols/port-mapping/types.ts';

/** By failure: what follows the router's name, and what follows what it said. */
const TEXTS: Readonly<Record<Exclude<MappingFailure, 'no_gateway'>, readonly [what: string, helps: string]>> = {
  no_answer: [
    'does not answer to PCP, NAT-PMP or UPnP',
    ': enable one of them on the router, or forward the port there by hand',
  ],
  too_slow: ['answers too slowly', ': it was given up after 3 s'],
  malformed: ['sends answers that cannot be read', ''],
  refused: ['refuses to map this port', ': its settings forbid it, often for ports below 1024'],
  conflict: ['has other uses for the ports that were asked for', ': ask for another external port'],
  no_resources: ['has no room for another mapping', ': remove some of its mappings'],
  no_external_address: [
    'has no public address of its own',
    ': it is offline, or behind another NAT, and only that one could map',
  ],
  other_source: ['sees requests of this host come from another address', ': there is a NAT in between'],
  unsupported: ['cannot map this', ''],
  router_error: ['failed', ''],
};

/** Why there is no mapping. @param gateway - the router that is meant; @param detail - what it said. */
export function failureText(failure: MappingFailure, gateway: string | undefined, detail: string | undefined): string {
  if (failure === 'no_gateway') return 'This host has no router of that family that could be asked';
  const [what, helps] = TEXTS[failure];
  const router = gateway === undefined ? 'The router' : `The router ${gateway}`;
  return `${router} ${what}${detail === undefined ? '' : ` (${detail})`}${helps}`;
}

/**
 * Why a mapping is behind another NAT, so that the internet does not reach it; `undefined` when it is not, as far as can be known.
 *
 * @param external - the address outside, of IPv4.
 * @param observed - under which others see this host.
 */
export function doubleNatText(external: string, observed: string | undefined): string | undefined {
  const helps =
    'only hosts behind that NAT reach the mapping; a mapping there, or a public address from the provider, would help';
  if (isPrivateIp(external) || isLinkLocalIp(external)) {
    return `The router's address outside is ${external}, a private one: it is behind another NAT, and ${helps}`;
  }
  if (isSharedIp(external)) {
    return `The router's address outside is ${external}: it is behind the NAT of the provider (CGNAT), and ${helps}`;
  }
  if (observed !== undefined && observed !== external) {
    return `The router says that its address is ${external}, but others see this host as ${observed}: there is another NAT, and ${helps}`;
  }
  return undefined;
}
