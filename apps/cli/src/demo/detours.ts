/** Pairs of demo peers that met by way of a relay, and which of them reach each other without it now. */

import type { ReachKind } from 'shoal/peers';
import { quantilesOf } from '../quantiles.ts';
import type { PathNews } from './reports.ts';

/** What became of pairs. */
export interface DetourSummary {
  /** Pairs that were relayed first. */
  readonly pairs: number;
  /** Of these, pairs that need no relay now: `direct` and `punched` together. */
  readonly direct: number;
  /** Through NATs that both sides have opened. */
  readonly punched: number;
  /** How long they were relayed: the median, in milliseconds. */
  readonly medianMs: number | undefined;
}

interface Pair {
  kind: ReachKind;
  relayedMs: number | undefined;
}

/** The summary for people. */
export function detourLine({ pairs, direct, punched, medianMs }: DetourSummary): string {
  const after = medianMs === undefined ? '' : `, after a median of ${Math.round(medianMs)} ms`;
  return `Relayed    ${pairs} pairs at first; ${direct} of them need no relay now, ${punched} through holes in NATs${after}`;
}

/** What both peers of a pair say is the same news. */
export class Detours {
  /** By both names. Bounded by the peers of the demo, which are at most twelve. */
  readonly #pairs = new Map<string, Pair>();

  /** @returns whether this is news. */
  note(from: string, to: string, { kind, relayedMs }: PathNews): boolean {
    const key = [from, to].toSorted().join(' ');
    const pair = this.#pairs.get(key);
    if (pair === undefined) {
      if (kind === 'relay') this.#pairs.set(key, { kind, relayedMs });
      return kind === 'relay';
    }
    const isNews = (pair.kind === 'relay') !== (kind === 'relay');
    if (isNews) this.#pairs.set(key, { kind, relayedMs });
    return isNews;
  }

  /** Pairs that are relayed now. */
  get relayed(): readonly string[] {
    return [...this.#pairs].filter(([, { kind }]) => kind === 'relay').map(([names]) => names);
  }

  summary(): DetourSummary {
    const pairs = [...this.#pairs.values()];
    const direct = pairs.filter(({ kind }) => kind !== 'relay');
    return {
      pairs: pairs.length,
      direct: direct.length,
      punched: direct.filter(({ kind }) => kind === 'punch').length,
      medianMs: quantilesOf(direct.map(({ relayedMs }) => relayedMs ?? 0))?.medianMs,
    };
  }
}
