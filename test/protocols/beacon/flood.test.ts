/** The beacon under a flood: how much it does for others, in a turn and in all. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, encodeText } from '../../../src/base/bytes.ts';
import type { Signer } from '../../../src/identity/key-algorithm.ts';
import { BeaconCodec } from '../../../src/protocols/beacon/datagram.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { BeaconNode as Node, eth0, on, randomOf, source, WALL_MS } from '../../support/beacon-world.ts';

/** A clock of turns: counts the signatures that are checked in each. */
class Flooded {
  readonly node: Node;
  checks = 0;
  mostPerTurn = 0;
  mostWaiting = 0;
  sentBytes = 0;

  constructor() {
    this.node = new Node(2);
    this.node.ask();
  }

  /** What a driver does: timers that are due, each in a turn of its own. */
  turn(): void {
    const { node } = this;
    this.mostWaiting = Math.max(this.mostWaiting, node.machine.waiting);
    const before = node.machine.waiting;
    node.machine.handleTimeout(node.now);
    const checked = before - node.machine.waiting;
    this.checks += checked;
    this.mostPerTurn = Math.max(this.mostPerTurn, checked);
    for (const { bytes } of node.take()) this.sentBytes += bytes.length;
  }
}

describe('a beacon under a flood', () => {
  it('10 000 beacons of garbage in a second cost no signature, and an honest node is heard', () => {
    const flooded = new Flooded();
    const { node } = flooded;
    const random = randomOf(5);
    const magic = concatBytes(encodeText('shb'), Uint8Array.of(1, 1));
    for (let i = 0; i < 10_000; i++) {
      node.now = i / 10;
      node.machine.handleDatagram(
        node.now,
        node.wallMs,
        { ip: '192.0.2.66', port: 1, interfaceName: eth0 },
        concatBytes(magic, random(500)),
      );
      flooded.turn();
    }
    assert.deepEqual([flooded.checks, node.drops.get('beacon.other_network')], [0, 10_000]);
    const honest = new Node(1);
    honest.now = node.now;
    node.hear(honest.ask(), '192.0.2.1');
    assert.deepEqual(node.ids, [honest.id]);
  });

  it('10 000 beacons of valid strangers in a second: signatures are bounded, in a turn and in all, and so is memory', () => {
    const strangers = Array.from({ length: 100 }, (_, i) => new Node(1000 + i));
    const flooded = new Flooded();
    const { node } = flooded;
    const honest = new Node(1);
    let honestMs = Infinity;
    for (let i = 0; i < 10_000; i++) {
      node.now = i / 10;
      // All from one host, as an attacker has it: each beacon another one, signed and timely.
      const stranger = strangers[i % strangers.length]!;
      stranger.now = node.now;
      const codec = new BeaconCodec('test');
      if (i < 500) {
        stranger.machine.setInterfaces(stranger.now, stranger.wallMs, on(`eth${i}`));
        for (const { bytes } of stranger.take()) {
          node.machine.handleDatagram(node.now, node.wallMs, source('192.0.2.66'), bytes);
        }
      } else node.machine.handleDatagram(node.now, node.wallMs, source('192.0.2.66'), replayOf(codec, i));
      if (i === 5000) {
        honest.now = node.now;
        node.machine.handleDatagram(node.now, node.wallMs, source('192.0.2.1'), honest.ask());
      }
      flooded.turn();
      if (honestMs === Infinity && node.ids.includes(honest.id)) honestMs = node.now;
    }
    // 64 at once and 16 a second from one host.
    assert.ok(flooded.checks <= 64 + 16 + 1, String(flooded.checks));
    assert.ok(flooded.mostPerTurn <= 4);
    assert.ok(flooded.mostWaiting <= 256);
    assert.ok(node.ids.length <= 81);
    assert.ok(honestMs <= 510, `heard at ${honestMs} ms`);
    assert.ok(node.drops.get('beacon.rate_limited')! > 9000);
  });

  it('strangers at 250 addresses at once: 328 signatures in the first second, and an honest node is among those heard', () => {
    const flooded = new Flooded();
    const { node } = flooded;
    const codec = new BeaconCodec('test');
    const honest = new Node(1);
    let heardMs = Infinity;
    for (let i = 0; i < 10_000; i++) {
      node.now = i / 10;
      const ip = `192.0.2.${3 + (i % 250)}`;
      node.machine.handleDatagram(node.now, node.wallMs, source(ip), replayOf(codec, i));
      // It repeats its query, as it does in life: at 0, 500 ms.
      if (i === 0 || i === 5000) {
        honest.now = node.now;
        if (i === 0) node.machine.handleDatagram(node.now, node.wallMs, source('192.0.2.1'), honest.ask());
        else {
          honest.machine.query(honest.now, honest.wallMs);
          for (const { bytes } of honest.take()) {
            node.machine.handleDatagram(node.now, node.wallMs, source('192.0.2.1'), bytes);
          }
        }
      }
      flooded.turn();
      if (heardMs === Infinity && node.events.some((event) => event.type === 'seen' && event.peer.id === honest.id)) {
        heardMs = node.now;
      }
    }
    assert.ok(flooded.checks <= 328 + 1, String(flooded.checks));
    assert.ok(flooded.mostPerTurn <= 4 && flooded.mostWaiting <= 256);
    assert.ok(heardMs <= 1000, `heard at ${heardMs} ms`);
  });

  it('queries of 200 hosts at one instant: four signatures a turn, 64 answers, and the others are counted', () => {
    const node = new Node(2);
    node.ask();
    const codec = new BeaconCodec('test');
    let answers = 0;
    for (let i = 0; i < 200; i++) {
      const signer = testKey(3000 + i);
      const nonce = new Uint8Array(12).fill(i);
      const fields = { instance: nonce.slice(0, 8), issuedMs: WALL_MS, addrs: ['192.0.2.9:9'] };
      node.machine.handleDatagram(0, WALL_MS, source(`192.0.2.${i + 3}`), codec.query(signer, nonce, replyKey, fields));
    }
    assert.equal(node.machine.waiting, 200);
    node.machine.handleTimeout(0);
    assert.equal(node.machine.waiting, 196);
    answers += node.take().length;
    for (let turn = 0; turn < 2000 && node.machine.waiting > 0; turn++) {
      node.machine.handleTimeout(turn / 10);
      answers += node.take().filter(({ to }) => to !== undefined).length;
    }
    // 64 at once, and 100 a second meanwhile.
    assert.ok(answers >= 64 && answers <= 64 + 20, String(answers));
    assert.ok(node.drops.get('beacon.rate_limited')! > 40);
  });

  it('a newcomer is checked before a crowd that is only still there, which is not forgotten for it', () => {
    const node = new Node(2);
    node.ask();
    const crowd = Array.from({ length: 40 }, (_, i) => new Node(4000 + i));
    for (const [i, one] of crowd.entries()) node.hear(one.ask(), `192.0.2.${i + 10}`);
    node.advance(10_000);
    for (const [i, one] of crowd.entries()) {
      one.now = node.now;
      one.machine.query(one.now, one.wallMs);
      node.machine.handleDatagram(node.now, node.wallMs, source(`192.0.2.${i + 10}`), one.take().at(-1)!.bytes);
    }
    const newcomers = [1, 3, 4].map((seed) => new Node(seed));
    for (const one of newcomers) {
      one.now = node.now;
      node.machine.handleDatagram(node.now, node.wallMs, source('192.0.2.250'), one.ask());
    }
    node.events.length = 0;
    node.machine.handleTimeout(node.now);
    node.take();
    const seen = node.events.flatMap((event) => (event.type === 'seen' ? [event.noted] : []));
    assert.deepEqual(seen.toSorted(), ['new', 'new', 'new', 'same']);
  });

  it('the table of peers has a share for each host: one with a thousand keys does not push out the others', () => {
    const node = new Node(2, { maxPeers: 32 });
    node.ask();
    const honest = [1, 3, 4].map((seed) => new Node(seed));
    for (const [i, one] of honest.entries()) node.hear(one.ask(), `192.0.2.${i + 1}`);
    for (let i = 0; i < 200; i++) {
      node.now = i * 100;
      const stranger = new Node(2000 + i);
      stranger.now = node.now;
      node.hear(stranger.ask(), '192.0.2.66');
    }
    assert.equal(node.ids.length, 32);
    for (const one of honest) assert.ok(node.ids.includes(one.id));
  });
});

const strangersKey = testKey(777);
const replyKey = x25519PrivateKey(new Uint8Array(32).fill(3)).publicKey;

/** A query of the network with a wrong signature: as dear to check as a right one, and cheaper to make. */
function replayOf(codec: BeaconCodec, i: number): Bytes {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(0, i);
  const signer: Signer = { publicKey: strangersKey.publicKey, sign: () => new Uint8Array(64).fill(i) };
  const fields = { instance: nonce.slice(0, 8), issuedMs: WALL_MS + i, addrs: ['192.0.2.9:9'] };
  return codec.query(signer, nonce, replyKey, fields);
}
