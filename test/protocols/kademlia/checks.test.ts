import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AskSpec, Asks } from '../../../src/protocols/kademlia/asks.ts';
import { Checks } from '../../../src/protocols/kademlia/checks.ts';
import { FORM } from '../../../src/protocols/kademlia/messages.ts';
import type { NodeOptions } from '../../../src/protocols/kademlia/node-types.ts';
import { KeySpace, type KeyText, keyText } from '../../../src/protocols/kademlia/position.ts';
import { Table } from '../../../src/protocols/kademlia/table.ts';

const id = (n: number): KeyText => keyText(Uint8Array.of(n, ...new Uint8Array(31)));
const times = { now: 0, wallMs: 0 };
const asker = { isClient: false, addr: '' };

/** Checks of a node whose requests stay without an answer. */
function silentWorld(): { readonly checks: Checks; readonly asked: KeyText[] } {
  const space = new KeySpace('test');
  const asked: KeyText[] = [];
  const asks = { send: (_: unknown, { to }: AskSpec) => void asked.push(to.id), heard: () => undefined };
  const options = { space, self: id(0), k: 20, isReachable: () => true, networkOf: () => '' };
  const own = space.ofPeer(id(0));
  const table = new Table({ own, k: 20, maxPerNetwork: 10, maxPerNetworkInBucket: 2 });
  const checks = new Checks(options as unknown as NodeOptions, table, asks as unknown as Asks);
  return { checks, asked };
}

describe('nodes of one source that do not answer', () => {
  it('leave room for the checks of others, before and after the own lookups', () => {
    const { checks, asked } = silentWorld();
    const asks = (n: number, source: string): void => {
      checks.asked(times, { id: id(n), addr: `${n}`, source, payload: new Uint8Array(0) }, asker, FORM.binary);
    };
    for (let n = 1; n <= 100; n++) asks(n, 'evil');
    asks(101, 'early');
    checks.joined(times);
    assert.equal(asked.length, 5);
    assert.ok(asked.includes(id(101)));
    for (let n = 102; n <= 120; n++) asks(n, 'evil');
    asks(130, 'late');
    assert.deepEqual([asked.length, asked.at(-1)], [6, id(130)]);
  });

  it('leave room for the probes of the records of others', () => {
    const { checks, asked } = silentWorld();
    for (let n = 1; n <= 100; n++) checks.probe(times, id(n), `${n}`, 'evil');
    checks.probe(times, id(101), '101', 'other');
    assert.deepEqual([asked.length, asked.at(-1)], [33, id(101)]);
  });
});
