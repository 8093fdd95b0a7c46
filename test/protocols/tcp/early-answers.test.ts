import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { PART_REQUESTS } from '../../../src/protocols/tcp/constants.ts';
import { Pair } from './pair.ts';

/** What bob does with so many requests of alice that come together, in order: each request that he answers, and each transmit. */
function served(requests: number): readonly (string | number)[] {
  const pair = Pair.open();
  for (let i = 0; i < requests; i++) pair.alice.session.ask(pair.now, Uint8Array.of(i), 10);
  pair.alice.poll();
  for (const piece of pair.alice.sent) pair.bob.session.handleBytes(pair.now, piece);
  const { session } = pair.bob;
  const done: (string | number)[] = [];
  for (let output = session.poll(); output.type !== 'wait'; output = session.poll()) {
    if (output.type === 'transmit') done.push('transmit');
    else if (output.event.type === 'request') {
      session.answer(pair.now, output.event.id, output.event.payload);
      done.push(output.event.payload[0]!);
    }
  }
  return done;
}

const count = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('TcpSession: answers to requests that come together', () => {
  it('leave in one piece', () => {
    assert.deepEqual(served(PART_REQUESTS), [...count(0, PART_REQUESTS), 'transmit']);
  });

  it('leave in two pieces when there are many, the first before the rest is handled; not in more, as long as it is on its way', () => {
    const all = 3 * PART_REQUESTS + 5;
    assert.deepEqual(served(all), [...count(0, PART_REQUESTS), 'transmit', ...count(PART_REQUESTS, all), 'transmit']);
  });
});
