/**
 * Requests and answers over one connection: the TCP and QUIC swarms beside node:tls, `wss` and hyperdht, which encrypt as
 * they do, and beside raw `net` and `ws`, which do not. Two processes each on loopback. The swarms know who is at the other
 * end; of the others only node:tls here and hyperdht do.
 */

import { type Bench, type Claim, type Measure, same } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import { askMeasure, type Load, RequestPair } from './harness/requests.ts';
import { rivalMissing } from './harness/rivals.ts';

const LOADS = [
  { what: '64 B, one after the other', bytes: 64, inFlight: 1 },
  { what: '64 B, 64 in flight', bytes: 64, inFlight: 64 },
  { what: '1 KiB, 64 in flight', bytes: 1024, inFlight: 64 },
] as const satisfies readonly Load[];

const OURS = [
  { kind: 'tcp', label: 'TCP swarm' },
  { kind: 'quic', label: 'QUIC swarm' },
] as const;
const RIVALS = [
  { kind: 'tls', label: 'node:tls' },
  { kind: 'wss', label: 'wss', missing: rivalMissing('requests', 'ws') },
  { kind: 'hyperdht', label: 'hyperdht', missing: rivalMissing('requests', 'hyperdht') },
  { kind: 'net', label: 'raw net' },
  { kind: 'ws', label: 'ws', missing: rivalMissing('requests', 'ws') },
] as const;

function goalOf(own: string, rival: string, { bytes, inFlight }: Load): Claim['goal'] {
  if (own !== 'tcp' || bytes !== 64) return undefined;
  if (rival === 'wss') return { ratio: 1 };
  return rival === 'tls' && inFlight === 1 ? { cpu: 2 } : undefined;
}

const named = (label: string, { what }: Load): string => `${label}: ${what}`;

export const requests: Bench = {
  name: 'requests',
  question: 'How many requests a second go over one connection, compared with node:tls, wss, hyperdht, raw net and ws?',
  prepare: () => {
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const contenders = [...OURS, ...RIVALS, { kind: 'tls', label: 'node:tls again' }].map((each) => ({
      ...each,
      pair: new Lazy(() => RequestPair.start(each.kind)),
    }));
    for (const load of LOADS) {
      for (const contender of contenders) {
        const missing = 'missing' in contender ? contender.missing : undefined;
        measures.push(askMeasure(named(contender.label, load), contender.pair, load, missing));
      }
      for (const own of OURS) {
        for (const rival of RIVALS) {
          const goal = goalOf(own.kind, rival.kind, load);
          claims.push({ subject: named(own.label, load), baseline: named(rival.label, load), goal });
        }
      }
    }
    return {
      measures,
      claims,
      controls: LOADS.map((load) => same(named('node:tls again', load), named('node:tls', load), load.what)),
      [Symbol.asyncDispose]: () => endAll(contenders.map(({ pair }) => pair)),
    };
  },
};
