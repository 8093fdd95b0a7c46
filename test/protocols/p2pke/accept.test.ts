/** The questions of a channel, and what its owner's verdicts do. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText, type Bytes } from '../../../src/base/bytes.ts';
import type { PublicKey } from '../../../src/core/secure.ts';
import type { ChannelEvent } from '../../../src/protocols/p2pke/channel-options.ts';
import { Channel } from '../../../src/protocols/p2pke/channel.ts';
import { initiateSession } from '../../../src/protocols/p2pke/session.ts';
import { encodeTai64n } from '../../../src/protocols/p2pke/tai64n.ts';
import { seededRandom, testIdentity, WALL_MS } from './pair.ts';

const alice = testIdentity(1);
const bob = testIdentity(2);

interface Outputs {
  readonly sent: Bytes[];
  readonly events: string[];
  readonly asked: (ChannelEvent & { readonly type: 'accept' })[];
}

function outputs(channel: Channel): Outputs {
  const all: Outputs = { sent: [], events: [], asked: [] };
  for (let output = channel.poll(); output.type !== 'wait'; output = channel.poll()) {
    if (output.type === 'transmit') all.sent.push(output.transmit);
    else {
      all.events.push(output.event.type);
      if (output.event.type === 'accept') all.asked.push(output.event);
    }
  }
  return all;
}

/** A hello of Alice's. */
function hello(seconds: number, ephemeral: number): Bytes {
  return initiateSession(alice, 0, encodeTai64n(1_700_000_000 + seconds, 0), seededRandom(ephemeral)(32)).message;
}

/** Hands over all datagrams, and answers questions of `to` as told. */
function carry(from: Channel, to: Channel, now: number): Outputs {
  for (const datagram of outputs(from).sent) to.handleDatagram(now, WALL_MS + now, datagram);
  return outputs(to);
}

const answer = (channel: Channel, now: number, key: PublicKey, accepted: boolean): string | undefined =>
  channel.answer(now, WALL_MS + now, key, accepted ? 'accepted' : 'not_accepted');

describe('a hello whose key has to be judged', () => {
  it('is not answered before the yes, and asked about once however often it comes', () => {
    const channel = new Channel({ identity: bob });
    const first = hello(0, 5);
    assert.equal(channel.handleDatagram(0, WALL_MS, first), undefined);
    const { sent, asked } = outputs(channel);
    assert.deepEqual([sent.length, asked.map(({ side }) => side)], [0, ['initiator']]);
    assert.deepEqual(asked[0]!.publicKey, alice.publicKey);
    for (let i = 0; i < 10; i++) assert.equal(channel.handleDatagram(i, WALL_MS + i, first), undefined);
    assert.deepEqual(outputs(channel), { sent: [], events: [], asked: [] });
    assert.equal(answer(channel, 1000, alice.publicKey, true), undefined);
    assert.equal(outputs(channel).sent.length, 1);
  });

  it('with a later time takes the place of an earlier one of the same handshake', () => {
    const channel = new Channel({ identity: bob });
    for (const seconds of [0, 2, 4]) channel.handleDatagram(0, WALL_MS, hello(seconds, 5));
    assert.equal(outputs(channel).asked.length, 1);
    answer(channel, 0, alice.publicKey, true);
    assert.equal(outputs(channel).sent.length, 1);
  });

  it('is one of four that are kept; only a later one makes room', () => {
    const channel = new Channel({ identity: bob });
    for (let i = 10; i < 14; i++) assert.equal(channel.handleDatagram(0, WALL_MS, hello(i, i)), undefined);
    assert.equal(channel.handleDatagram(0, WALL_MS, hello(9, 9)), 'overloaded');
    assert.equal(channel.handleDatagram(0, WALL_MS, hello(20, 20)), undefined);
    assert.equal(outputs(channel).asked.length, 1);
    answer(channel, 0, alice.publicKey, true);
    assert.equal(outputs(channel).sent.length, 4);
  });

  it('is forgotten after a no, and when nobody judges it', () => {
    const refusing = new Channel({ identity: bob });
    refusing.handleDatagram(0, WALL_MS, hello(0, 5));
    assert.equal(refusing.isEmpty, false);
    assert.equal(answer(refusing, 0, alice.publicKey, false), 'not_accepted');
    assert.deepEqual([refusing.isEmpty, outputs(refusing).sent], [true, []]);

    const silent = new Channel({ identity: bob });
    silent.handleDatagram(0, WALL_MS, hello(0, 5));
    outputs(silent);
    silent.handleTimeout(15_000);
    assert.deepEqual([silent.isEmpty, outputs(silent).events], [true, ['expired']]);
    assert.equal(answer(silent, 16_000, alice.publicKey, true), undefined);
    assert.deepEqual(outputs(silent).sent, []);
  });
});

describe('a reply whose key has to be judged', () => {
  it('is held until the yes; equal ones ask nothing, and the hello is not repeated meanwhile', () => {
    const [initiator, responder] = [new Channel({ identity: alice }), new Channel({ identity: bob })];
    initiator.open(0, WALL_MS);
    carry(initiator, responder, 0);
    answer(responder, 0, alice.publicKey, true);
    const [reply] = outputs(responder).sent;
    for (let i = 0; i < 5; i++) assert.equal(initiator.handleDatagram(10, WALL_MS, reply!), undefined);
    const { sent, asked } = outputs(initiator);
    assert.deepEqual([sent.length, asked.map(({ side }) => side)], [0, ['responder']]);
    for (let now = 100; now <= 1000; now += 100) initiator.handleTimeout(now);
    assert.deepEqual(outputs(initiator).sent, []);
    assert.equal(initiator.seal(1000, WALL_MS, encodeText('too early')), undefined);
    assert.equal(answer(initiator, 1000, bob.publicKey, true), undefined);
    carry(initiator, responder, 1000);
    const told = initiator.seal(1000, WALL_MS, encodeText('first'))!;
    assert.equal(decodeText(responder.handleDatagram(1000, WALL_MS, told) as Bytes), 'first');
    assert.deepEqual([initiator.publicKey, responder.publicKey], [bob.publicKey, alice.publicKey]);
  });

  it('that is refused ends in a failure with its key', () => {
    const [initiator, responder] = [new Channel({ identity: alice }), new Channel({ identity: bob })];
    initiator.open(0, WALL_MS);
    carry(initiator, responder, 0);
    answer(responder, 0, alice.publicKey, true);
    carry(responder, initiator, 0);
    assert.equal(answer(initiator, 0, bob.publicKey, false), 'not_accepted');
    assert.deepEqual(outputs(initiator).events, ['failed']);
    assert.equal(initiator.publicKey, undefined);
  });
});

describe('a verdict', () => {
  it('holds for the handshakes that follow', () => {
    const channel = new Channel({ identity: bob });
    channel.handleDatagram(0, WALL_MS, hello(0, 5));
    outputs(channel);
    answer(channel, 0, alice.publicKey, true);
    outputs(channel);
    channel.handleDatagram(1, WALL_MS, hello(1, 6));
    const { sent, asked } = outputs(channel);
    assert.deepEqual([sent.length, asked], [1, []]);
  });

  it('is one for a hello and a reply of the same key', () => {
    const [a, b] = [new Channel({ identity: alice }), new Channel({ identity: bob })];
    a.open(0, WALL_MS);
    b.open(0, WALL_MS);
    const [fromA, fromB] = [outputs(a).sent, outputs(b).sent];
    b.handleDatagram(0, WALL_MS, fromA[0]!);
    a.handleDatagram(0, WALL_MS, fromB[0]!);
    const questions = outputs(a).asked.length + outputs(b).asked.length;
    assert.equal(questions, 1, 'the lower id drops the hello of the other');
  });
});
