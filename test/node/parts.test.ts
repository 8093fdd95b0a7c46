/** The parts of the node that have no I/O: places, bans, rates, the queue of what is to be sent. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { concatBytes, toHex } from '../../src/base/bytes.ts';
import { Bans } from '../../src/node/bans.ts';
import type { FrameWriter } from '../../src/node/codec.ts';
import { Admission, type Reservation } from '../../src/node/limits.ts';
import { RateMeter } from '../../src/node/rate.ts';
import { SendQueue, type Ticket } from '../../src/node/send-queue.ts';

const taken = (place: Reservation | string): Reservation => {
  if (typeof place === 'string') assert.fail(place);
  return place;
};

describe('admission', () => {
  it('any order of reserving, establishing and releasing keeps all limits, and ends at nothing', () => {
    const step = fc.record({ act: fc.constantFrom('reserve', 'establish', 'release'), at: fc.nat(30), ip: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const admission = new Admission({ maxConnections: 7, maxConnectionsPerIp: 3, maxConnecting: 4 });
        const places: { readonly place: Reservation; readonly ip: number; open: boolean; setting: boolean }[] = [];
        for (const { act, at, ip } of steps) {
          const one = places[at % Math.max(places.length, 1)];
          if (act === 'reserve') {
            const place = admission.reserve(`10.0.0.${ip}`, 'responder');
            if (typeof place !== 'string') places.push({ place, ip, open: true, setting: true });
          } else if (one !== undefined && act === 'establish') {
            one.place.establish();
            one.setting = false;
          } else if (one !== undefined) {
            one.place.release();
            one.open = false;
          }
          const open = places.filter((each) => each.open);
          assert.equal(admission.total, open.length);
          assert.equal(admission.connecting, open.filter(({ setting }) => setting).length);
          assert.ok(admission.total <= 7 && admission.connecting <= 4);
          for (let each = 0; each < 4; each++) assert.ok(open.filter((one) => one.ip === each).length <= 3);
        }
        for (const { place } of places) place.release();
        assert.deepEqual([admission.total, admission.connecting], [0, 0]);
        // Every place is free again, for every IP.
        for (let i = 0; i < 3; i++) taken(admission.reserve('10.0.0.1', 'responder')).establish();
        assert.equal(admission.reserve('10.0.0.1', 'responder'), 'max_connections_per_ip');
      }),
    );
  });

  it('keeps a sixteenth of the places for dials, and no more than 16', () => {
    for (const [maxConnections, reserved] of [
      [16, 1],
      [160, 10],
      [1000, 16],
    ] as const) {
      const admission = new Admission({ maxConnections, maxConnectionsPerIp: 1000, maxConnecting: 1000 });
      let inbound = 0;
      while (typeof admission.reserve('10.0.0.1', 'initiator') !== 'string') inbound++;
      assert.equal(inbound, maxConnections - reserved);
      let outbound = 0;
      while (typeof admission.reserve('10.0.0.1', 'responder') !== 'string') outbound++;
      assert.equal(outbound, Math.min(reserved, 1000 - inbound));
    }
  });

  it('when those being set up fill it, one of a network that has more makes room for a newcomer', () => {
    const admission = new Admission({ maxConnections: 4, maxConnectionsPerIp: 4, maxConnecting: 4 });
    const evicted: number[] = [];
    for (let i = 0; i < 4; i++) taken(admission.reserve('10.0.0.1', 'initiator', () => void evicted.push(i)));
    taken(admission.reserve('10.9.0.1', 'initiator'));
    assert.deepEqual([evicted, admission.total], [[0], 4]);
    assert.equal(admission.reserve('10.0.0.1', 'initiator'), 'max_connecting');
  });

  it('says which limit is reached', () => {
    const admission = new Admission({ maxConnections: 3, maxConnectionsPerIp: 2, maxConnecting: 2 });
    const [first] = [taken(admission.reserve('a', 'responder')), taken(admission.reserve('b', 'responder'))];
    assert.equal(admission.reserve('c', 'responder'), 'max_connecting');
    first.establish();
    taken(admission.reserve('a', 'responder')).establish();
    assert.equal(admission.reserve('d', 'responder'), 'max_connections');
  });

  it('counts those that come and those that go apart, and keeps places for our own', () => {
    const admission = new Admission({ maxConnections: 64, maxConnectionsPerIp: 64, maxConnecting: 10 });
    for (let i = 0; i < 10; i++) taken(admission.reserve(`192.0.${i}.1`, 'initiator'));
    assert.equal(admission.reserve('192.0.77.1', 'initiator'), 'max_connecting', 'each network has one');
    for (let i = 0; i < 10; i++) taken(admission.reserve(`198.51.${i}.1`, 'responder'));
    assert.equal(admission.reserve('198.51.77.1', 'responder'), 'max_connecting');
    const full = new Admission({ maxConnections: 64, maxConnectionsPerIp: 64, maxConnecting: 64 });
    for (let i = 0; i < 60; i++) taken(full.reserve('192.0.2.1', 'initiator')).establish();
    assert.equal(full.reserve('192.0.3.1', 'initiator'), 'max_connections');
    for (let i = 0; i < 4; i++) taken(full.reserve('198.51.100.1', 'responder'));
    assert.equal(full.reserve('198.51.100.1', 'responder'), 'max_connections');
  });

  it('a newcomer takes the place of a set-up of the network that has most, and nobody that of an own dial', () => {
    const admission = new Admission({ maxConnections: 100, maxConnecting: 10 });
    const evicted: string[] = [];
    const reserve = (ip: string): Reservation | string =>
      admission.reserve(ip, 'initiator', () => void evicted.push(ip));
    taken(admission.reserve('203.0.113.9', 'responder'));
    const honest = taken(reserve('198.51.100.1'));
    for (let i = 0; i < 9; i++) taken(reserve('203.0.113.1'));
    assert.equal(reserve('203.0.113.1'), 'max_connecting');
    taken(reserve('192.0.2.1'));
    taken(reserve('192.0.3.1'));
    assert.deepEqual(evicted, ['203.0.113.1', '203.0.113.1']);
    assert.equal(admission.connecting, 11);
    honest.establish();
    assert.equal(admission.total, 11);
  });

  it('maxConnecting is at most maxConnections', () => {
    assert.equal(new Admission({ maxConnections: 5 }).maxConnecting, 5);
    assert.equal(new Admission({ maxConnections: 5, maxConnecting: 9 }).maxConnecting, 5);
  });

  it('groups IPv6 by its first 64 bits only when told to', () => {
    const [plain, grouped] = [false, true].map((groupIpv6) => new Admission({ maxConnectionsPerIp: 1, groupIpv6 }));
    for (const admission of [plain!, grouped!]) taken(admission.reserve('2001:db8::1', 'responder'));
    taken(plain!.reserve('2001:db8::2', 'responder'));
    assert.equal(grouped!.reserve('2001:db8::2', 'responder'), 'max_connections_per_ip');
    taken(grouped!.reserve('2001:db8:0:1::2', 'responder'));
  });
});

describe('bans', () => {
  it('an IP that is banned again, when they are full, takes no other place', () => {
    const bans = new Bans(2, false);
    bans.add('10.0.0.1', 100, 0);
    bans.add('10.0.0.2', 200, 0);
    bans.add('10.0.0.2', 300, 0);
    assert.deepEqual(
      [...bans.list(0)],
      [
        ['10.0.0.1', 100],
        ['10.0.0.2', 300],
      ],
    );
  });

  it('expire, can be lifted, and are bounded: the one that ends soonest makes room', () => {
    const bans = new Bans(2, false);
    bans.add('a', 100, 0);
    assert.deepEqual([bans.has('a', 99), bans.has('a', 100), bans.list(100).size], [true, false, 0]);
    bans.add('a', 100, 0);
    bans.add('b', 50, 0);
    bans.add('c', Infinity, 0);
    assert.deepEqual([...bans.list(0).keys()], ['a', 'c']);
    assert.deepEqual([bans.lift('a'), bans.lift('a')], [true, false]);
  });
});

describe('rate', () => {
  it('lets no more through at once than the burst, however long nothing came', () => {
    const meter = new RateMeter({ messagesPerSecond: 10, bytesPerSecond: 1000, burstSeconds: 2 });
    for (const nowMs of [0, 3_600_000]) {
      let passed = 0;
      while (meter.take(1, nowMs)) passed++;
      assert.equal(passed, 20);
    }
    assert.equal(meter.take(2000, 7_200_000), true);
    assert.equal(meter.take(1, 7_200_000), false, 'the bytes of two seconds are used up');
  });

  it('lets the burst through, then the rate', () => {
    const meter = new RateMeter({ messagesPerSecond: 100, burstSeconds: 0.5 });
    let passed = 0;
    for (let now = 0; now < 10_000; now++) for (let i = 0; i < 3; i++) if (meter.take(1, now)) passed++;
    assert.ok(passed >= 1049 && passed <= 1051, String(passed));
    assert.ok(meter.waitMs(9999) > 0 && meter.waitMs(9999) <= 10);
    assert.equal(meter.waitMs(10_020), 0);
  });

  it('a message larger than the burst passes once, and is paid for', () => {
    const meter = new RateMeter({ bytesPerSecond: 1000 });
    assert.equal(meter.take(5000, 0), true);
    assert.equal(meter.take(1, 3000), false);
    assert.equal(meter.take(1, 4001), true);
  });

  it('refuses rates that are none', () => {
    assert.throws(() => new RateMeter({ messagesPerSecond: 0 }), RangeError);
    assert.throws(() => new RateMeter({ bytesPerSecond: Number.NaN }), TypeError);
  });
});

describe('send queue', () => {
  const write = {
    encode: (bytes: Uint8Array, out: FrameWriter): void => {
      out.uint32(bytes.length);
      out.bytes(bytes);
    },
  };
  const never = (): void => assert.fail('nothing is late');

  it('all that is pushed comes out: by priority, in order, whole frames, exact counts', () => {
    const frame = fc.record({ size: fc.oneof(fc.nat(100), fc.nat(20_000)), priority: fc.integer({ min: -1, max: 1 }) });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 60 }), fc.integer({ min: 1, max: 100_000 }), (pushed, wantBytes) => {
        const queue = new SendQueue(Infinity);
        const expected = new Map<number, string[]>([-1, 0, 1].map((priority) => [priority, []]));
        for (const [i, { size, priority }] of pushed.entries()) {
          const message = new Uint8Array(size).fill(i);
          expected.get(priority)!.push(toHex(message));
          assert.equal(queue.push(priority, message, write), true);
        }
        assert.equal(
          queue.bytes,
          pushed.reduce((sum, { size }) => sum + size + 4, 0),
        );
        const out: Uint8Array[] = [];
        let frames = 0;
        for (
          let batch = queue.take(wantBytes, 0, never);
          batch !== undefined;
          batch = queue.take(wantBytes, 0, never)
        ) {
          assert.equal(
            batch.bytes,
            batch.pieces.reduce((sum, { length }) => sum + length, 0),
          );
          out.push(...batch.pieces);
          frames += batch.frames;
          queue.landed(batch);
        }
        assert.equal(frames, pushed.length);
        const wanted = [1, 0, -1].flatMap((priority) => expected.get(priority)!);
        const stream = concatBytes(...out);
        const seen: string[] = [];
        for (let at = 0; at < stream.length;) {
          const length = new DataView(stream.buffer).getUint32(at);
          seen.push(toHex(stream.subarray(at + 4, at + 4 + length)));
          at += 4 + length;
        }
        assert.deepEqual(seen, wanted);
        assert.deepEqual([queue.bytes, queue.isEmpty, queue.oldest()], [0, true, Infinity]);
      }),
      { numRuns: 100 },
    );
  });

  it('never holds more than its bound, and what is refused leaves no trace', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(9000), fc.boolean()), { maxLength: 80 }), (steps) => {
        const queue = new SendQueue(20_000);
        let held = 0;
        let count = 0;
        for (const [size, fails] of steps) {
          const bytes = new Uint8Array(size);
          if (fails) {
            assert.throws(() =>
              queue.push(0, bytes, {
                encode: (message, out) => {
                  write.encode(message, out);
                  throw new Error('bug');
                },
              }),
            );
          } else if (queue.push(0, bytes, write)) {
            held += size + 4;
            count++;
          } else assert.ok(held + size + 4 > 20_000);
          assert.equal(queue.bytes, held);
          assert.ok(held <= 20_000);
        }
        let [bytes, frames] = [0, 0];
        for (let batch = queue.take(1, 0, never); batch !== undefined; batch = queue.take(1, 0, never)) {
          bytes += batch.pieces.reduce((sum, { length }) => sum + length, 0);
          frames += batch.frames;
        }
        assert.deepEqual([bytes, frames], [held, count]);
      }),
      { numRuns: 100 },
    );
  });

  it('memory that is used again holds nothing that is still on its way', () => {
    const queue = new SendQueue(Infinity, true);
    const flying: { readonly batch: NonNullable<ReturnType<SendQueue['take']>>; readonly copy: string }[] = [];
    for (let i = 0; i < 3000; i++) {
      queue.push(i % 3, new Uint8Array(50 + (i % 700)).fill(i), write);
      if (i % 97 === 0) {
        const batch = queue.take(100_000, 0, never);
        if (batch !== undefined) flying.push({ batch, copy: toHex(concatBytes(...batch.pieces)) });
      }
      // They land in another order than they were taken in, and some late.
      if (i % 211 === 0 && flying.length > 2) {
        const [{ batch, copy }] = flying.splice(flying.length >> 1, 1) as [(typeof flying)[number]];
        assert.equal(toHex(concatBytes(...batch.pieces)), copy);
        queue.landed(batch);
      }
    }
    for (const { batch, copy } of flying) assert.equal(toHex(concatBytes(...batch.pieces)), copy);
  });

  /** Pushes so many frames of 1000 bytes, takes them all, and lets them land. */
  function passThrough(queue: SendQueue, frames: number, fill: number): readonly Uint8Array[] {
    for (let i = 0; i < frames; i++) queue.push(0, new Uint8Array(996).fill(fill), write);
    const all: Uint8Array[] = [];
    for (let batch = queue.take(Infinity, 0, never); batch !== undefined; batch = queue.take(Infinity, 0, never)) {
      all.push(...batch.pieces);
      queue.landed(batch);
    }
    return all;
  }

  it('where pieces that have landed may be in use, none of them is ever written again', () => {
    const queue = new SendQueue(Infinity);
    const kept = [...passThrough(queue, 300, 1), ...passThrough(queue, 70, 2)];
    const before = toHex(concatBytes(...kept));
    for (let round = 0; round < 5; round++) passThrough(queue, 300, 7);
    for (let round = 0; round < 5; round++) passThrough(new SendQueue(Infinity, true), 300, 7);
    assert.equal(toHex(concatBytes(...kept)), before);
  });

  it('keeps at most 4 MiB of chunks to be used again', () => {
    // Whole ones: small chunks are parts of Node's own pool, which may have the same size.
    const large = (pieces: readonly Uint8Array[]): Set<ArrayBufferLike> =>
      new Set(pieces.filter(({ length }) => length >= 57_344).map(({ buffer }) => buffer));
    const first = large(passThrough(new SendQueue(Infinity, true), 10_000, 1));
    assert.ok(first.size > 100, String(first.size));
    const again = large(passThrough(new SendQueue(Infinity, true), 10_000, 2));
    const reused = [...again].filter((buffer) => first.has(buffer)).length;
    assert.ok(reused > 0 && reused <= 64, String(reused));
  });

  it('small frames share a piece, large ones are pieces of their own', () => {
    const queue = new SendQueue(Infinity);
    for (let i = 0; i < 10; i++) queue.push(0, new Uint8Array(10), write);
    const large = new Uint8Array(10_000);
    queue.push(0, large, write);
    const { pieces } = queue.take(Infinity, 0, never)!;
    assert.deepEqual(
      pieces.map(({ length }) => length),
      [144, 10_000],
    );
    assert.equal(pieces[1]!.buffer, large.buffer);
  });

  it('late messages are dropped when taken, or when somebody looks; tickets tell', () => {
    const queue = new SendQueue(Infinity);
    const told: string[] = [];
    const ticket = (name: string, deadlineMs: number): Ticket => ({ deadlineMs, settle: () => void told.push(name) });
    queue.push(0, new Uint8Array(1), write, ticket('soon', 10));
    queue.push(0, new Uint8Array(1), write, ticket('later', 20));
    queue.push(0, new Uint8Array(1), write, ticket('never', Infinity));
    assert.equal(queue.nextDeadline(), 10);
    assert.equal(queue.expire(10).length, 1);
    const late: Ticket[] = [];
    const batch = queue.take(Infinity, 30, (each) => late.push(each))!;
    assert.deepEqual([batch.frames, late.length, batch.tickets.length], [1, 1, 1]);
    assert.equal(queue.bytes, 5);
    assert.equal(queue.clear().length, 1);
    assert.deepEqual([queue.bytes, queue.isEmpty], [0, true]);
  });

  it('a fence is passed when everything before it has landed, whatever came after', () => {
    const queue = new SendQueue(Infinity);
    queue.push(0, new Uint8Array(1), write);
    const fence = queue.fence();
    queue.push(5, new Uint8Array(1), write);
    const urgent = queue.take(1, 0, never)!;
    queue.landed(urgent);
    assert.ok(queue.oldest() <= fence);
    const rest = queue.take(1, 0, never)!;
    assert.ok(queue.oldest() <= fence);
    queue.landed(rest);
    assert.ok(queue.oldest() > fence);
  });
});
