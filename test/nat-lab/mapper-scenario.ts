/** What the lab of port mapping tells. */

import type { SocketAddress } from '../../src/base/ip.ts';
import type { PortMapperReport } from '../../src/nat/index.ts';

/** What `map.ts` says. */
export interface MapLine {
  readonly event: string;
  readonly ms: number;
  readonly mappings: readonly {
    readonly external?: SocketAddress;
    readonly via?: string;
    readonly reason?: string;
    readonly doubleNat: boolean;
  }[];
  readonly gateways: PortMapperReport['gateways'];
}

/** What came back through the mappings. */
export interface Knock {
  readonly udp?: string;
  readonly tcp?: string;
}

/** One line of the output. */
export type MapperScenario =
  | {
      readonly name: 'mapped';
      readonly via: string;
      readonly family: 4 | 6;
      readonly verdict: MapLine;
      readonly through: Knock;
      /** What `upnpc -l` lists, and the address that `natpmpc` hears: while it is mapped, after a restart, at the end. */
      readonly listed: readonly [before: string, restarted: string, after: string];
      readonly again: Knock;
      readonly publicAddress: string;
      /** From the start of the router to the mapping that is there again. */
      readonly remadeMs: number;
      readonly closed: MapLine;
    }
  | { readonly name: 'command'; readonly said: string; readonly after: string }
  | { readonly name: 'double'; readonly verdict: MapLine }
  | {
      readonly name: 'rival';
      readonly step: string;
      readonly ms: number;
      readonly value?: string;
      readonly error?: string;
    }
  | { readonly name: 'missing'; readonly what: string };
