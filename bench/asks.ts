/** Asks over mbapp, p2pke and UDP beside a bare dgram request and response, both ends in processes of their own. */

import { type Bench, type Claim, type Measure, same } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import { askMeasure, type Load, RequestPair } from './harness/requests.ts';
import { sodiumMissing } from './harness/sodium.ts';

const KINDS = [
  { kind: 'dgram', label: 'raw dgram' },
  { kind: 'dgram', label: 'raw dgram again' },
  { kind: 'mbapp', label: 'mbapp, node:crypto' },
  { kind: 'mbapp-wasm', label: 'mbapp, WASM' },
  { kind: 'mbapp-sodium', label: 'mbapp, sodium', missing: sodiumMissing },
] as const;

interface Case extends Load {
  readonly goals: Readonly<Record<string, Claim['goal']>>;
}

/** The original answers 657 asks of 16 KiB a second. */
const FOUR_TIMES_THE_ORIGINAL = { figure: 2628 };

const CASES: readonly Case[] = [
  {
    what: '64 B, one after the other',
    bytes: 64,
    inFlight: 1,
    goals: { mbapp: { ratio: 0.5 }, 'mbapp-wasm': { ratio: 0.5 }, 'mbapp-sodium': { ratio: 0.5 } },
  },
  {
    what: '64 B, 8 in flight',
    bytes: 64,
    inFlight: 8,
    goals: { mbapp: { ratio: 0.28 }, 'mbapp-wasm': { ratio: 0.4 }, 'mbapp-sodium': { ratio: 0.5 } },
  },
  {
    what: '16 KiB, one after the other',
    bytes: 16_384,
    inFlight: 1,
    goals: {
      mbapp: FOUR_TIMES_THE_ORIGINAL,
      'mbapp-wasm': FOUR_TIMES_THE_ORIGINAL,
      'mbapp-sodium': FOUR_TIMES_THE_ORIGINAL,
    },
  },
  { what: '16 KiB, 8 in flight', bytes: 16_384, inFlight: 8, goals: {} },
];

/** The bench: `npm run bench -- asks`. */
export const asks: Bench = {
  name: 'asks',
  question: 'How do asks over mbapp, p2pke and UDP compare with a bare dgram request and response?',
  prepare: () => {
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const kinds = KINDS.map((each) => ({ ...each, pair: new Lazy(() => RequestPair.start(each.kind)) }));
    for (const load of CASES) {
      for (const each of kinds) {
        const name = `${each.label}: ${load.what}`;
        measures.push(askMeasure(name, each.pair, load, 'missing' in each ? each.missing : undefined));
        if (each.kind !== 'dgram') {
          claims.push({ subject: name, baseline: `raw dgram: ${load.what}`, goal: load.goals[each.kind] });
        }
      }
    }
    return {
      measures,
      claims,
      controls: CASES.map(({ what }) => same(`raw dgram again: ${what}`, `raw dgram: ${what}`, what)),
      [Symbol.asyncDispose]: () => endAll(kinds.map(({ pair }) => pair)),
    };
  },
};
