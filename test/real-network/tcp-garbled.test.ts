/** A TCP swarm over TLS, and bytes that are changed on the way. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { type AttackEvent, AttackSignals } from '../../src/peers/attack-signals.ts';
import { systemRealm, withTrace } from '../../src/runtime/system-realm.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

describe('a TCP swarm over TLS whose bytes are changed on the way', () => {
  for (const direction of ['to', 'from'] as const) {
    it(`ends the connection at once when that is those ${direction} the peer that was dialled, and says so`, async () => {
      const events: AttackEvent[] = [];
      const thresholds = { undecryptable: { count: 1, perMs: 1000 } };
      const signals = new AttackSignals({ onAttack: (event) => events.push(event), thresholds });
      const realm = withTrace(systemRealm, (event) => signals.trace(event));
      const bob = await openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(1), realm });
      const alice = await openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(2), realm });
      bob.serve(() => Uint8Array.of(1));
      let isGarbling = false;
      const proxy = createServer((near) => {
        const far = connect(bob.addr.inner.port, '127.0.0.1');
        const pass = (from: typeof far, to: typeof far, garbles: boolean): void => {
          from.on('data', (chunk: Buffer) => {
            if (garbles && isGarbling) chunk[chunk.length - 1]! ^= 1;
            to.write(chunk);
          });
          from.on('error', () => undefined);
          from.on('close', () => to.destroy());
        };
        pass(near, far, direction === 'to');
        pass(far, near, direction === 'from');
      });
      proxy.listen(0, '127.0.0.1');
      await once(proxy, 'listening');
      const address = proxy.address() as { readonly port: number };
      const by = `${bob.addr.id}@127.0.0.1:${address.port}`;
      await alice.ask(by, Uint8Array.of(1));
      isGarbling = true;
      // Much less than the time after which silence ends a connection.
      const failed = (error: unknown): boolean => P2PError.is(error, 'disconnected');
      await assert.rejects(alice.ask(by, Uint8Array.of(2), { timeoutMs: 5000 }), failed);
      assert.equal(events[0]?.signal, 'undecryptable');
      assert.equal(events[0]?.source, '127.0.0.1');
      await Promise.all([alice.close(), bob.close()]);
      proxy.close();
    });
  }
});
