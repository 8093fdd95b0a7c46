import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../../src/base/bytes.ts';
import { decodeHello } from '../../../src/protocols/peers/hello.ts';
import { PeerSession } from '../../../src/protocols/peers/session.ts';
import vectors from '../../vectors/peers.json' with { type: 'json' };
import { OPTIONS, Pair } from './pair.ts';

describe('datagrams of a session', () => {
  it('arrive once or not at all, without a number', () => {
    const pair = new Pair();
    pair.open({ lossShare: 0.3, repeatShare: 0 });
    pair.run(100);
    for (let i = 0; i < 100; i++) pair.alice.session.datagram(pair.now, 2, Uint8Array.of(i));
    pair.alice.poll();
    pair.run(1000);
    const got = pair.bob.of('datagram').map(({ payload }) => payload[0]!);
    assert.ok(got.length > 40 && got.length < 95, `${got.length} arrived`);
    assert.equal(new Set(got).size, got.length);
    assert.deepEqual(pair.bob.of('tell'), []);
  });

  it('do not fit into a path that is too small, and are not sent without a path', () => {
    const pair = new Pair();
    assert.equal(pair.alice.session.datagram(0, 2, Uint8Array.of(1)), false);
    pair.open({ mtu: 1200 });
    pair.run(100);
    const { datagramBytes } = pair.alice.session;
    assert.ok(datagramBytes > 1180 && datagramBytes < 1200, `${datagramBytes}`);
    assert.equal(pair.alice.session.datagram(pair.now, 2, new Uint8Array(datagramBytes + 1)), false);
    assert.equal(pair.alice.session.datagram(pair.now, 2, new Uint8Array(datagramBytes)), true);
  });

  it('are not sent to a peer of version 1, and are a fault when they come from one', () => {
    const session = new PeerSession({ ...OPTIONS, session: new Uint8Array(8).fill(9), isSmaller: true }, 0);
    const hello = decodeHello(fromHex(vectors.hello))!;
    session.handleHello(0, { ...hello, received: 0 });
    session.addPath(0, 1, { rank: 0, mtu: 65_536, isReliable: true });
    assert.deepEqual([session.version, session.datagramBytes], [1, 0]);
    assert.equal(session.datagram(0, 2, Uint8Array.of(1)), false);
    session.handlePacket(1, 1, fromHex(vectors.datagram));
    assert.equal(session.closed?.reason, 'malformed');
  });
});
