import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertFails, listening, shoal } from './command.ts';

const BRIEF = ['--seconds', '1', '--in-flight', '8', '--json'];

describe('shoal bench', { concurrency: 2 }, () => {
  for (const stack of ['udp', 'quic']) {
    it(`measures ${stack} between two processes of its own`, async () => {
      const { code, stderr, events } = await shoal(['bench', '--stack', stack, ...BRIEF]);
      assert.equal(stderr, '');
      assert.equal(code, 0);
      assert.deepEqual(
        events.map(({ event, inFlight, bytes }) => [event, inFlight, bytes]),
        [
          ['latency', 1, 64],
          ['throughput', 8, 64],
        ],
      );
      for (const event of events) assert(Number(event['perSecond']) > 0 && Number(event['minMs']) > 0);
    });
  }

  it('measures a peer that echoes, with the bytes that were asked for', async () => {
    await using bob = await listening('--stack', 'udp', '--echo', '--quiet');
    const { code, events } = await shoal(['bench', '--stack', 'udp', bob.addr, '--bytes', '1000', ...BRIEF]);
    assert.equal(code, 0);
    assert.deepEqual(
      events.map(({ bytes }) => bytes),
      [1000, 1000],
    );
  });

  it('says on one line what it cannot measure', async () => {
    assertFails(await shoal(['bench', '--stack', 'udp', '--bytes', '2000', ...BRIEF]), 1, /carries 1232; give --bytes/);
    assertFails(await shoal(['bench', '--stack', 'nothing', ...BRIEF]), 1, /Cannot start the other side: .*nothing/);
    await using deaf = await listening('--stack', 'udp', '--quiet');
    assertFails(await shoal(['bench', '--stack', 'udp', deaf.addr, ...BRIEF]), 1, /No answer from .*listen --echo/);
  });
});
