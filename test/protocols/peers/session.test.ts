import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText, encodeText, toHex } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { BYE } from '../../../src/protocols/peers/constants.ts';
import { Pair, type PathConditions, type Side } from './pair.ts';

const texts = (side: Side): (string | undefined)[] => side.of('tell').map(({ payload }) => decodeText(payload));

/** Answers every request with its payload. */
function echo(side: Side): void {
  const { onEvent } = side;
  side.onEvent = (event) => {
    onEvent(event);
    if (event.type === 'request') side.session.answer(side.pair.now, event.number, event.payload);
  };
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `message ${i}`);

describe('PeerSession: tells', () => {
  it('arrive once and in order over a path that loses, repeats and reorders', () => {
    const pair = new Pair({ seed: 7 });
    pair.open({ lossShare: 0.2, repeatShare: 0.2, jitterMs: 100, isReliable: false });
    for (const text of numbered(1000)) pair.alice.session.tell(pair.now, encodeText(text));
    pair.run(120_000);
    assert.deepEqual(texts(pair.bob), numbered(1000));
    assert.equal(pair.alice.session.unacknowledged, 0);
  });

  it('larger than a packet go in parts, also when the next path has smaller packets', () => {
    const pair = new Pair({ seed: 8 });
    const payload = createSeededRandom(1).bytes(300_000);
    const first = pair.open({ mtu: 1200, isReliable: false, lossShare: 0.3 });
    pair.alice.session.tell(pair.now, payload);
    pair.run(300);
    pair.kill(first);
    pair.open({ mtu: 700, isReliable: false, lossShare: 0.1, jitterMs: 30 });
    pair.run(60_000);
    assert.equal(toHex(pair.bob.of('tell')[0]!.payload), toHex(payload));
  });

  it('wait for the application: no more than the window is out', () => {
    const pair = new Pair({ tellWindow: 100_000 });
    pair.open();
    pair.bob.onEvent = () => undefined;
    const told = Array.from({ length: 200 }, () => pair.alice.session.tell(pair.now, new Uint8Array(10_000)));
    pair.run(5000);
    assert.equal(pair.bob.of('tell').length, 9);
    assert.equal(pair.alice.session.isPending(told[150]!), true);
    for (const { payload } of pair.bob.of('tell')) pair.bob.session.consumedTell(pair.now, payload.length);
    pair.run(1000);
    assert.ok(pair.bob.of('tell').length >= 17);
  });

  it('one larger than the window passes', () => {
    const pair = new Pair({ tellWindow: 1000 });
    pair.open();
    pair.alice.session.tell(pair.now, new Uint8Array(50_000));
    pair.run(1000);
    assert.equal(pair.bob.of('tell').length, 1);
  });

  it('go by priority, and in order within one', () => {
    const pair = new Pair({ tellWindow: 200 });
    pair.open();
    pair.bob.onEvent = () => undefined;
    for (const [text, priority] of [
      ['first', 0],
      ['second', 0],
      ['low', -1],
      ['high', 5],
      ['high too', 5],
    ] as const) {
      pair.alice.session.tell(pair.now, encodeText(text.padEnd(100, ' ')), priority);
    }
    pair.run(100);
    pair.bob.onEvent = (event) =>
      event.type === 'tell' && pair.bob.session.consumedTell(pair.now, event.payload.length);
    pair.bob.session.consumedTell(pair.now, 100);
    pair.run(5000);
    const order = texts(pair.bob).map((text) => text?.trim());
    assert.deepEqual(order, ['high', 'high too', 'first', 'second', 'low']);
  });

  it('that expire before they are sent are reported, and not sent', () => {
    const pair = new Pair();
    const message = pair.alice.session.tell(pair.now, encodeText('too late'), 0, pair.now + 500);
    pair.alice.poll();
    pair.run(1000);
    assert.deepEqual(pair.alice.of('tell_failed'), [{ type: 'tell_failed', message, sent: 'no', reason: 'expired' }]);
    pair.open();
    pair.run(1000);
    assert.deepEqual(texts(pair.bob), []);
  });
});

describe('PeerSession: asks', () => {
  it('get one answer each, in any order', () => {
    const pair = new Pair();
    pair.open();
    const requests: number[] = [];
    pair.bob.onEvent = (event) => event.type === 'request' && requests.push(event.number);
    const asked = numbered(5).map((text) => pair.alice.session.ask(pair.now, encodeText(text), 1000));
    pair.run(100);
    for (const number of requests.toReversed()) pair.bob.session.answer(pair.now, number, encodeText(`to ${number}`));
    pair.run(100);
    const answers = pair.alice.of('answer').map(({ message: { number }, payload }) => [number, decodeText(payload)]);
    assert.deepEqual(
      answers,
      asked.toReversed().map(({ number }) => [number, `to ${number}`]),
    );
  });

  it('are refused with code and bytes; an answer that is too large is refused with code 0', () => {
    const pair = new Pair();
    pair.open();
    pair.alice.session.ask(pair.now, encodeText('a'), 10);
    pair.alice.session.ask(pair.now, encodeText('b'), 10);
    pair.run(100);
    const [a, b] = pair.bob.of('request');
    pair.bob.session.refuse(pair.now, a!.number, 7, encodeText('why'));
    assert.equal(pair.bob.session.answer(pair.now, b!.number, new Uint8Array(11)), false);
    pair.run(100);
    const refusals = pair.alice.of('refusal').map(({ code, payload }) => [code, decodeText(payload)]);
    assert.deepEqual(refusals, [
      [7, 'why'],
      [0, ''],
    ]);
  });

  it('that are given up are cancelled at the peer, and their answers ignored', () => {
    const pair = new Pair();
    pair.open();
    const asked = pair.alice.session.ask(pair.now, encodeText('a'), 10);
    pair.run(100);
    pair.alice.session.giveUp(pair.now, asked);
    pair.run(100);
    assert.deepEqual(pair.bob.of('cancelled'), [{ type: 'cancelled', number: asked.number }]);
    pair.bob.session.answer(pair.now, asked.number, encodeText('late'));
    pair.run(100);
    assert.deepEqual(pair.alice.of('answer'), []);
  });
});

describe('PeerSession: paths', () => {
  it('1000 tells and asks in flight at each of 100 path changes arrive once and in order; asks execute once', () => {
    for (const isAnnounced of [true, false]) {
      const pair = new Pair({ seed: `switch ${isAnnounced}` });
      echo(pair.bob);
      const conditions = (i: number): PathConditions =>
        i % 2 === 0 ? {} : { isReliable: false, lossShare: 0.05, repeatShare: 0.05, jitterMs: 20 };
      let path = pair.open(conditions(0));
      const told: string[] = [];
      for (let i = 0; i < 100; i++) {
        for (let n = 0; n < 500; n++) {
          told.push(`tell ${i} ${n}`);
          pair.alice.session.tell(pair.now, encodeText(told.at(-1)!));
          pair.alice.session.ask(pair.now, encodeText(`ask ${i} ${n}`), 100);
        }
        pair.alice.poll();
        pair.run(pair.random.next() * 30);
        if (isAnnounced) pair.kill(path);
        else {
          pair.silence(path);
          pair.run(10_000, () => pair.alice.session.paths.size === 0 && pair.bob.session.paths.size === 0);
        }
        path = pair.open(conditions(i + 1));
      }
      for (let i = 0; i < 60 && pair.alice.of('answer').length < told.length; i++) pair.run(10_000);
      assert.deepEqual(texts(pair.bob), told);
      assert.equal(new Set(pair.bob.of('request').map(({ number }) => number)).size, told.length);
      assert.equal(pair.bob.of('request').length, told.length);
      const asked = told.map((text) => text.replace('tell', 'ask'));
      assert.deepEqual(
        pair.alice
          .of('answer')
          .map(({ payload }) => decodeText(payload))
          .toSorted((a, b) => (a! < b! ? -1 : 1)),
        asked.toSorted((a, b) => (a < b ? -1 : 1)),
      );
    }
  });

  it('the better one is used once it is there, both sides use the same, and the other becomes spare', () => {
    const pair = new Pair();
    const first = pair.open({ rank: 2 });
    pair.run(100);
    const second = pair.open({ rank: 1 });
    pair.run(3000);
    assert.equal(pair.alice.session.paths.current?.id, second);
    assert.equal(pair.bob.session.paths.current?.id, second);
    assert.deepEqual(pair.alice.of('spare')[0], { type: 'spare', path: first });
    assert.deepEqual(pair.bob.of('spare'), []);
  });

  it('one that dies silently under traffic is dead after 2 s, and not by one lost ping', () => {
    const pair = new Pair();
    const path = pair.open({ delayMs: 20 });
    pair.run(100);
    pair.silence(path);
    pair.alice.session.tell(pair.now, encodeText('anybody?'));
    const began = pair.now;
    pair.run(1900);
    assert.equal(pair.alice.session.paths.size, 1);
    pair.run(10_000, () => pair.alice.session.paths.size === 0);
    assert.ok(pair.now - began <= 2100, `dead after ${pair.now - began} ms`);
    assert.equal(pair.alice.of('path').at(-1)?.reason, 'silent');
  });

  it('one on which a packet is on its way for long lives while its transport moves, and dies 2 s after that stopped', () => {
    let moved = 0;
    let isMoving = true;
    const pair = new Pair({ progress: () => (isMoving ? ++moved : moved) });
    const path = pair.open({ delayMs: 20 });
    pair.run(100);
    pair.silence(path); // As where a large packet is before everything else.
    pair.alice.session.tell(pair.now, encodeText('anybody?'));
    pair.run(60_000);
    assert.equal(pair.alice.session.paths.size, 1);
    isMoving = false;
    pair.run(3000);
    assert.equal(pair.alice.session.paths.size, 0);
  });

  it('an idle one that somebody wants is asked every 15 s and lives', () => {
    const pair = new Pair();
    pair.alice.session.isMaintained = true;
    pair.open();
    pair.run(1000);
    const { sent } = pair;
    pair.run(600_000);
    assert.equal(pair.alice.session.paths.size, 1);
    const each = (pair.sent - sent) / 40;
    assert.ok(each <= 4.5, `${each} packets each 15 s`);
  });

  it('after a wake a dead one is given up within 1.1 s', () => {
    const pair = new Pair();
    const path = pair.open();
    pair.run(1000);
    pair.silence(path);
    pair.run(5000);
    const woke = pair.now;
    pair.alice.session.wake(pair.now);
    pair.run(5000, () => pair.alice.session.paths.size === 0);
    assert.ok(pair.now - woke <= 1100, `after ${pair.now - woke} ms`);
  });
});

describe('PeerSession: streams', () => {
  it('carry bytes in order both ways, through path changes, with half-close', () => {
    const pair = new Pair({ seed: 3 });
    let path = pair.open();
    const MIB = 1_048_576;
    const sent = createSeededRandom(5).bytes(8 * MIB);
    const id = pair.alice.session.streams.open()!;
    let at = 0;
    const write = (): void => {
      while (at < sent.length) {
        const end = Math.min(at + 100_000, sent.length);
        const goOn = pair.alice.session.streams.write(id, sent.subarray(at, end));
        at = end;
        if (!goOn) return;
      }
      pair.alice.session.streams.finish(id);
    };
    pair.alice.onEvent = (event) => {
      if (event.type === 'stream_writable') write();
    };
    let received = 0;
    let isLast = false;
    pair.bob.onEvent = (event) => {
      if (event.type !== 'stream_bytes') return;
      assert.deepEqual(event.bytes, sent.subarray(received, received + event.bytes.length));
      received += event.bytes.length;
      isLast = event.isLast;
      pair.bob.session.streams.read(id, event.bytes.length);
    };
    write();
    for (let i = 0; i < 5; i++) {
      pair.run(60);
      pair.kill(path);
      path = pair.open({ delayMs: 5 + i });
    }
    pair.run(600_000, () => isLast);
    assert.equal(received, sent.length);
    pair.bob.session.streams.write(id, encodeText('thanks'));
    pair.bob.session.streams.finish(id);
    pair.run(1000);
    const back = pair.alice.of('stream_bytes').map(({ bytes, isLast }) => [decodeText(bytes), isLast]);
    assert.deepEqual(back.at(-1)?.[1], true);
    assert.equal(back.map(([text]) => text).join(''), 'thanks');
    assert.equal(pair.alice.session.streams.size, 0);
    assert.equal(pair.bob.session.streams.size, 0);
  });

  it('1 GB goes through five path changes, byte for byte', () => {
    const pair = new Pair({ seed: 6 });
    let path = pair.open({ delayMs: 2 });
    const MIB = 1_048_576;
    const total = 1024 * MIB;
    // Each byte is the low byte of a multiple of its position, so that a missing or repeated piece shows.
    const pattern = Uint8Array.from({ length: 251 * 4096 }, (_, i) => i % 251);
    const id = pair.alice.session.streams.open()!;
    let sent = 0;
    const write = (): void => {
      while (sent < total) {
        const from = sent % 251;
        const length = Math.min(262_144, total - sent);
        sent += length;
        if (!pair.alice.session.streams.write(id, pattern.subarray(from, from + length))) return;
      }
      pair.alice.session.streams.finish(id);
    };
    pair.alice.onEvent = (event) => event.type === 'stream_writable' && write();
    let received = 0;
    let isLast = false;
    pair.bob.onEvent = (event) => {
      if (event.type !== 'stream_bytes') return;
      const { length } = event.bytes;
      // A few bytes of each piece: all of them would take a minute.
      for (const at of [0, length >> 1, length - 1]) {
        if (length > 0) assert.equal(event.bytes[at], (received + at) % 251);
      }
      received += length;
      isLast = event.isLast;
      pair.bob.events.length = 0;
      pair.bob.session.streams.read(id, length);
    };
    write();
    for (let i = 1; i <= 5; i++) {
      pair.run(600_000, () => received > (i * total) / 6);
      if (i % 2 === 0) pair.kill(path);
      else pair.silence(path);
      pair.run(30_000, () => pair.alice.session.paths.size === 0 && pair.bob.session.paths.size === 0);
      path = pair.open({ delayMs: 1 + i });
    }
    pair.run(600_000, () => isLast);
    assert.equal(received, total);
  });

  it('that are not read stop their sender only', () => {
    const pair = new Pair();
    pair.open();
    const slow = pair.alice.session.streams.open()!;
    for (let i = 0; i < 10; i++) pair.alice.session.streams.write(slow, new Uint8Array(100_000));
    pair.run(1000);
    const got = pair.bob.of('stream_bytes').reduce((sum, { bytes }) => sum + bytes.length, 0);
    assert.equal(got, 262_144);
    const other = pair.alice.session.streams.open()!;
    pair.alice.session.streams.write(other, encodeText('not held up'));
    pair.alice.session.tell(pair.now, encodeText('nor this'));
    pair.run(1000);
    assert.equal(decodeText(pair.bob.of('stream_bytes').at(-1)!.bytes), 'not held up');
    assert.deepEqual(texts(pair.bob), ['nor this']);
  });

  it('are reset with a code', () => {
    const pair = new Pair();
    pair.open();
    const id = pair.alice.session.streams.open()!;
    pair.alice.session.streams.write(id, encodeText('a'));
    pair.run(100);
    pair.bob.session.streams.reset(id, 4711);
    pair.run(100);
    assert.deepEqual(pair.alice.of('stream_reset'), [{ type: 'stream_reset', stream: id, code: 4711 }]);
  });
});

describe('PeerSession: the end', () => {
  it('bye ends both sides: calls fail with what is known of them', () => {
    const pair = new Pair();
    pair.open();
    const asked = pair.alice.session.ask(pair.now, encodeText('a'), 10);
    pair.run(100);
    pair.bob.session.close(pair.now, BYE.CLOSED, 'good night');
    pair.run(100);
    assert.deepEqual(pair.alice.session.closed, { by: 'peer', code: BYE.CLOSED, reason: 'good night' });
    assert.deepEqual(pair.alice.of('ask_failed'), [
      { type: 'ask_failed', message: asked, sent: 'maybe', reason: 'ended' },
    ]);
  });

  it('without a path it ends after resumeMs', () => {
    const pair = new Pair();
    const path = pair.open();
    pair.run(100);
    pair.kill(path);
    pair.run(29_000);
    assert.deepEqual(pair.alice.of('closed'), []);
    pair.run(2000);
    assert.equal(pair.alice.of('closed')[0]?.closed.by, 'lost');
  });

  it('an idle one ends when nobody maintains it', () => {
    const pair = new Pair({ idleMs: 60_000 });
    pair.open();
    pair.alice.session.tell(pair.now, encodeText('a'));
    pair.run(59_000);
    assert.deepEqual(pair.alice.of('closed'), []);
    pair.run(3000);
    assert.equal(pair.alice.of('closed')[0]?.closed.code, BYE.IDLE);
    assert.equal(pair.bob.of('closed').length, 1);
  });

  it('one that the other side maintains does not end as idle', () => {
    const pair = new Pair({ idleMs: 60_000 });
    pair.open();
    pair.bob.session.isMaintained = true;
    pair.run(600_000);
    assert.deepEqual(pair.alice.of('closed'), []);
  });
});
