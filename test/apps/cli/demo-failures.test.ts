import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exportKey, generateKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { Failure } from '../../../apps/cli/src/failure.ts';
import { PeerHandle } from '../../../apps/cli/src/demo/peer-handle.ts';
import { type Aim, Progress } from '../../../apps/cli/src/demo/progress.ts';
import { machineLan } from './command.ts';
import type { News } from '../../../apps/cli/src/demo/reports.ts';

function waiting() {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const interrupt = new AbortController();
  const progress = new Progress(realm, interrupt.signal);
  let moved = 0;
  const aim = (isReached: () => boolean): Aim => ({
    what: 'all is well',
    isReached,
    moved: () => moved,
    state: () => `${moved} of 9`,
  });
  const move = (): void => {
    moved++;
    progress.recheck();
  };
  return { clock: realm.clock, interrupt, progress, aim, move, moved: () => moved };
}

describe('a wait of the demo', () => {
  it('ends when its aim is reached, however long that takes while something moves', async () => {
    const { clock, progress, aim, move, moved } = waiting();
    const reached = progress.until(aim(() => moved() === 4));
    for (let i = 0; i < 4; i++) {
      await clock.advance(59_000);
      move();
    }
    await clock.run(reached);
  });

  it('fails when nothing has moved for 60 s, and says how far it got', async () => {
    const { clock, progress, aim, move } = waiting();
    const reached = progress.until(aim(() => false));
    await clock.advance(50_000);
    move();
    await clock.advance(50_000);
    progress.recheck();
    await assert.rejects(clock.run(reached), {
      message: 'The demo failed: for 60 s nothing has moved towards this: all is well (1 of 9)',
    });
    assert.equal(clock.nowMs(), 110_000);
  });

  it('fails at once when something went wrong, and so does the next one', async () => {
    const { clock, progress, aim } = waiting();
    const reached = progress.until(aim(() => false));
    progress.fail(new Failure('Peer cod failed'));
    await assert.rejects(reached, { message: 'Peer cod failed' });
    await assert.rejects(progress.until(aim(() => true)), { message: 'Peer cod failed' });
    assert.equal(clock.nowMs(), 0);
  });

  it('ends when it is interrupted', async () => {
    const { interrupt, progress, aim } = waiting();
    const reached = progress.until(aim(() => false));
    interrupt.abort(new Error('Ctrl-C'));
    await assert.rejects(reached, { message: 'Ctrl-C' });
    await assert.rejects(progress.until(aim(() => false)), { message: 'Ctrl-C' });
  });
});

/** A peer process on a LAN of its own, and a way to wait for news of it. */
function startPeer(lanPort: number) {
  const waits = new Map<News['type'], (news: News) => void>();
  const peer = new PeerHandle(
    { type: 'start', name: 'cod', key: exportKey(generateKey(), 'pem'), lanPort },
    (_, news) => waits.get(news.type)?.(news),
  );
  const next = (type: News['type']): Promise<News> => new Promise((resolve) => waits.set(type, resolve));
  return { peer, next };
}

describe('a peer process of the demo', () => {
  it('tells of a fetch that fails', async () => {
    await using lan = await machineLan();
    const { peer, next } = startPeer(lan.port);
    await next('ready');
    const failed = next('failed');
    peer.order({ type: 'fetch', from: peer.id! });
    const news = await failed;
    assert(news.type === 'failed');
    assert.match(news.message, /^Cannot open a stream to .*: it is this node$/);
    await peer.stop(30_000);
    assert.equal(peer.state, 'ended');
  });

  it('has failed when it ends without having been told to', async () => {
    await using lan = await machineLan();
    const { peer, next } = startPeer(lan.port);
    await next('ready');
    const failed = next('failed');
    process.kill(peer.pid, 'SIGKILL');
    assert.deepEqual(await failed, { type: 'failed', message: 'it ended by itself: SIGKILL' });
    await peer.stop(30_000);
  });
});
