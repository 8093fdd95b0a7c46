/**
 * Figures of the original go-p2p, recorded once on another two-core machine, in one process, on loopback. No registry has
 * that library, so it cannot run beside us: these stand in a column of their own, and no ratio is made of them.
 */

/** By bench and subject, as they are written in results. */
const RECORDED: readonly {
  readonly bench: string;
  readonly subject: RegExp;
  readonly figure: string;
}[] = [
  { bench: 'memory-tell', subject: /tell \+ receive/, figure: '1.34 M/s (vswarm, 745 ns)' },
  { bench: 'p2pke-machine', subject: /^64 B, node:crypto/, figure: '1.53 M/s' },
  { bench: 'p2pke-machine', subject: /^1200 B, node:crypto/, figure: '407 k/s' },
  { bench: 'p2pke-machine', subject: /^16384 B, node:crypto/, figure: '57 k/s' },
  { bench: 'p2pke-machine', subject: /^handshake/, figure: '1491/s' },
  { bench: 'p2pke-udp', subject: /^p2pke, node:crypto/, figure: '24 k/s' },
  { bench: 'asks', subject: /^mbapp, node:crypto: 64 B, one/, figure: '3.7 k/s' },
  { bench: 'asks', subject: /^mbapp, node:crypto: 64 B, 8/, figure: '5.1 k/s' },
  { bench: 'asks', subject: /^mbapp, node:crypto: 16 KiB, one/, figure: '657/s' },
  { bench: 'quic-swarm', subject: /^shoal: asks\/s, 32 B, one/, figure: '24/s, stalls after 100' },
];

/** What the original did; empty where it was not measured. */
export function recordedOf(bench: string, subject: string): string {
  return RECORDED.find((each) => each.bench === bench && each.subject.test(subject))?.figure ?? '';
}
