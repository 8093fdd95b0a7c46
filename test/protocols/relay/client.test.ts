/** A client of a relay without I/O: it keeps a reservation. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { toHex } from '../../../src/base/bytes.ts';
import { RelayClient, type RelayClientTransmit } from '../../../src/protocols/relay/client.ts';
import { decodeRelayReply, decodeRelayRequest, encodeReserve } from '../../../src/protocols/relay/messages.ts';
import { RelayBench as Bench, source, TOKEN } from '../../support/relay-bench.ts';

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
