/**
 * How many datagrams a second does the UDP swarm send and receive?
 *
 * Sender and receiver are two processes. Baseline: raw node:dgram sockets, unconnected, with a synchronous lookup and the
 * same buffers, in the same two processes, by turns. What is sent is counted while the sender is busy, what is received
 * from the first to the last arrival. Control: a paced trickle arrives whole through both.
 */

import type { Bench } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import { datagramMeasure, DatagramPair } from './harness/datagrams.ts';

const BYTES = 1200;
const GOAL = 0.95;
const TRICKLE = 2000;

export const udpPackets: Bench = {
  name: 'udp-packets',
  question: `datagrams of ${BYTES} bytes over loopback between two processes, against raw node:dgram`,
  prepare: () => {
    const links = (['raw', 'udp'] as const).map((link) => {
      const label = link === 'raw' ? 'raw dgram' : 'UDP swarm';
      const share: number[] = [];
      const state = { label, whole: 0, share };
      const pair = new Lazy(async () => {
        const started = await DatagramPair.start(link);
        state.whole = await started.trickle(TRICKLE, BYTES);
        return started;
      });
      return Object.assign(state, { pair });
    });
    const unit = 'packets/s';
    return {
      // What is received is of the flood whose sending was measured before.
      measures: links.flatMap(({ label, pair, share }) => [
        datagramMeasure(`${label}, sent`, unit, pair, async (both) => {
          const { sent, received } = await both.flood(BYTES);
          share.push(received.operations! / sent.operations!);
          return sent;
        }),
        datagramMeasure(`${label}, received`, unit, pair, ({ received }) => received),
      ]),
      claims: [
        { subject: 'UDP swarm, sent', baseline: 'raw dgram, sent', goal: { ratio: GOAL } },
        { subject: 'UDP swarm, received', baseline: 'raw dgram, received', goal: { ratio: GOAL } },
      ],
      controls: [
        {
          what: `${TRICKLE} paced packets arrive whole`,
          needs: links.map(({ label }) => `${label}, sent`),
          holds: () => links.every(({ whole }) => whole === TRICKLE),
        },
      ],
      notes: () =>
        links.map(({ label, share }) => {
          const mean = share.reduce((sum, each) => sum + each, 0) / share.length;
          return `${label}: ${(100 * mean).toFixed(0)} % of what was sent was received; the rest overran the socket buffer`;
        }),
      [Symbol.asyncDispose]: () => endAll(links.map(({ pair }) => pair)),
    };
  },
};
