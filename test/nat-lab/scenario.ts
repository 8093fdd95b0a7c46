/** What the lab tells of each thing that was tried. */

import type { SocketAddress } from '../../src/base/ip.ts';
import type { NatReport } from '../../src/nat/index.ts';
import type { NatVerdict } from '../support/nat-probe.ts';
import type { KernelNatKind } from './nft-rules.ts';

/** The kinds in the lab, in the order of their addresses. */
export const KERNEL_KINDS: readonly KernelNatKind[] = [
  'full',
  'address',
  'port',
  'sequential',
  'random',
  'udp-blocked',
  '443-only',
];

/** What a peer tells that has asked another one through a TURN server. */
export interface TurnResult {
  readonly answers: number;
  readonly bytes: number;
  readonly relayed: string;
  readonly mapped: SocketAddress | undefined;
}

/** What became of a punch between two hosts. */
export interface PunchedPair {
  readonly a: string;
  readonly b: string;
  /** Of the initiator, when both are through. */
  readonly tookMs?: number;
  readonly probes?: number;
  readonly rttMs?: number;
  /** What each heard of the other one by the path. */
  readonly heard?: readonly string[];
  /** Why it failed, on both sides. */
  readonly why?: string;
}

/** One line of the output. */
export type Scenario =
  | { readonly name: 'verdict'; readonly kind: string; readonly protocol: 'udp' | 'tcp'; readonly verdict: NatVerdict }
  | { readonly name: 'report'; readonly kind: string; readonly report: Pick<NatReport, 'paths' | 'summary'> }
  | { readonly name: 'program'; readonly program: string; readonly kind: string; readonly said: string }
  | { readonly name: 'coturn'; readonly udp: SocketAddress; readonly tcp: SocketAddress }
  | ({ readonly name: 'turn'; readonly mode: string; readonly transport: string } & TurnResult)
  | { readonly name: 'ipv6'; readonly both: readonly number[]; readonly one: readonly number[] }
  | { readonly name: 'gateway'; readonly upnp: string; readonly pmp: string }
  | { readonly name: 'wire'; readonly rttMs: number }
  | { readonly name: 'reboot'; readonly before: NatVerdict; readonly after: NatVerdict }
  | { readonly name: 'punch'; readonly protocol: 'udp' | 'tcp'; readonly pair: PunchedPair }
  | { readonly name: 'missing'; readonly what: string };
