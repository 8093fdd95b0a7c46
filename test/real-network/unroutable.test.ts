/** Addresses of no single host, on sockets: refused before anything is sent. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { openEndpoint } from '../../src/endpoint/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { openQuicSwarm } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const PLACES = ['0.0.0.0:9', '[::]:9', '224.0.0.1:9', '240.0.0.1:9', '255.255.255.255:9', '[ff02::1]:9', '[FF0E::2]:9'];

async function refused(attempt: Promise<unknown>, place: string): Promise<void> {
  const error: unknown = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(P2PError.is(error), `${place}: ${String(error)}`);
  assert.deepEqual([error.code, error.side, error.sent], ['unreachable', 'local', 'no'], place);
  assert.match(error.message, /single host|for binding only/, place);
}

describe('addresses of no single host', () => {
  it('quic: unreachable at once, for tells and asks', async () => {
    await using swarm = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey: testKey(0) });
    for (const place of PLACES) {
      const dst = swarm.parseAddr(`${peerIdOfKey(testKey(1).publicKey)}@${place}`);
      await refused(swarm.tell(dst, new Uint8Array(1)), place);
      await refused(swarm.ask(dst, new Uint8Array(1)), place);
    }
  });

  it('endpoint: unreachable at once, to connect, to send, and among several', async () => {
    await using endpoint = await openEndpoint({ bind: '127.0.0.1:0', privateKey: testKey(0) });
    for (const place of PLACES) {
      await refused(endpoint.connect(place), place);
      await refused(endpoint.connect(endpoint.parseAddr(place)), place);
      await refused(endpoint.send(place, new Uint8Array(1)), place);
      const error = await endpoint.connectToAny([place]).catch((thrown: unknown) => thrown);
      assert.ok(P2PError.is(error, 'unreachable'));
      await refused(Promise.reject((error.cause as AggregateError).errors[0]), place);
    }
  });
});
