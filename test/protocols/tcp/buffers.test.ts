import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Bytes } from '../../../src/base/bytes.ts';
import { Pair } from './pair.ts';

const bytes = (length: number): Bytes => new Uint8Array(length).fill(1);

describe('buffers of a TCP session', () => {
  it('small messages that are sent one after the other share a buffer, which an idle connection does not keep', () => {
    const pair = Pair.open({ idleTimeoutMs: Infinity }, { idleTimeoutMs: Infinity });
    const buffers: unknown[] = [];
    const tell = (): void => {
      pair.alice.session.tell(pair.now, bytes(64));
      pair.alice.poll();
      buffers.push(pair.alice.sent[0]!.buffer);
      pair.run();
    };
    for (let i = 0; i < 10; i++) tell();
    assert.equal(new Set(buffers).size, 1);
    pair.advance(60_000);
    tell();
    assert.equal(new Set(buffers).size, 2);
    assert.deepEqual(
      pair.bob.told,
      Array.from({ length: 11 }, () => bytes(64)),
    );
  });
});
