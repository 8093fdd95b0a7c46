/** When a QUIC connection that is not used any more is closed. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { QuicConnection } from '../../src/protocols/quic/connection.ts';
import { IdleWatch, replacedIdleMs, surplusIdleMs } from '../../src/quic/idle-watch.ts';

function fake(side: 'initiator' | 'responder') {
  const frames = { count: 0 };
  const connection = { side, stats: () => ({ receivedStreamFrames: frames.count }) } as unknown as QuicConnection;
  return { frames, connection };
}

describe('the idle watch of a QUIC connection', () => {
  it('counts from the last look at which something had come, and from the end of what is under way', () => {
    const { frames, connection } = fake('responder');
    const watch = new IdleWatch(connection);
    assert.equal(watch.since(false, 100), 100);
    assert.equal(watch.since(false, 200), 100);
    frames.count = 3;
    assert.equal(watch.since(false, 300), 300);
    assert.equal(watch.since(true, 400), undefined);
    assert.equal(watch.since(false, 500), 500, 'what was under way may have taken no frame of the peer');
    assert.equal(watch.since(false, 600), 500);
  });

  it('a replaced connection closes after 30 s on the side of its initiator; a surplus one never used after 750 ms', () => {
    const [ours, theirs] = [fake('responder'), fake('initiator')];
    assert.deepEqual([replacedIdleMs(ours), replacedIdleMs(theirs)], [30_000, undefined]);
    assert.deepEqual([surplusIdleMs(ours), surplusIdleMs(theirs)], [750, 750]);
    theirs.frames.count = 1;
    assert.equal(surplusIdleMs(theirs), 30_000);
  });
});
