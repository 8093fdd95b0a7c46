/** A relay without I/O: reservations, guests, budgets. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { toHex } from '../../../src/base/bytes.ts';
import {
  bytesOfPeerId,
  encodeRelease,
  encodeReserve,
  encodeSend,
  MIN_RESERVE_BYTES,
} from '../../../src/protocols/relay/messages.ts';
import { BUDGETS, RelayBench as Bench, source, TOKEN } from '../../support/relay-bench.ts';
import { idOf } from '../../support/relay-world.ts';

describe('a relay', () => {
  it('grants a reservation: lifetime, rate, MTU and the address that it sees', () => {
    const bench = new Bench();
    const [answer] = bench.say(source(1), encodeReserve(1, TOKEN, 5));
    assert.deepEqual(answer, {
      type: 'reserved',
      to: 1,
      token: TOKEN,
      lifetimeS: 300,
      bytesPerSecond: 10_000,
      mtu: 1232,
      observed: { ip: '10.0.1.1', port: 1001 },
    });
    const [longer] = bench.say(source(2), encodeReserve(1, TOKEN, 600));
    assert.equal(longer?.type === 'reserved' && longer.lifetimeS, 600, 'no longer than maxMinutes');
  });

  it('passes datagrams between clients with reservations, and names the sender itself', () => {
    const bench = new Bench();
    for (const i of [1, 2]) bench.reserve(i);
    const [got] = bench.say(source(1), encodeSend(1, bytesOfPeerId(idOf(2)), Uint8Array.of(7, 8)));
    assert.equal(got?.type === 'received' && toHex(got.from), toHex(bytesOfPeerId(idOf(1))));
    assert.deepEqual(got?.type === 'received' && [...got.datagram], [7, 8]);
    assert.equal(got?.to, 2);
  });

  it('says that a peer without a reservation is gone, and sends nothing anywhere', () => {
    const bench = new Bench();
    bench.reserve(1);
    assert.deepEqual(bench.send(1, 9), ['gone to 1']);
    assert.ok(bench.events.includes('relay.no_reservation'));
  });

  it('lets a guest send to a reserved peer, and only that peer answer, for two minutes', () => {
    const bench = new Bench();
    for (const i of [1, 2]) bench.reserve(i);
    assert.deepEqual(bench.send(5, 1), ['guest to 5', 'received to 1']);
    assert.deepEqual(bench.send(1, 5), ['received to 5']);
    assert.deepEqual(bench.send(2, 5), ['gone to 2'], 'the guest has not sent to this one');
    bench.now += 119_000;
    assert.deepEqual(bench.send(1, 5), ['received to 5']);
    bench.now += 2000;
    assert.deepEqual(bench.send(1, 5), ['gone to 1']);
  });

  it('carries nothing from guest to guest', () => {
    const bench = new Bench();
    bench.reserve(1);
    bench.send(5, 1);
    bench.send(6, 1);
    assert.deepEqual(bench.send(5, 6), ['gone to 5']);
  });

  it('forgets a guest of the busiest network first, so one network does not displace the others', () => {
    const bench = new Bench({ maxGuests: 3 });
    bench.reserve(1);
    const send = encodeSend(1, bytesOfPeerId(idOf(1)), new Uint8Array(1));
    bench.say(source(20, '10.9.9.9'), send.slice());
    for (const i of [30, 31, 32, 33, 34]) bench.say(source(i, '10.8.8.1'), send.slice());
    assert.equal(bench.server.guests, 3);
    assert.deepEqual(bench.send(1, 20), ['received to 20']);
  });

  it('refuses what is over the quota of a network, and what is over all places', () => {
    const bench = new Bench();
    assert.deepEqual(
      [bench.reserve(1, '10.0.0.1'), bench.reserve(2, '10.0.0.2'), bench.reserve(3, '10.0.0.3')],
      ['reserved', 'reserved', 'quota'],
    );
    assert.deepEqual([bench.reserve(4, '10.1.0.1'), bench.reserve(5, '10.2.0.1')], ['reserved', 'reserved']);
    assert.equal(bench.reserve(6, '10.3.0.1'), 'full');
    assert.equal(bench.reserve(1, '10.0.0.1'), 'reserved', 'a renewal needs no place');
    bench.say(source(4, '10.1.0.1'), encodeRelease(1, TOKEN));
    assert.equal(bench.reserve(6, '10.3.0.1'), 'reserved');
  });

  it('ends a reservation that is not renewed', () => {
    const bench = new Bench();
    for (const i of [1, 2]) bench.reserve(i);
    bench.now += 10 * 60_000;
    assert.deepEqual(bench.send(1, 2), ['gone to 1']);
    bench.server.handleTimeout(bench.now + 5000);
    assert.equal(bench.server.reservations, 0);
    assert.deepEqual(bench.server.peers(bench.now), []);
  });

  it('drops what is over the rate of a client, of a network, and of all, and says nothing', () => {
    const full = (bench: Bench, from: number): number => {
      let sent = 0;
      while (bench.send(from, 1, 1200).includes('received to 1')) sent++;
      return sent;
    };
    const own = new Bench({ bytesPerSecondPerSource: 1e9, totalBytesPerSecond: 1e9 });
    for (const i of [1, 2]) own.reserve(i);
    assert.equal(full(own, 2), 8, '10 000 bytes in messages of 1234');
    assert.ok(own.events.includes('relay.rate_limited'));
    own.now += 1000;
    assert.equal(full(own, 2), 8);

    const network = new Bench({ totalBytesPerSecond: 1e9, maxGuests: 10 });
    network.reserve(1);
    const send = () => encodeSend(1, bytesOfPeerId(idOf(1)), new Uint8Array(1200));
    let passed = 0;
    for (let i = 0; i < 40; i++) {
      const said = network.say(source(40 + (i % 4), `10.4.4.${i % 4}`), send());
      if (said.some(({ type }) => type === 'received')) passed++;
    }
    assert.equal(passed, 12, '15 000 bytes of one network');
    assert.ok(network.events.includes('relay.source_rate_limited'));

    const all = new Bench({ bytesPerSecondPerSource: 1e9, maxGuests: 10 });
    all.reserve(1);
    assert.equal(full(all, 2) + full(all, 3) + full(all, 4), 16, '20 000 bytes in all');
    assert.ok(all.events.includes('relay.total_rate_limited'));
  });

  it('takes new budgets while it serves', () => {
    const bench = new Bench();
    for (const i of [1, 2]) bench.reserve(i);
    bench.server.update(0, { ...BUDGETS, bytesPerSecond: 2000, maxPeers: 2 });
    assert.equal(bench.reserve(3), 'full');
    assert.equal(bench.send(1, 2, 1200).length, 1);
    assert.equal(bench.send(1, 2, 1200).length, 0);
  });

  it('asks for a verdict once, holds one reserve and one datagram meanwhile, and serves or refuses', () => {
    for (const admitted of [true, false]) {
      const bench = new Bench({}, true);
      bench.reserve(1);
      bench.server.handleVerdict(0, idOf(1), true);
      bench.taken();
      bench.events.length = 0;
      assert.deepEqual(bench.send(2, 1), ['guest to 2']);
      assert.deepEqual(bench.send(2, 1), []);
      assert.deepEqual(bench.say(source(2), encodeReserve(1, TOKEN, 0)), []);
      assert.deepEqual(bench.events, ['judge', 'relay.verdict_pending']);
      bench.server.handleVerdict(0, idOf(2), admitted);
      assert.deepEqual(
        bench.taken().map(({ type, to }) => `${type} to ${to}`),
        admitted ? ['reserved to 2', 'received to 1'] : ['refused to 2', 'gone to 2'],
      );
    }
  });

  it('tells all clients when it closes, with the token that they know', () => {
    const bench = new Bench();
    for (const i of [1, 2]) bench.reserve(i);
    bench.server.close();
    const said = bench.taken();
    assert.deepEqual(
      said.map((reply) => reply.type === 'refused' && [reply.to, reply.reason, toHex(reply.token)]),
      [
        [1, 'closing', toHex(TOKEN)],
        [2, 'closing', toHex(TOKEN)],
      ],
    );
  });

  it('counts unknown types and versions, and answers none but a reserve of another version', () => {
    const bench = new Bench();
    assert.deepEqual(bench.say(source(1), Uint8Array.of(1, 0x7f)), []);
    assert.deepEqual(bench.say(source(1), Uint8Array.of(9, 3)), []);
    assert.deepEqual(bench.say(source(1), encodeReserve(1, TOKEN, 0).subarray(0, MIN_RESERVE_BYTES - 1)), []);
    assert.deepEqual(bench.events, ['relay.unknown_type', 'relay.unknown_version', 'malformed']);
    assert.deepEqual(bench.say(source(1), encodeReserve(9, TOKEN, 0)), [
      { type: 'refused', to: 1, token: TOKEN, reason: 'version', retryS: 600 },
    ]);
  });

  it('never sends more bytes to a client than came because of which', () => {
    const bench = new Bench();
    const six = { ...source(1), observed: { ip: '2001:db8::1', port: 1 } };
    for (const request of [
      encodeReserve(1, TOKEN, 0),
      encodeRelease(1, TOKEN),
      encodeSend(1, TOKEN, new Uint8Array(24)),
    ]) {
      bench.server.handleMessage(0, six, request);
      let bytes = 0;
      for (let next = bench.server.poll(); next.type !== 'wait'; next = bench.server.poll()) {
        if (next.type === 'transmit') bytes += next.transmit.bytes.length;
      }
      assert.ok(bytes <= request.length, `${bytes} for ${request.length}`);
    }
  });
});
