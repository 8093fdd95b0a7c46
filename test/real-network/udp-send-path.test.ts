import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openUdpSwarm } from '../../src/net/udp/open-udp-swarm.ts';
import { sendPath } from '../../src/swarm-kit/send-path.ts';

it('the way to a UDP address checks the address once, and says what tell says of what changes', async () => {
  await using from = await openUdpSwarm({ bind: '127.0.0.1:0' });
  await using to = await openUdpSwarm({ bind: '127.0.0.1:0' });
  const { promise: got, resolve } = Promise.withResolvers<number>();
  using _ = to.listen(({ payload }) => resolve(payload.length));
  const path = sendPath(from, to.addr);
  await path.send(new Uint8Array(7));
  assert.equal(await got, 7);
  assert.deepEqual([from.counters.sent, from.counters.sentBytes], [1, 7]);
  await assert.rejects(path.send(new Uint8Array(from.mtu(to.addr) + 1)), { code: 'mtu_exceeded' });
  for (const [text, code] of [
    ['224.0.0.1:5', 'unreachable'],
    ['[2001:db8::1]:5', 'unsupported'],
  ] as const) {
    const nowhere = sendPath(from, from.parseAddr(text));
    await assert.rejects(nowhere.send(new Uint8Array(1)), { code }, text);
    assert.equal(from.counters.drops.get(`tell.${code}`), 1);
  }
  assert.throws(() => sendPath(from, { text: 'x' } as never), TypeError);
  await from.close();
  await assert.rejects(path.send(new Uint8Array(1)), { code: 'closed' });
});
