/** Listeners that are observers as well. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../src/base/bytes.ts';
import { askStunOverTcp, observingListeners } from '../../src/nat/index.ts';
import type { RawConnection } from '../../src/net/network.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { reading, saying, VirtualWorld } from '../support/virtual-world.ts';

describe('observing listeners', () => {
  async function listening() {
    const w = new VirtualWorld();
    const server = w.net.host({ ip: '12.0.0.2' });
    const network = observingListeners({ network: server.network, realm: server.realm });
    const come: RawConnection[] = [];
    await network.listen({
      bind: { ip: '0.0.0.0', port: 80 },
      backlog: 16,
      reusePort: false,
      onError: () => undefined,
      onConnection: (connection) => void come.push(connection),
    });
    const client = w.net.host({ behind: w.net.nat('port') });
    return { w, come, client, at: { ip: '12.0.0.2', port: 80 } };
  }

  it('tell who asks under which address it is seen, and the program does not notice', async () => {
    const { w, come, client, at } = await listening();
    const { network, realm } = client;
    const bind = { ip: '0.0.0.0', port: 5000 };
    const { mapped } = await w.run(askStunOverTcp({ network, realm, server: at, bind }));
    assert.equal(mapped.port, 5000);
    assert.equal(come.length, 0);
  });

  it('give every other connection to the program, with all its bytes', async () => {
    const { w, come, client, at } = await listening();
    for (const text of ['hello, world', 'x', '\u0000\u0001\u0000\u0000!!!!!!', '\u0000']) {
      const connection = await w.run(w.dial(client, at));
      saying(connection, text);
      await w.advance(1500);
      const heard = reading(come.at(-1)!);
      await w.advance(100);
      assert.equal(heard.text, text);
      saying(come.at(-1)!, 'answer');
      const answered = reading(connection);
      await w.advance(100);
      assert.equal(answered.text, 'answer');
    }
    assert.equal(come.length, 4);
  });

  it('give a silent connection to the program after a second, for protocols that begin on this side', async () => {
    const { w, come, client, at } = await listening();
    await w.run(w.dial(client, at));
    await w.advance(900);
    assert.equal(come.length, 0);
    await w.advance(200);
    assert.equal(come.length, 1);
  });

  it('hold few connections of one network, and answer it at a rate', async () => {
    const { w, come, client, at } = await listening();
    for (let i = 0; i < 20; i++) await w.run(w.dial(client, at));
    await w.advance(100);
    assert.equal(come.length, 4);
    await w.advance(2000);
    const { network, realm } = client;
    const asks = Array.from({ length: 14 }, () => askStunOverTcp({ network, realm, server: at }));
    const more = await w.run(Promise.allSettled(asks));
    assert.ok(more.every(({ status }) => status === 'fulfilled'));
    const again = await w.run(
      Promise.allSettled(Array.from({ length: 14 }, () => askStunOverTcp({ network, realm, server: at }))),
    );
    assert.ok(again.some(({ status }) => status === 'rejected'));
  });

  it('what is no question any more ends the connection', async () => {
    const { w, come, client, at } = await listening();
    const connection = await w.run(w.dial(client, at));
    const heard = reading(connection);
    connection.pipe.write(
      [Uint8Array.of(0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42), encodeText('x'.repeat(12)), encodeText('y'.repeat(100))],
      () => undefined,
    );
    await w.advance(500);
    assert.ok(heard.end !== undefined);
    assert.equal(come.length, 0);
  });

  it('a TCP swarm listens on such a network as on any other', async () => {
    const w = new VirtualWorld();
    const [near, far] = [w.net.host(), w.net.host()];
    const network = observingListeners({ network: far.network, realm: far.realm });
    const a = await w.run(openTcpSwarm({ privateKey: testKey(1), network: near.network, realm: near.realm }));
    const b = await w.run(openTcpSwarm({ privateKey: testKey(2), network, realm: far.realm, bind: '0.0.0.0:4000' }));
    const heard: number[] = [];
    b.listen(({ payload }) => void heard.push(payload.length));
    await w.run(a.tell(b.addr, new Uint8Array(1000)));
    await w.advance(1000);
    assert.deepEqual(heard, [1000]);
    const { mapped } = await w.run(
      askStunOverTcp({ network: near.network, realm: near.realm, server: { ip: far.ip, port: 4000 } }),
    );
    assert.equal(mapped.ip, near.ip);
    await w.run(Promise.all([a.close(), b.close()]));
  });
});
