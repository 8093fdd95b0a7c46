/** The machines of a relay and of its clients, without I/O. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, toHex } from '../../../src/base/bytes.ts';
import { memoryAddr, type MemoryAddr } from '../../../src/net/memory/address.ts';
import { RelayClient, type RelayClientTransmit } from '../../../src/protocols/relay/client.ts';
import {
  bytesOfPeerId,
  decodeRelayReply,
  decodeRelayRequest,
  encodeRelease,
  encodeReserve,
  encodeSend,
  MIN_RESERVE_BYTES,
  type RelayReply,
} from '../../../src/protocols/relay/messages.ts';
import { RelayServer } from '../../../src/protocols/relay/server.ts';
import { type RelaySource, type ResolvedRelayBudgets } from '../../../src/protocols/relay/server-options.ts';
import { idOf } from '../../support/relay-world.ts';

const BUDGETS: ResolvedRelayBudgets = {
  maxPeers: 4,
  maxPeersPerSource: 2,
  maxMinutes: 10,
  maxGuests: 3,
  bytesPerSecond: 10_000,
  bytesPerSecondPerSource: 15_000,
  totalBytesPerSecond: 20_000,
};
const TOKEN = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

const source = (i: number, ip = `10.0.${i}.1`): RelaySource<MemoryAddr> => ({
  id: idOf(i),
  addr: memoryAddr(i),
  host: ip,
  observed: { ip, port: 1000 + i },
});

/** A relay, and what it has said. */
class Bench {
  readonly server: RelayServer<MemoryAddr>;
  now = 0;
  readonly events: string[] = [];

  constructor(budgets: Partial<ResolvedRelayBudgets> = {}, judges = false, newest?: number) {
    this.server = new RelayServer<MemoryAddr>(0, { ...BUDGETS, ...budgets }, judges, newest);
  }

  /** @returns what it sends because of a message: to whom, and what. */
  say(from: RelaySource<MemoryAddr>, bytes: Bytes): (RelayReply & { readonly to: number })[] {
    this.server.handleMessage(this.now, from, bytes);
    return this.taken();
  }

  taken(): (RelayReply & { readonly to: number })[] {
    const replies: (RelayReply & { readonly to: number })[] = [];
    for (let next = this.server.poll(); next.type !== 'wait'; next = this.server.poll()) {
      if (next.type === 'event') {
        const { event } = next;
        this.events.push(event.type === 'dropped' ? event.reason : event.type);
      } else {
        const { message } = decodeRelayReply(next.transmit.bytes);
        assert.ok(typeof message !== 'string', 'a relay sends valid messages');
        replies.push({ ...message, to: next.transmit.to.n });
      }
    }
    return replies;
  }

  reserve(i: number, ip?: string): string {
    const [answer] = this.say(source(i, ip), encodeReserve(1, TOKEN, 0));
    return answer?.type === 'refused' ? answer.reason : (answer?.type ?? 'nothing');
  }

  send(from: number, to: number, bytes = 1): string[] {
    const said = this.say(source(from), encodeSend(1, bytesOfPeerId(idOf(to)), new Uint8Array(bytes)));
    return said.map(({ type, to: whom }) => `${type} to ${whom}`);
  }
}

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

/** A client, and what it sends. */
class ClientBench {
  readonly client: RelayClient;
  now = 0;
  #random = 0;
  readonly sent: RelayClientTransmit[] = [];
  /** When. */
  readonly times: number[] = [];

  constructor(newest?: number) {
    this.client = new RelayClient({
      random: (length) => new Uint8Array(length).fill((37 * this.#random++) & 0xff),
      newest,
    });
  }

  poll(): void {
    for (let next = this.client.poll(); next.type !== 'wait'; next = this.client.poll()) {
      if (next.type !== 'transmit') continue;
      this.sent.push(next.transmit);
      this.times.push(this.now);
    }
  }

  /** Lets time go on, from deadline to deadline. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.poll();
      const next = this.client.poll();
      const until = next.type === 'wait' ? next.until : undefined;
      if (until === undefined || until > end) break;
      this.now = Math.max(this.now, until);
      this.client.handleTimeout(this.now);
    }
    this.now = end;
    this.poll();
  }

  grant(lifetimeS = 3600, token = this.sent.at(-1)!.token): void {
    const terms = { lifetimeS, bytesPerSecond: Infinity, mtu: 1232, observed: undefined };
    this.client.handleReply(this.now, 1, { type: 'reserved', token, ...terms });
    this.poll();
  }
}

describe('a client of a relay', () => {
  it('repeats a request at 200, 600, 1400 and 3000 ms with the same token, and says that it was lost', () => {
    const bench = new ClientBench();
    bench.client.reserve(0);
    bench.pass(6199);
    assert.deepEqual(bench.times, [0, 200, 600, 1400, 3000]);
    assert.equal(new Set(bench.sent.map(({ token }) => toHex(token))).size, 1);
    assert.equal(bench.client.state, 'reserving');
    bench.pass(1);
    assert.deepEqual([bench.client.state, bench.client.reason], ['lost', 'timeout']);
  });

  it('renews at half of the lifetime, and every 20 s at the latest', () => {
    const short = new ClientBench();
    short.client.reserve(0);
    short.poll();
    short.grant(10);
    short.pass(5000);
    assert.deepEqual(short.times, [0, 5000]);
    const long = new ClientBench();
    long.client.reserve(0);
    long.poll();
    long.grant();
    long.pass(20_000);
    assert.deepEqual(long.times, [0, 20_000]);
    assert.equal(long.client.untilMs, 3_600_000);
  });

  it('says so when it cannot renew, and asks again with longer and longer pauses until it is released', () => {
    const bench = new ClientBench();
    bench.client.reserve(0);
    bench.poll();
    bench.grant();
    bench.pass(20_000 + 6200);
    assert.deepEqual([bench.client.state, bench.client.grant, bench.client.untilMs], ['lost', undefined, 0]);
    bench.pass(600_000);
    // Five sendings a request: the renewal that failed, then one request after each pause.
    const begun = bench.times.slice(1).filter((_, i) => i % 5 === 0);
    const pauses = begun.slice(1).map((at, i) => at - begun[i]! - 6200);
    assert.ok(pauses.length > 8);
    for (const [i, pause] of pauses.entries()) {
      const least = Math.min(1000 * 2 ** i, 60_000);
      assert.ok(pause >= least && pause <= 1.5 * least, `pause ${i} of ${pause} ms`);
    }
    bench.client.release(bench.now);
    bench.pass(10_000);
    const before = bench.sent.length;
    bench.pass(600_000);
    assert.equal(bench.sent.length, before, 'silent after it was released');
  });

  it('takes no answer with another token: late and forged ones change nothing', () => {
    const bench = new ClientBench();
    bench.client.reserve(0);
    bench.poll();
    bench.grant(3600, Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9));
    assert.equal(bench.client.state, 'reserving');
    const first = bench.sent[0]!.token;
    bench.grant(3600, first);
    assert.equal(bench.client.state, 'reserved');
    bench.pass(20_000);
    const second = bench.sent.at(-1)!.token;
    assert.notDeepEqual(second, first);
    bench.grant(100, first);
    assert.equal(bench.client.untilMs, 3_600_000, 'the late answer to the first request');
    bench.client.handleReply(bench.now, 1, {
      type: 'refused',
      token: new Uint8Array(8).fill(7),
      reason: 'full',
      retryS: 9,
    });
    assert.equal(bench.client.state, 'reserved');
    bench.client.handleReply(bench.now, 1, { type: 'released', token: second });
    assert.equal(bench.client.state, 'reserved', 'no answer to a reserve');
  });

  it('is ended by a notice with the token of its grant, and comes back when the relay says', () => {
    const bench = new ClientBench();
    bench.client.reserve(0);
    bench.poll();
    bench.grant();
    const { token } = bench.sent[0]!;
    bench.client.handleReply(1000, 1, { type: 'refused', token, reason: 'closing', retryS: 5 });
    bench.now = 1000;
    assert.deepEqual([bench.client.state, bench.client.reason], ['lost', 'closing']);
    bench.pass(4999);
    assert.equal(bench.sent.length, 1);
    bench.pass(2600);
    assert.equal(bench.sent.length > 1, true);
  });

  it('renews at once when the relay takes it for a guest, once a second at most', () => {
    const bench = new ClientBench();
    bench.client.reserve(0);
    bench.poll();
    bench.grant();
    bench.client.handleReply(100, 1, { type: 'guest' });
    bench.now = 100;
    bench.poll();
    assert.equal(bench.sent.length, 2);
    bench.grant();
    bench.client.handleReply(200, 1, { type: 'guest' });
    bench.poll();
    assert.equal(bench.sent.length, 2);
  });

  it('of version 2 talks to a relay of version 1, and a relay of version 2 to a client of version 1', () => {
    const bench = new ClientBench(2);
    const relay = new Bench();
    bench.client.reserve(0);
    bench.poll();
    assert.equal(bench.sent[0]!.bytes[0], 2);
    relay.server.handleMessage(0, source(1), bench.sent[0]!.bytes);
    const answer = relay.server.poll();
    if (answer.type !== 'event') assert.fail('the unknown version is counted first');
    const refusal = relay.server.poll();
    assert.ok(refusal.type === 'transmit');
    const { version, message } = decodeRelayReply(refusal.transmit.bytes, 2);
    assert.ok(typeof message !== 'string' && message.type === 'refused');
    bench.client.handleReply(0, version, message);
    bench.poll();
    assert.equal(bench.sent.at(-1)!.bytes[0], 1);
    assert.equal(bench.client.version, 1);

    const newer = new Bench({}, false, 2);
    newer.server.handleMessage(0, source(1), encodeReserve(1, TOKEN, 0));
    for (let next = newer.server.poll(); next.type !== 'wait'; next = newer.server.poll()) {
      if (next.type === 'transmit') assert.equal(next.transmit.bytes[0], 1);
    }
    assert.equal(decodeRelayRequest(encodeReserve(2, TOKEN, 0), 2).version, 2);
  });
});
