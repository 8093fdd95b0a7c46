import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, decodeText, encodeText } from '../../../src/base/bytes.ts';
import { BYE, MAX_OUT_NUMBERS, MAX_STREAMS, MESSAGE, STREAM_REFUSED } from '../../../src/protocols/peers/constants.ts';
import { makeOutgoing } from '../../../src/protocols/peers/outgoing.ts';
import { encodeAck, encodePart, finishNumbered, tagOf } from '../../../src/protocols/peers/packets.ts';
import type { SessionOptions } from '../../../src/protocols/peers/session-options.ts';
import { Pair, type Side } from './pair.ts';

type MessageType = Parameters<typeof makeOutgoing>[0];

/** Bob, and packets that a lying Alice sends him. */
class Liar {
  readonly pair: Pair;
  readonly bob: Side;
  readonly tag: number;
  readonly path: number;
  next = 1;

  constructor(options: Partial<SessionOptions> = {}) {
    this.pair = new Pair(options);
    this.path = this.pair.open();
    this.bob = this.pair.bob;
    this.tag = tagOf(this.pair.alice.session.id);
    // Only the liar speaks for Alice.
    this.pair.silence(this.path);
  }

  packet(type: MessageType, fields: readonly number[], payload = encodeText(''), number = this.next++): Bytes {
    const { buffer, size } = makeOutgoing(type, fields, payload);
    return finishNumbered(buffer, size, type, this.tag, number, 0);
  }

  say(packet: Bytes): void {
    this.bob.session.handlePacket(this.pair.now, this.path, packet);
    this.bob.poll();
  }

  get faults(): readonly string[] {
    return this.bob.of('fault').map(({ reason }) => reason);
  }

  get drops(): readonly string[] {
    return this.bob.of('dropped').map(({ reason }) => reason);
  }
}

describe('PeerSession: hostile peers', () => {
  it('a malformed packet ends the session, and says so', () => {
    for (const packet of [Uint8Array.of(9, 0, 0, 0, 0), Uint8Array.of(16), Uint8Array.of(5, 1, 2, 3, 4, 5)]) {
      const liar = new Liar();
      liar.say(packet);
      assert.deepEqual(liar.faults, ['malformed']);
      assert.equal(liar.bob.of('closed')[0]!.closed.code, BYE.FAULT);
    }
  });

  it('a message with wrong fields ends it', () => {
    const wrong: readonly (readonly [MessageType, readonly number[], Bytes])[] = [
      [MESSAGE.CANCEL, [1], encodeText('more')],
      [MESSAGE.CREDIT, [1, 2], encodeText('')],
      [MESSAGE.REFUSAL, [1], encodeText('')],
      [MESSAGE.RESET, [1], encodeText('')],
      [MESSAGE.STREAM, [2], encodeText('a stream of the other side')],
      [MESSAGE.STREAM, [8], encodeText('ids are not skipped')],
    ];
    for (const [type, fields, payload] of wrong) {
      const liar = new Liar();
      liar.say(liar.packet(type, fields, payload));
      assert.equal(liar.faults.length, 1, `type ${type}`);
    }
  });

  it('an acknowledgement of what was never sent ends it', () => {
    const liar = new Liar();
    liar.say(encodeAck({ tag: liar.tag, received: 2 ** 40, partial: 0, ranges: [] }));
    assert.deepEqual(liar.faults, ['acknowledged_too_much']);
  });

  it('packets with the tag of another session have no effect', () => {
    const liar = new Liar();
    const packet = liar.packet(MESSAGE.TELL, [], encodeText('a'));
    packet[1]! ^= 1;
    liar.say(packet);
    assert.deepEqual([liar.faults, liar.drops, liar.bob.of('tell')], [[], ['other_session'], []]);
  });

  it('a path on which only packets of another session come for 2 s is dead, late ones beside others do no harm', () => {
    const liar = new Liar();
    const foreign = (): void => {
      const packet = liar.packet(MESSAGE.TELL, [], encodeText('a'), 1000);
      packet[1]! ^= 1;
      liar.say(packet);
    };
    const dead = (): readonly number[] => liar.bob.of('path_dead').map(({ path }) => path);
    foreign();
    liar.pair.now += 1999;
    foreign();
    assert.deepEqual(dead(), []);
    liar.say(liar.packet(MESSAGE.TELL, [], encodeText('of this session')));
    liar.pair.now += 10_000;
    foreign();
    liar.pair.now += 1999;
    foreign();
    assert.deepEqual(dead(), []);
    liar.pair.now += 1;
    foreign();
    assert.deepEqual(dead(), [liar.path]);
    assert.deepEqual(liar.faults, []);
  });

  it('more than the credit ends it', () => {
    const liar = new Liar({ tellWindow: 10_000 });
    liar.bob.onEvent = () => undefined;
    for (let i = 0; i < 20 && liar.faults.length === 0; i++)
      liar.say(liar.packet(MESSAGE.TELL, [], new Uint8Array(2000)));
    assert.deepEqual(liar.faults, ['credit']);
    assert.ok(liar.bob.of('tell').length <= 6);
  });

  it('more than the window of a stream ends it', () => {
    const liar = new Liar({ streamWindow: 10_000 });
    liar.bob.onEvent = () => undefined;
    for (let i = 0; i < 3; i++) liar.say(liar.packet(MESSAGE.STREAM, [0], new Uint8Array(4000)));
    assert.deepEqual(liar.faults, ['malformed']);
  });

  it('a stream over the limit is reset with code 1', () => {
    const liar = new Liar();
    for (let i = 0; i <= MAX_STREAMS; i++) liar.say(liar.packet(MESSAGE.STREAM, [2 * i], encodeText('a')));
    assert.equal(liar.bob.of('stream_opened').length, MAX_STREAMS);
    assert.equal(liar.bob.session.streams.size, MAX_STREAMS);
    assert.equal(STREAM_REFUSED, 1);
    assert.deepEqual(liar.faults, []);
  });

  it('a request that comes twice is executed once; its answer goes once', () => {
    const liar = new Liar();
    const request = liar.packet(MESSAGE.REQUEST, [100], encodeText('a'));
    for (let i = 0; i < 5; i++) liar.say(request);
    assert.equal(liar.bob.of('request').length, 1);
    assert.deepEqual(liar.drops, ['duplicate', 'duplicate', 'duplicate', 'duplicate']);
  });

  it('numbers far ahead are dropped, and what waits behind a gap is bounded in bytes', () => {
    const liar = new Liar();
    liar.say(liar.packet(MESSAGE.TELL, [], encodeText('far'), MAX_OUT_NUMBERS + 2));
    assert.deepEqual(liar.drops, ['no_room']);
    for (let number = 2; number < 40; number++) {
      liar.say(liar.packet(MESSAGE.TELL, [], new Uint8Array(1_048_576), number));
    }
    assert.ok(liar.bob.session.incoming.heldBytes <= 17 * 1_048_576, `${liar.bob.session.incoming.heldBytes} bytes`);
    assert.ok(liar.drops.includes('no_room'));
  });

  it('parts that lie about size and offset hold no more than what came, and end the session when they contradict', () => {
    const liar = new Liar();
    const part = (offset: number, size: number, number = 2): Bytes =>
      encodePart({ tag: liar.tag, number, received: 0, message: MESSAGE.TELL, size, offset, bytes: encodeText('abc') });
    for (let i = 0; i < 100; i++) liar.say(part(10 * i, 16_000_000, 2 + i));
    assert.ok(liar.bob.session.incoming.heldBytes <= 16 * 3, `${liar.bob.session.incoming.heldBytes} bytes`);
    liar.say(part(0, 15_999_999));
    assert.deepEqual(liar.faults, ['malformed']);
  });

  it('parts that overlap give the bytes that came first, once', () => {
    const liar = new Liar();
    const part = (offset: number, text: string): Bytes =>
      encodePart({
        tag: liar.tag,
        number: 1,
        received: 0,
        message: MESSAGE.TELL,
        size: 10,
        offset,
        bytes: encodeText(text),
      });
    for (const [offset, text] of [
      [2, 'cd'],
      [6, 'gh'],
      [1, 'BCDEFGHI'],
      [0, 'a'],
      [8, 'XYZ'.slice(1)],
      [9, 'j'],
    ] as const) {
      liar.say(part(offset, text));
    }
    assert.deepEqual(liar.faults, []);
    assert.deepEqual(
      liar.bob.of('tell').map(({ payload }) => decodeText(payload)),
      ['aBcdEFghIZ'],
    );
  });

  it('without memory messages behind a gap are dropped, and come again when there is some', () => {
    let hasMemory = false;
    const pair = new Pair({ seed: 4, mayHold: () => hasMemory });
    pair.open({ jitterMs: 50 });
    const sent = Array.from({ length: 200 }, (_, i) => `message ${i}`);
    for (const text of sent) pair.alice.session.tell(pair.now, encodeText(text.padEnd(5000, '.')));
    pair.run(100);
    hasMemory = true;
    pair.run(120_000);
    assert.deepEqual(
      pair.bob.of('tell').map(({ payload }) => decodeText(payload)?.replaceAll('.', '')),
      sent,
    );
  });

  it('once there is memory again, what was dropped comes in round trips, not in timers', () => {
    let hasMemory = false;
    const pair = new Pair({ seed: 4, mayHold: () => hasMemory });
    pair.open({ delayMs: 20, isReliable: true });
    const payload = new Uint8Array(16_384);
    for (let i = 0; i < 200; i++) pair.alice.session.tell(pair.now, payload);
    pair.run(60_000);
    assert.equal(pair.bob.of('tell').length, 0);
    hasMemory = true;
    // The pause before the next attempt is bounded.
    for (let i = 0; i < 24 && pair.bob.of('tell').length === 0; i++) pair.run(1000);
    pair.run(2000);
    assert.equal(pair.bob.of('tell').length, 200);
  });
});
