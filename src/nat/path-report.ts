/** What a NAT report says. */

import type { NetworkInterface } from '../net/network.ts';
import type { AddressVerdict, MappingVerdict } from '../protocols/reachability/observed-addresses.ts';
import type { Certainty } from '../protocols/reachability/votes.ts';

/** What became of a question. */
export interface ObserverOutcome {
  readonly observer: string;
  /** The address that it saw, `ip:port`; absent when it did not answer. */
  readonly mapped?: string | undefined;
  readonly rttMs?: number | undefined;
  /** Why there is no answer: the error's code. */
  readonly failed?: string | undefined;
}

/**
 * How a NAT or firewall filters what comes (RFC 4787 §5): it lets in every host, only IPs, or only IPs with ports to which
 * the socket has sent.
 */
export type FilteringBehavior = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** What is known of one family over one transport. */
export interface PathReport {
  readonly transport: 'udp' | 'tcp';
  readonly family: 4 | 6;
  readonly observers: readonly ObserverOutcome[];
  readonly address: AddressVerdict | undefined;
  readonly mapping: MappingVerdict | undefined;
  /** Known over UDP, where an observer has a second address. */
  readonly filtering: { readonly behavior: FilteringBehavior; readonly certainty: Certainty } | undefined;
  /** Whether a datagram to the own mapped address comes back: peers behind the same NAT then reach each other by it. */
  readonly hairpin: boolean | undefined;
}

/** What one side can know of its network. */
export interface NatReport {
  readonly interfaces: readonly NetworkInterface[];
  readonly paths: readonly PathReport[];
  /** What the findings mean, one sentence each. */
  readonly summary: readonly string[];
}
