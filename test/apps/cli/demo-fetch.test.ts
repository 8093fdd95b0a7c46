import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { encodeText } from 'shoal/bytes';
import type { Peers } from 'shoal/peers';
import { BLOB_BYTES, fetchBlob } from '../../../apps/cli/src/demo/blob.ts';
import { DemoPeer } from '../../../apps/cli/src/demo/demo-peer.ts';
import { encodeNumbered } from '../../../apps/cli/src/demo/messages.ts';
import { lanPortOf } from '../../../apps/cli/src/demo/node.ts';
import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { loadQuicEngine } from '../../../src/swarms/quic/index.ts';
import { PeersWorld } from '../../support/peers-world.ts';

before(() => loadQuicEngine());

/** A demo peer on a virtual host; without traffic of its own it greets, answers and fetches. */
async function demoPeer(w: PeersWorld, i: number, pid: number, host?: VirtualHost) {
  const peers = await w.open(i, host, { minPeers: 0, resumeMs: 2000 });
  const seen: string[] = [];
  const peer = new DemoPeer(peers, {
    name: `peer-${i}`,
    pid,
    onChange: (change, { name, pid: process }) => void seen.push(`${change} ${name} ${process}`),
  });
  peer.quiet();
  return { peer, peers, seen };
}

/** Connects, and gives greetings time. */
async function meet(w: PeersWorld, peers: Peers, other: Peers): Promise<void> {
  await w.run(peers.connect(other.id));
  await w.advance(500);
}

describe('a peer of the demo', () => {
  it('fetches the bytes of another over a stream, and checks their hash', async () => {
    const w = new PeersWorld({ latencyMs: 1, trace: undefined });
    const [a, b] = [await demoPeer(w, 1, 11), await demoPeer(w, 2, 12)];
    await meet(w, a.peers, b.peers);
    const { bytes, sha256 } = await w.run(a.peer.fetch(b.peers.id));
    assert.equal(bytes, BLOB_BYTES);
    assert.match(sha256, /^[\da-f]{64}$/);
    assert.equal(a.peer.report().fetchedBytes, BLOB_BYTES);
    await w.close();
  });

  it('refuses bytes that are too few, too many, or not those of the hash', async () => {
    const w = new PeersWorld({ latencyMs: 1, trace: undefined });
    const [peers, liar] = [await w.open(1), await w.open(2)];
    for (const tail of [0, 1, BLOB_BYTES + 32, BLOB_BYTES + 1000]) {
      using _ = liar.onStream(async ({ writable }) => {
        const writer = writable.getWriter();
        for (let at = 0; at < tail; at += 2 ** 20) await writer.write(new Uint8Array(Math.min(2 ** 20, tail - at)));
        await writer.close();
      });
      const fetched = fetchBlob(peers, liar.id, peers.realm, () => undefined);
      await assert.rejects(w.run(fetched), /of 67108864 bytes from .*, and their hash is wrong/);
    }
    await w.close();
  });

  it('notices that another one is gone, keeps looking for it by its PeerID, and tells its processes apart', async () => {
    const w = new PeersWorld({ latencyMs: 1, trace: undefined });
    const host = w.net.host();
    const [a, b] = [await demoPeer(w, 1, 11), await demoPeer(w, 2, 12, host)];
    await meet(w, a.peers, b.peers);
    assert.deepEqual(a.seen, ['found peer-2 12']);
    assert.deepEqual(b.seen, ['found peer-1 11']);
    await w.run(b.peers.close());
    await w.advance(500);
    assert.deepEqual(a.seen, ['found peer-2 12', 'lost peer-2 12']);
    const again = await demoPeer(w, 2, 13, host);
    await w.advance(30_000);
    assert.deepEqual(a.seen, ['found peer-2 12', 'lost peer-2 12', 'found peer-2 13']);
    assert.deepEqual(again.seen, ['found peer-1 11']);
    // What was meant for the process before is not counted.
    const dst = a.peers.parseAddr(again.peers.id);
    for (const to of [12, 13]) {
      const tell = encodeNumbered({ kind: 'tell', from: 11, to, seq: 0 }, new Uint8Array(5));
      await w.run(a.peers.tell(dst, tell));
    }
    await w.run(a.peers.tell(dst, encodeText('T')));
    await w.advance(500);
    assert.deepEqual(again.peer.report().receivedTells, 1);
    assert.deepEqual(a.peer.report().known, ['peer-2']);
    await w.close();
  });
});

describe('the address of a demo', () => {
  it('is a port of the broadcast address of this machine, and nothing else', () => {
    assert.equal(lanPortOf('127.255.255.255:5000'), 5000);
    for (const other of ['127.0.0.1:5000', '127.255.255.255:0', '127.255.255.255', 'x', '']) {
      assert.equal(lanPortOf(other), undefined);
    }
  });
});
