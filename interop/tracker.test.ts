/** The tracker against an independent Go program, as client and as server, in the bytes of go-p2p. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { PeerId } from 'shoal';
import { peerIdOfKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { createTrackerToken, openTracker, openTrackerServer } from 'shoal/tracker';
import { GoPeer, goMissing } from './go-peer.ts';

const ALICE = peerIdOfKey(testKey(1).publicKey);
const ADDR = 'quic://AAA@192.0.2.1:5000';

interface State {
  readonly peers: Readonly<Record<string, readonly { readonly addr: string; readonly ttl: number }[]>>;
}

async function started(go: GoPeer): Promise<{ readonly url: string; readonly id: PeerId }> {
  const { addr, peer } = await go.next('listening');
  return { url: addr!, id: peer as PeerId };
}

const announce = async (go: GoPeer, token: string, addr: string): Promise<void> => {
  go.command({ cmd: 'announce', dst: token, payload: Buffer.from(addr).toString('base64') });
  await go.next('answer');
};

const lookUp = async (go: GoPeer, token: string): Promise<State> => {
  go.command({ cmd: 'lookup', dst: token });
  return JSON.parse(Buffer.from((await go.next('answer')).payload!, 'base64').toString()) as State;
};

describe('the tracker with the independent Go program', { skip: goMissing() }, () => {
  it('we dial: our client announces at its server, and looks up', async () => {
    await using go = new GoPeer('tracker', 1);
    const { url, id } = await started(go);
    const { text } = createTrackerToken(url);
    await using alice = openTracker({ at: text, id: ALICE, cacheMs: 0 });
    assert.deepEqual(await alice.lookUp(id), []);
    await alice.announce([ADDR]);
    // Both announce through the same cell, and see each other.
    await announce(go, text, 'udp://192.0.2.2:5000');
    assert.deepEqual(
      (await alice.lookUp(id)).map(({ addr }) => addr),
      ['udp://192.0.2.2:5000'],
    );
    const { peers } = await lookUp(go, text);
    assert.deepEqual(
      peers[ALICE]!.map(({ addr, ttl }) => [addr, ttl]),
      [[ADDR, 120e9]],
    );
    await alice.announce([ADDR, 'tcp://192.0.2.1:5001']);
    assert.equal((await lookUp(go, text)).peers[ALICE]!.length, 2);
    assert.equal(Object.keys((await lookUp(go, text)).peers).length, 2);
  });

  it('it dials: its client announces at our server, and looks up', async () => {
    await using server = await openTrackerServer({ bind: '127.0.0.1:0' });
    await using go = new GoPeer('tracker', 2);
    const { id } = await started(go);
    const { text } = createTrackerToken(server.url);
    await announce(go, text, 'udp://192.0.2.2:5000');
    await using alice = openTracker({ at: text, id: ALICE, cacheMs: 0 });
    assert.deepEqual(
      (await alice.lookUp(id)).map(({ addr }) => addr),
      ['udp://192.0.2.2:5000'],
    );
    await alice.announce([ADDR]);
    assert.deepEqual(Object.keys((await lookUp(go, text)).peers).toSorted(), [ALICE, id].toSorted());
    for (let i = 0; i < 5; i++) await announce(go, text, `udp://192.0.2.2:${5001 + i}`);
    assert.deepEqual(
      (await alice.lookUp(id)).map(({ addr }) => addr),
      ['udp://192.0.2.2:5005'],
    );
  });

  it('refuses a token of another cell, on both sides', async () => {
    await using go = new GoPeer('tracker', 3);
    const { url } = await started(go);
    const one = createTrackerToken(url);
    const other = createTrackerToken(url);
    const mixed = `${url}/${one.id}#${other.text.split('#')[1]}`;
    go.command({ cmd: 'lookup', dst: mixed });
    assert.match((await go.next('error')).message!, /another cell/);
    assert.throws(() => openTracker({ at: mixed }), TypeError);
  });
});
