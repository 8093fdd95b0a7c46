/** Listeners that tell connections apart by their first bytes. */

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { routedListeners } from '../../src/net/listener-routes.ts';
import type { RawConnection } from '../../src/net/network.ts';
import { saying, VirtualWorld } from '../support/virtual-world.ts';

it('a network that holds its share of silent connections loses one when another network comes and all are held', async () => {
  const w = new VirtualWorld();
  const server = w.net.host({ ip: '12.0.0.2' });
  const [program, routed]: [RawConnection[], RawConnection[]] = [[], []];
  const network = routedListeners({
    network: server.network,
    realm: server.realm,
    route: {
      prefixes: [[...Buffer.from('GET ')]],
      serve: (connection, done) => {
        done();
        routed.push(connection);
      },
    },
  });
  await network.listen({
    bind: { ip: '0.0.0.0', port: 80 },
    backlog: 512,
    reusePort: false,
    onError: () => undefined,
    onConnection: (connection) => void program.push(connection),
  });
  const at = { ip: '12.0.0.2', port: 80 };
  const silent = Array.from({ length: 16 }, (_, i) => w.net.host({ ip: `12.0.${i + 1}.2` }));
  const late = w.net.host({ ip: '12.0.99.2' });
  for (const host of silent) await Promise.all(Array.from({ length: 16 }, () => w.run(w.dial(host, at))));
  const before = program.length;
  const connection = await w.run(w.dial(late, at));
  saying(connection, 'GET / HTTP/1.1\r\n\r\n');
  await w.advance(100);
  assert.deepEqual([before, program.length, routed.length], [0, 1, 1]);
});
