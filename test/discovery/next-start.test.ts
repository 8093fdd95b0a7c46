/** A node that starts, ends and starts again: contacts, cache and bootstrap together, over TCP on a virtual internet. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerId } from '../../src/core/peer-id.ts';
import {
  bootstrap,
  type BootstrapOptions,
  type BootstrapResult,
  contacts,
  openPeerCache,
  type PeerCache,
  type PeerCacheStore,
} from '../../src/discovery/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);

/** The disk of a node. */
class Disk implements PeerCacheStore {
  #bytes: Uint8Array | undefined;

  load(): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#bytes);
  }

  save(bytes: Uint8Array): Promise<void> {
    this.#bytes = bytes;
    return Promise.resolve();
  }
}

class World extends VirtualWorld {
  readonly alice: VirtualHost = this.net.host();

  swarm(i: number, host: VirtualHost, port = 0): Promise<TcpSwarm> {
    const { realm, network } = host;
    return this.run(
      openTcpSwarm({ realm, network, privateKey: testKey(i), security: 'noise', bind: `0.0.0.0:${port}` }),
    );
  }

  close(swarms: readonly TcpSwarm[]): Promise<unknown> {
    return this.run(Promise.all(swarms.map((swarm) => swarm.close())));
  }

  /** One life of alice: it begins with its disk and its contacts, and ends. */
  async session(disk: Disk, list: readonly string[], more: Partial<BootstrapOptions> & { networkName?: string } = {}) {
    const { networkName = 'app', ...rest } = more;
    const swarm = await this.swarm(1, this.alice);
    const cache: PeerCache = await this.run(openPeerCache({ store: disk, networkName, realm: this.realm }));
    const beganMs = this.realm.nowMs();
    const run = bootstrap({
      realm: this.realm,
      self: idOf(1),
      sources: [
        { name: 'cache', source: cache },
        { name: 'contacts', source: contacts(list, { realm: this.realm, self: idOf(1) }) },
      ],
      attempt: async ({ addr }, { signal }) => {
        await swarm.lookupPublicKey(addr, { signal });
        return { peer: swarm.parseAddr(addr).id, proof: 'dialled' };
      },
      ...rest,
    });
    const first = await this.run(run.first);
    const firstMs = this.realm.nowMs() - beganMs;
    const result: BootstrapResult = await this.run(run.ready);
    await this.run(cache.close());
    await this.close([swarm]);
    return { result, first, firstMs };
  }
}

describe('the next start', () => {
  it('needs no contacts: the peers of the last session are enough, also a year later', async () => {
    const world = new World({ seed: 21, trace: undefined });
    const disk = new Disk();
    const others = await Promise.all([2, 3, 4].map((i) => world.swarm(i, world.net.host())));
    const list = others.map(({ addr }) => addr.text);
    const first = await world.session(disk, list);
    assert.deepEqual(
      first.result.peers.map(({ candidate: { source } }) => source),
      ['contacts', 'contacts', 'contacts'],
    );
    await world.advance(365 * 86_400_000);
    const next = await world.session(disk, []);
    assert.deepEqual(
      next.result.peers.map(({ candidate: { source } }) => source),
      ['cache', 'cache', 'cache'],
    );
    assert.deepEqual(new Set(next.result.peers.map(({ id }) => id)), new Set([2, 3, 4].map(idOf)));
    await world.close(others);
  });

  it('reaches a cached peer as fast as a bare dial does', async () => {
    const world = new World({ seed: 22, trace: undefined });
    const disk = new Disk();
    const bob = await world.swarm(2, world.net.host());
    const bare = await world.swarm(5, world.net.host());
    const beganMs = world.realm.nowMs();
    await world.run(bare.lookupPublicKey(bob.addr));
    const bareMs = world.realm.nowMs() - beganMs;
    await world.session(disk, [bob.addr.text], { minPeers: 1 });
    const { first, firstMs } = await world.session(disk, [], { minPeers: 1 });
    assert.equal(first?.candidate.source, 'cache');
    assert.ok(firstMs <= 1.3 * bareMs, `${firstMs} ms after a start, ${bareMs} ms for a dial`);
    await world.close([bob, bare]);
  });

  it('finds a peer that has moved by its contacts, keeps the new address, and puts it before the old one', async () => {
    const world = new World({ seed: 23, trace: undefined });
    const disk = new Disk();
    const before = await world.swarm(2, world.net.host());
    const oldAddr = before.addr.text;
    await world.session(disk, [oldAddr], { minPeers: 1 });
    await world.close([before]);
    const moved = await world.swarm(2, world.net.host());
    await world.advance(3_600_000);
    const found = await world.session(disk, [moved.addr.text], { minPeers: 1 });
    assert.deepEqual(
      [found.result.peers[0]?.candidate.source, found.result.refused[0]?.candidate.addr],
      ['contacts', oldAddr],
    );
    const next = await world.session(disk, [], { minPeers: 1 });
    assert.deepEqual([next.first?.candidate.addr, next.result.refused], [moved.addr.text, []]);
    await world.close([moved]);
  });

  it('does not begin with a peer at whose address another one is now', async () => {
    const world = new World({ seed: 24, trace: undefined });
    const disk = new Disk();
    const host = world.net.host();
    const before = await world.swarm(2, host, 4000);
    await world.session(disk, [before.addr.text], { minPeers: 1 });
    await world.close([before]);
    const other = await world.swarm(3, host, 4000);
    const { result } = await world.session(disk, []);
    assert.deepEqual(
      result.refused.map(({ reason }) => reason),
      ['wrong_key'],
    );
    const next = await world.session(disk, []);
    assert.deepEqual([next.result.refused, next.result.peers], [[], []]);
    await world.close([other]);
  });

  it('of two networks on one disk never leads to the peers of the other', async () => {
    const world = new World({ seed: 25, trace: undefined });
    const disk = new Disk();
    const [blue, red] = [await world.swarm(2, world.net.host()), await world.swarm(3, world.net.host())];
    await world.session(disk, [blue.addr.text], { networkName: 'blue' });
    await world.session(disk, [red.addr.text], { networkName: 'red' });
    for (const [networkName, id] of [
      ['blue', idOf(2)],
      ['red', idOf(3)],
    ] as const) {
      const { result } = await world.session(disk, [], { networkName });
      assert.deepEqual(
        result.peers.map((peer) => peer.id),
        [id],
      );
    }
    await world.close([blue, red]);
  });
});
