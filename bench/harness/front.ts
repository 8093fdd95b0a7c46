/** The rows that a user cares about: `--quick` measures only these, and the picture shows only these. */

import type { Claim } from './bench.ts';

/** What they are beside. */
export const GROUPS = ['beside Rust', 'beside JavaScript', 'beside raw sockets'] as const;

/** A claim of a bench, and what it is called in the picture. */
export interface FrontRow {
  readonly group: (typeof GROUPS)[number];
  readonly bench: string;
  readonly subject: string;
  readonly baseline: string;
  readonly label: string;
}

export const FRONT: readonly FrontRow[] = [
  {
    group: 'beside Rust',
    bench: 'endpoint',
    subject: 'shoal: request, 64 B, one',
    baseline: 'qp2p: request, 64 B, one',
    label: 'requests of 64 B, one after the other, QUIC endpoint : qp2p',
  },
  {
    group: 'beside Rust',
    bench: 'quic-swarm',
    subject: 'shoal: 1 MiB',
    baseline: 'libp2p-quic: 1 MiB',
    label: 'asks of 1 MiB, 4 in flight, QUIC swarm : libp2p-quic',
  },
  {
    group: 'beside Rust',
    bench: 'quic-swarm',
    subject: 'shoal: handshakes',
    baseline: 'libp2p-quic: handshakes',
    label: 'handshakes, one after the other, QUIC swarm : libp2p-quic',
  },
  {
    group: 'beside Rust',
    bench: 'quic-swarm',
    subject: 'shoal: 32 B, 64 in flight',
    baseline: 'iroh: 32 B, 64 in flight',
    label: 'asks of 32 B, 64 in flight, QUIC swarm : iroh',
  },
  {
    group: 'beside Rust',
    bench: 'node-messages',
    subject: '32 KiB, shoal to shoal',
    baseline: '32 KiB, pea2pea to pea2pea',
    label: 'messages of 32 KiB, TCP node : pea2pea',
  },
  {
    group: 'beside JavaScript',
    bench: 'requests',
    subject: 'TCP swarm: 64 B, one after the other',
    baseline: 'wss: 64 B, one after the other',
    label: 'asks of 64 B, one after the other, TCP swarm : wss',
  },
  {
    group: 'beside JavaScript',
    bench: 'requests',
    subject: 'TCP swarm: 64 B, 64 in flight',
    baseline: 'wss: 64 B, 64 in flight',
    label: 'asks of 64 B, 64 in flight, TCP swarm : wss',
  },
  {
    group: 'beside JavaScript',
    bench: 'requests',
    subject: 'TCP swarm: 64 B, one after the other',
    baseline: 'node:tls: 64 B, one after the other',
    label: 'asks of 64 B, one after the other, TCP swarm : node:tls',
  },
  {
    group: 'beside JavaScript',
    bench: 'tcp-swarm',
    subject: 'TCP swarm: 64 B',
    baseline: 'js-libp2p, Noise: 64 B',
    label: 'messages of 64 B, TCP swarm : js-libp2p',
  },
  {
    group: 'beside raw sockets',
    bench: 'node-life',
    subject: 'round trips, shoal',
    baseline: 'round trips, raw',
    label: 'round trips of 32 B, median, TCP node : net',
  },
  {
    group: 'beside raw sockets',
    bench: 'udp-packets',
    subject: 'UDP swarm, received',
    baseline: 'raw dgram, received',
    label: 'datagrams of 1200 B received, UDP swarm : dgram',
  },
  {
    group: 'beside raw sockets',
    bench: 'asks',
    subject: 'mbapp, WASM: 64 B, one after the other',
    baseline: 'raw dgram: 64 B, one after the other',
    label: 'asks of 64 B, one after the other, mbapp and p2pke : dgram',
  },
];

/** The front row of a claim, if it is one. */
export function frontRowOf(
  bench: string,
  { subject, baseline }: Pick<Claim, 'subject' | 'baseline'>,
): FrontRow | undefined {
  return FRONT.find((row) => row.bench === bench && row.subject === subject && row.baseline === baseline);
}
