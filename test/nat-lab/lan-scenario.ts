/** What the lab of LANs tells of each thing that was tried. */

import type { AvahiService } from './avahi.ts';

/** What a node of a LAN says of a peer. */
export interface Heard {
  readonly heard: string;
  readonly addrs: readonly string[];
  readonly interfaces: readonly string[];
  readonly atMs: number;
}

/** One line of the output. */
export type LanScenario =
  | { readonly name: 'pair'; readonly tookMs: readonly number[]; readonly heard: readonly Heard[] }
  | { readonly name: 'host'; readonly found: readonly (readonly string[])[]; readonly ids: readonly string[] }
  | { readonly name: 'ten'; readonly heard: readonly Heard[]; readonly ids: readonly string[]; readonly id: string }
  | { readonly name: 'ipv6'; readonly heard: Heard }
  | { readonly name: 'moved'; readonly heard: Heard; readonly id: string }
  | { readonly name: 'ttl'; readonly datagrams: number; readonly others: number }
  | { readonly name: 'avahi'; readonly found: readonly AvahiService[]; readonly ids: readonly string[] }
  | { readonly name: 'published'; readonly heard: Heard; readonly id: string }
  | { readonly name: 'missing'; readonly what: string };
