/** Offers and messages of punches: bytes, and what is no such thing. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Bytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import { decodePunchMessage, PUNCH_MESSAGE_BYTES, PunchCodec } from '../../../src/protocols/punch/message.ts';
import { decodePunchOffer, encodePunchOffer, type PunchOffer } from '../../../src/protocols/punch/offer.ts';
import vectors from '../../vectors/punch.json' with { type: 'json' };

const initiator = fromHex(vectors.initiatorToken);
const responder = fromHex(vectors.responderToken);
const id = fromHex(vectors.id);
const codecOf = (side: string): PunchCodec =>
  side === 'initiator'
    ? new PunchCodec(initiator, responder, 'initiator')
    : new PunchCodec(responder, initiator, 'responder');
const other = (side: string): PunchCodec => codecOf(side === 'initiator' ? 'responder' : 'initiator');

describe('an offer', () => {
  for (const { bytes, ...fields } of vectors.offers) {
    it(`with ${fields.ports} ports has the bytes of the vectors, both ways`, () => {
      const offer = { token: initiator, ...fields } as PunchOffer;
      assert.equal(toHex(encodePunchOffer(offer)), bytes);
      assert.deepEqual(decodePunchOffer(fromHex(bytes)), offer);
    });
  }

  it('that is cut, longer, of another magic, or has a port 0 is none', () => {
    const bytes = fromHex(vectors.offers[1]!.bytes);
    for (let length = 0; length < bytes.length; length++)
      assert.equal(decodePunchOffer(bytes.subarray(0, length)), undefined);
    assert.equal(decodePunchOffer(Uint8Array.of(...bytes, 0)), undefined);
    for (const [at, value] of [
      [0, 0],
      [20, 7],
      [21, 9],
      [22, 9],
    ] as const) {
      const spoilt = bytes.slice();
      spoilt[at] = value;
      assert.equal(decodePunchOffer(spoilt), undefined, `${at}`);
    }
    const addrs = [{ ip: '192.0.2.1', port: 0 }];
    assert.equal(decodePunchOffer(encodePunchOffer({ token: initiator, addrs, ports: 'steady' })), undefined);
  });

  it('that cannot be written is a RangeError', () => {
    const addrs = Array.from({ length: 9 }, (_, i) => ({ ip: '192.0.2.1', port: i + 1 }));
    assert.throws(() => encodePunchOffer({ token: initiator, addrs, ports: 'steady' }), RangeError);
    assert.throws(() => encodePunchOffer({ token: new Uint8Array(15), addrs: [], ports: 'steady' }), RangeError);
    assert.throws(
      () => encodePunchOffer({ token: initiator, addrs: [{ ip: 'x', port: 1 }], ports: 'steady' }),
      RangeError,
    );
  });
});

describe('a message', () => {
  for (const { side, kind, bytes } of vectors.messages) {
    it(`${kind} of the ${side} has the bytes of the vectors, and is taken by the other side only`, () => {
      const written = codecOf(side).encode(kind as 'probe', id);
      assert.equal(toHex(written), bytes);
      assert.equal(written.length, PUNCH_MESSAGE_BYTES);
      const message = decodePunchMessage(written)!;
      assert.deepEqual([message.kind, message.punch, toHex(message.id)], [kind, vectors.punch, vectors.id]);
      assert.equal(other(side).isTheirs(message), true);
      assert.equal(codecOf(side).isTheirs(message), false);
    });
  }

  it('with any bit changed, or of other tokens, is not taken', () => {
    const bytes = fromHex(vectors.messages[0]!.bytes);
    const codec = codecOf('responder');
    const isTaken = (datagram: Bytes): boolean => {
      const message = decodePunchMessage(datagram);
      return message !== undefined && codec.isTheirs(message);
    };
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const spoilt = bytes.slice();
      spoilt[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(isTaken(spoilt), false, `bit ${bit}`);
    }
    const stranger = new PunchCodec(initiator, new Uint8Array(16), 'initiator');
    assert.equal(isTaken(stranger.encode('probe', id)), false);
    assert.equal(isTaken(bytes), true);
  });
});
