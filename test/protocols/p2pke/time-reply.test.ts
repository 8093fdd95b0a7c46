import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeTimeReply } from '../../../src/protocols/p2pke/messages.ts';
import { encodeTai64n, tai64nMs } from '../../../src/protocols/p2pke/tai64n.ts';
import { RefusedHellos, timeReply } from '../../../src/protocols/p2pke/time-reply.ts';

const ID = new Uint8Array(16).fill(7);

describe('a time reply', () => {
  const told = (wallMs: number, last?: Uint8Array): number => {
    const reply = decodeTimeReply(timeReply(ID, wallMs, last))!;
    assert.deepEqual(reply.sessionId, ID);
    return tai64nMs(reply.timestamp);
  };

  it('names our time, or the last timestamp where that is later', () => {
    const lastMs = 1_700_000_000_000;
    const last = encodeTai64n(lastMs / 1000, 0);
    assert.equal(told(lastMs + 5123), lastMs + 5123);
    assert.equal(told(lastMs + 5123, last), lastMs + 5123, 'a last one that is older is not named');
    assert.equal(told(lastMs, last), lastMs);
    assert.equal(told(lastMs - 1, last), lastMs);
    assert.equal(told(-5), 0, 'a clock before 1970');
  });
});

describe('refused hellos', () => {
  it('are known again up to their number, the oldest is forgotten first', () => {
    const refused = new RefusedHellos(3);
    const id = (n: number): Uint8Array => Uint8Array.of(n, 1);
    assert.deepEqual(
      [1, 2, 3].map((n) => refused.isAgain(id(n))),
      [false, false, false],
    );
    assert.deepEqual(
      [1, 2, 3].map((n) => refused.isAgain(id(n))),
      [true, true, true],
    );
    assert.equal(refused.isAgain(id(4)), false);
    assert.deepEqual(
      [2, 3, 4].map((n) => refused.isAgain(id(n))),
      [true, true, true],
    );
    assert.equal(refused.isAgain(id(1)), false);
  });
});
