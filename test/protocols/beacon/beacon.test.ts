/** The beacon without I/O: what it takes, what it refuses, and how much it does for others. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { hkdf, x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { type PeerId } from '../../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../../src/identity/fingerprints.ts';
import { type Signer } from '../../../src/identity/key-algorithm.ts';
import { importKey } from '../../../src/identity/keys.ts';
import {
  Beacon,
  type BeaconDrop,
  type BeaconEvent,
  type BeaconOptions,
  type BeaconTransmit,
} from '../../../src/protocols/beacon/beacon.ts';
import { BeaconCodec, MAX_BEACON_BYTES, MIN_QUERY_BYTES } from '../../../src/protocols/beacon/datagram.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { assert as check, property, uint8Array } from '../../support/fast-check.ts';

const WALL_MS = 1_800_000_000_000;
const eth0 = 'eth0';
const on = (...names: readonly string[]): { name: string; networks: string }[] =>
  names.map((name) => ({ name, networks: name }));

function randomOf(seed: number): (length: number) => Bytes {
  const random = createSeededRandom(seed);
  return (length) => random.bytes(length);
}

/** A machine, and all that it has put out. */
class Node {
  readonly machine: Beacon;
  readonly signer: Signer;
  readonly id: PeerId;
  readonly drops = new Map<BeaconDrop, number>();
  readonly events: BeaconEvent[] = [];
  now = 0;

  constructor(seed: number, options: Partial<BeaconOptions> = {}) {
    this.signer = options.signer ?? testKey(seed);
    this.id = peerIdOfKey(this.signer.publicKey);
    this.machine = new Beacon(0, {
      signer: this.signer,
      networkName: 'test',
      random: randomOf(seed),
      addrsOn: () => [`${this.id}@192.0.2.${seed % 250}:5000`],
      admitAddr: (addr) => addr,
      ...options,
    });
  }

  get wallMs(): number {
    return WALL_MS + this.now;
  }

  /** Asks on one interface. */
  ask(): Bytes {
    this.machine.setInterfaces(this.now, this.wallMs, on(eth0));
    return this.take()[0]!.bytes;
  }

  hear(bytes: Uint8Array, ip = '192.0.2.77', port = 4000): BeaconTransmit[] {
    this.machine.handleDatagram(this.now, this.wallMs, { ip, port, interfaceName: eth0 }, bytes);
    return this.settle();
  }

  /** Lets pass time, in which nothing is heard. */
  advance(ms: number): BeaconTransmit[] {
    this.now += ms;
    this.machine.handleTimeout(this.now);
    return this.take();
  }

  /** Lets pass the turns of this instant. */
  settle(): BeaconTransmit[] {
    const sent = this.take();
    for (let turn = 0; turn < 100 && this.machine.waiting > 0; turn++) {
      this.machine.handleTimeout(this.now);
      sent.push(...this.take());
    }
    return sent;
  }

  take(): BeaconTransmit[] {
    const sent: BeaconTransmit[] = [];
    for (let next = this.machine.poll(); next.type !== 'wait'; next = this.machine.poll()) {
      if (next.type === 'transmit') sent.push(next.transmit);
      else if (next.event.type === 'dropped') {
        this.drops.set(next.event.reason, (this.drops.get(next.event.reason) ?? 0) + 1);
      } else this.events.push(next.event);
    }
    return sent;
  }

  get ids(): PeerId[] {
    return this.machine.peers(this.now).map(({ id }) => id);
  }
}

describe('a beacon', () => {
  it('a query announces its sender and is answered; the answer announces the other', () => {
    const [a, b] = [new Node(1), new Node(2)];
    b.ask();
    const [answer] = b.hear(a.ask(), '192.0.2.1', 4001);
    assert.deepEqual([answer!.to, answer!.interfaceName], [{ ip: '192.0.2.1', port: 4001 }, eth0]);
    a.hear(answer!.bytes);
    assert.deepEqual([a.ids, b.ids], [[b.id], [a.id]]);
    assert.deepEqual(a.machine.peers(0)[0]!.addrs, [`${b.id}@192.0.2.2:5000`]);
  });

  it('the vectors of docs/wire/beacon.md', () => {
    const seed = (byte: number): Bytes => new Uint8Array(32).fill(byte);
    const codec = new BeaconCodec('example');
    assert.equal(
      toHex(hkdf('sha256', encodeText('example'), encodeText('shoal beacon 1'), new Uint8Array(0), 32)),
      VECTORS.networkKey,
    );
    const asker = importKey(seed(7));
    const reply = x25519PrivateKey(seed(9));
    const nonce = new Uint8Array(12).fill(1);
    const asked = { instance: fromHex('0102030405060708'), issuedMs: 1_800_000_000_000, addrs: ['192.0.2.1:5000'] };
    const query = codec.query(asker, nonce, reply.publicKey, asked);
    assert.equal(toHex(query), VECTORS.query);
    const opened = codec.open(query);
    assert.ok(typeof opened === 'object' && opened.kind === 'query');
    const answered = { instance: fromHex('1112131415161718'), issuedMs: 1_800_000_000_001, addrs: ['192.0.2.2:5000'] };
    const answer = codec.answer(importKey(seed(8)), new Uint8Array(12).fill(2), seed(10), opened, answered)!;
    assert.equal(toHex(answer), VECTORS.answer);
  });

  it('answers are sealed to the asker: another member of the network cannot read who answered', () => {
    const [a, b, c] = [new Node(1), new Node(2), new Node(3)];
    const query = a.ask();
    const [answer] = b.hear(query);
    c.ask();
    c.hear(query);
    c.hear(answer!.bytes);
    assert.equal(c.drops.get('beacon.unasked'), 1);
    const codec = new BeaconCodec('test');
    const opened = codec.open(answer!.bytes);
    assert.ok(typeof opened === 'object' && opened.kind === 'answer');
    assert.equal(codec.unseal(opened, x25519PrivateKey(new Uint8Array(32).fill(5))), undefined);
    const clear = [b.id, '192.0.2.2'].map(encodeText);
    for (const bytes of [answer!.bytes, query, opened.sealed]) {
      for (const text of clear) assert.equal(toHex(bytes).includes(toHex(text)), false);
      assert.equal(toHex(bytes).includes(toHex(b.signer.publicKey.spki)), false);
    }
  });

  it('at most three bytes leave for one that came, and no datagram needs fragments', () => {
    const many = (id: PeerId): readonly string[] =>
      Array.from({ length: 16 }, (_, i) => `quic://${id}@[2001:db8::${i}]:5000`);
    const a = new Node(1);
    const b: Node = new Node(2, { addrsOn: (): readonly string[] => many(b.id) });
    const query = a.ask();
    assert.equal(query.length, MIN_QUERY_BYTES);
    const [answer] = b.hear(query);
    assert.ok(answer!.bytes.length <= 3 * query.length && answer!.bytes.length <= MAX_BEACON_BYTES);
    a.hear(answer!.bytes);
    const { addrs } = a.machine.peers(0)[0]!;
    assert.ok(addrs.length >= 8 && addrs.length < 16, String(addrs.length));
    assert.deepEqual(addrs, many(b.id).slice(0, addrs.length));
    assert.ok(b.ask().length <= MAX_BEACON_BYTES);
  });

  it('a query that is shorter than the padding is not answered', () => {
    const b = new Node(2);
    const codec = new BeaconCodec('test');
    const a = new Node(1);
    const query = a.ask();
    const opened = codec.open(query);
    assert.ok(typeof opened === 'object');
    for (const length of [0, 16, 100, MIN_QUERY_BYTES - 1]) assert.deepEqual(b.hear(query.subarray(0, length)), []);
    assert.equal(b.drops.get('malformed')! + b.drops.get('beacon.other_network')!, 4);
  });

  it('what was changed by a bit, is of another version or another network is dropped and answered by nobody', () => {
    const [a, b, other] = [new Node(1), new Node(2), new Node(3, { networkName: 'tesu' })];
    const query = a.ask();
    for (let i = 0; i < query.length; i++) {
      const changed = query.slice();
      changed[i]! ^= 1 << (i & 7);
      assert.deepEqual(b.hear(changed), []);
    }
    assert.deepEqual(b.ids, []);
    assert.deepEqual(other.hear(query), []);
    assert.equal(other.drops.get('beacon.other_network'), 1);
    const newer = query.slice();
    newer[3] = 2;
    assert.deepEqual(b.hear(newer), []);
    assert.ok(b.drops.get('beacon.other_version')! >= 1);
  });

  it('a query counts once; one that is repeated, old, or not later than one before is not believed', () => {
    const [a, b] = [new Node(1), new Node(2)];
    const query = a.ask();
    assert.equal(b.hear(query).length, 1);
    assert.equal(b.hear(query).length, 0);
    assert.equal(b.drops.get('beacon.replayed'), 1);

    const c = new Node(3);
    c.machine.setInterfaces(0, WALL_MS, on(eth0));
    c.take();
    for (let minute = 0; minute < 60; minute++) c.advance(60_000);
    c.advance(2000);
    const sent = c.hear(query);
    assert.deepEqual(c.ids, []);
    assert.equal(c.drops.get('beacon.stale'), 1);
    // It asks by itself: a live node answers, and somebody who repeats cannot.
    assert.deepEqual(
      sent.map(({ to }) => to === undefined),
      [false, true],
    );
    a.now = c.now;
    a.machine.setInterfaces(a.now, a.wallMs, on(eth0));
    c.hear(a.hear(sent[1]!.bytes)[0]!.bytes);
    assert.deepEqual(c.ids, [a.id]);
  });

  it('somebody who repeats old queries makes a node ask once a second, no more', () => {
    const old = Array.from({ length: 50 }, (_, i) => new Node(i + 10).ask());
    const c = new Node(3);
    c.machine.setInterfaces(0, WALL_MS, on(eth0));
    c.take();
    for (let minute = 0; minute < 60; minute++) c.advance(60_000);
    c.advance(2000);
    let rounds = 0;
    for (const query of old) {
      c.advance(100);
      rounds += c.hear(query).filter(({ to }) => to === undefined).length;
    }
    assert.equal(rounds, 5);
  });

  it('an answer counts for ten seconds, for the query that it belongs to, and by its own signature', () => {
    const [a, b] = [new Node(1), new Node(2)];
    const [answer] = b.hear(a.ask());
    a.now = 10_000;
    a.hear(answer!.bytes);
    assert.deepEqual([a.ids, a.drops.get('beacon.unasked')], [[], 1]);

    // A member of the network who has seen the query answers in the name of somebody else.
    const query = a.machine;
    query.query(a.now, a.wallMs);
    const [asked] = a.take();
    const codec = new BeaconCodec('test');
    const opened = codec.open(asked!.bytes);
    assert.ok(typeof opened === 'object' && opened.kind === 'query');
    const liar: Signer = { publicKey: b.signer.publicKey, sign: (bytes) => testKey(66).sign(bytes) };
    const fields = { instance: new Uint8Array(8), issuedMs: WALL_MS, addrs: ['192.0.2.9:9'] };
    a.hear(codec.answer(liar, new Uint8Array(12), new Uint8Array(32), opened, fields)!);
    assert.deepEqual([a.ids, a.drops.get('beacon.bad_signature')], [[], 1]);
  });

  it('a signature of a query is none of an answer, of another network or of other addresses', () => {
    const codec = new BeaconCodec('test');
    const signer = testKey(1);
    const fields = { instance: new Uint8Array(8), issuedMs: WALL_MS, addrs: ['192.0.2.9:9'] };
    const binding = new Uint8Array(44).fill(1);
    const signed = codec.announcements.sign(signer, 'query', binding, fields, 1000)!;
    assert.ok(signed.length < 200);
    const b = new Node(2);
    const a = new Node(1, { signer });
    const query = a.ask();
    const opened = codec.open(query);
    assert.ok(typeof opened === 'object' && opened.kind === 'query');
    const asked = codec.query(
      { publicKey: signer.publicKey, sign: () => opened.announcement.signature.slice() },
      opened.nonce,
      opened.replyKey,
      { ...opened.announcement, addrs: [...opened.announcement.addrs, '192.0.2.66:66'] },
    );
    b.hear(asked);
    assert.deepEqual([b.ids, b.drops.get('beacon.bad_signature')], [[], 1]);
  });

  it('its own queries, and those of other interfaces of this process, are ignored', () => {
    const a = new Node(1);
    a.machine.setInterfaces(0, WALL_MS, on('eth0', 'eth1'));
    const sent = a.take();
    assert.equal(sent.length, 2);
    for (const { bytes } of sent) assert.deepEqual(a.hear(bytes), []);
    assert.deepEqual([a.drops.size, a.events.length], [0, 0]);
  });

  it('any bytes, also such as members can make, are dropped and never thrown', () => {
    const b = new Node(2);
    check(
      property(uint8Array({ maxLength: 1500 }), (bytes) => {
        b.hear(bytes);
        assert.deepEqual(b.ids, []);
      }),
    );
    const forged = new BeaconCodec('test');
    const [signer, key] = [testKey(1), x25519PrivateKey(new Uint8Array(32).fill(1)).publicKey];
    const endless = { instance: new Uint8Array(8), issuedMs: Number.MAX_SAFE_INTEGER, addrs: [''] };
    b.hear(forged.query(signer, new Uint8Array(12), key, endless));
    b.hear(forged.query(signer, new Uint8Array(12).fill(1), new Uint8Array(32), { ...endless, addrs: ['x'] }));
    assert.deepEqual(b.ids, []);
  });
});

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
    assert.ok(flooded.mostWaiting <= 64);
    assert.ok(node.ids.length <= 81);
    assert.ok(honestMs <= 510, `heard at ${honestMs} ms`);
    assert.ok(node.drops.get('beacon.rate_limited')! > 9000);
  });

  it('strangers at 250 addresses at once: 264 signatures in the first second, and an honest node is among those heard', () => {
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
    assert.ok(flooded.checks <= 264 + 1, String(flooded.checks));
    assert.ok(flooded.mostPerTurn <= 4 && flooded.mostWaiting <= 64);
    assert.ok(heardMs <= 1000, `heard at ${heardMs} ms`);
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

const source = (ip: string): { ip: string; port: number; interfaceName: string } => ({
  ip,
  port: 4000,
  interfaceName: eth0,
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

/** Those of docs/wire/beacon.md. */
const VECTORS = {
  networkKey: 'b01a0813c92908d1cecd40cdcaeb7bda424291fa2207e2253a6f1bdc7ec08242',
  query: [
    '736862010101010101010101010101010153a58152cc6dd3d42f372e01660fdc97cea81a796f30bd75e9ebbba395503e',
    'd62be6a3cdb54d36209386eb5738fee81b0b860f3a01b6b34350fa2e62963984d5810d194e4b8e82dcfdea695761bf55',
    '83fa306b200a706b7aef3bf83a6474be93d18c82c00466864b39689dcba9c2928da786873c4181c820a23cc3605d10bd',
    'a530a949a894397174965114cf14e0e29edd9985c81d4e0ca462c166a449773fff4cc235403015576502f88189ceb2f0',
    'f82cfbf9a91164026fae23ca4650ae434f12f4711252074ce811ba4c088b34583f8b962f1d9254e20b249cf2cd774201',
    'e6ee03c8e6b056ed7e7447efbcc6dcac6d772a012ffbcb4641299ce3a2f3cd8f32f096e5f0658d8e993142647081ce07',
    '664563a2b73185bf3aea123e8ef2f519ea0e0eddda9323f2c124f2ffc037e7b6254cae7ef8ad1ba242619c78b5abafef',
    '5df72781deebb1a4282a923d9d9e096a1e3194cf2270d76c52418ae9f64693512e420a4730a8c09af939454fe19e0ba7',
    'e1149a391562b7586ecc96fde2ddecea62f54a80961bfd6f51baf3',
  ].join(''),
  answer: [
    '736862010202020202020202020202020203a22b0c888596635137b4b6134d28e9804b2f821234f5e35c1196df95cc76',
    '0b6b46854394f02bfdb10619f796863df511744307d37c2439e01ba2245f2bbf3aa35e13b8feae4c45bc4618b46dbf9e',
    '50d50e11028c8e9e84bb4f1252e47161634f7d2a1ef4d23c714b42ca3b999bafb8bf286f13675d93f8823ba8a2ee526a',
    'e0fc528adde4fa008bbf743892414df8ee4081aae7de07c950cbd4e44883cfc0b57d40bbd28c384cd2ad61d9592478bc',
    'aed2333c052a29c4842077b03dfbbcded63e45a6c67587d8289f6d38c2283ce6e83a225ff506d1040c',
  ].join(''),
};
