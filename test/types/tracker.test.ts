import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Candidate, CandidateSource } from 'shoal';
import {
  type CasResult,
  type Cell,
  type CellStore,
  createMemoryCells,
  openRedisCells,
  sealed,
  signed,
} from 'shoal/cell';
import { generateKey } from 'shoal/keys';
import { type Metric, prometheusText } from 'shoal/metrics';
import type { PeersOptions } from 'shoal/peers';
import { createTrackerToken, openTracker, type Tracker, type TrackerServer } from 'shoal/tracker';

const same = <T>(value: T): T => value;

describe('types of shoal/cell and shoal/tracker', () => {
  it('a cell wraps a cell, and a tracker stands on any', async () => {
    const store: CellStore = createMemoryCells();
    const privateKey = generateKey();
    const cell: Cell = sealed(signed(store.cell('a'), { privateKey }), { key: new Uint8Array(32) });
    const result: CasResult = await cell.cas(new Uint8Array(0), Uint8Array.of(1));
    same<Uint8Array<ArrayBuffer>>(result.current);
    await using tracker = openTracker({ at: cell });
    same<CandidateSource>(same<Tracker>(tracker));
    same<AsyncIterable<Candidate>>(tracker.candidates());
    assert.equal(result.swapped, true);
  });

  it('a store of another program takes texts and plain options, and nothing of its package', () => {
    same<(url: string, options?: { readonly keyPrefix?: string }) => Promise<CellStore>>(openRedisCells);
    const metrics = (server: TrackerServer): string => prometheusText(same<readonly Metric[]>(server.metrics()));
    same<(server: TrackerServer) => string>(metrics);
  });

  it('peers take a token, several, or how they are used', () => {
    const { text } = createTrackerToken('http://192.0.2.1');
    for (const tracker of [text, [text], { at: text, announce: false }]) same<PeersOptions['tracker']>(tracker);
    // @ts-expect-error a cell has no place there: peers find each other through servers
    same<PeersOptions['tracker']>(createMemoryCells());
  });
});
