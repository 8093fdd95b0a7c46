/** The beacon without I/O: what it takes, what it refuses, and how much it does for others. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { chacha20Poly1305, hkdf, x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import type { PeerId } from '../../../src/core/peer-id.ts';
import type { Signer } from '../../../src/identity/key-algorithm.ts';
import { importKey } from '../../../src/identity/keys.ts';
import { BeaconCodec, MAX_BEACON_BYTES, MIN_QUERY_BYTES } from '../../../src/protocols/beacon/datagram.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { BeaconNode as Node, eth0, on, WALL_MS } from '../../support/beacon-world.ts';
import { assert as check, property, uint8Array } from '../../support/fast-check.ts';

const SALT = encodeText('shoal beacon 1');

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

  it('a query without padding is not answered, and an answer keeps to three times any query', () => {
    const codec = new BeaconCodec('test');
    const [a, b] = [new Node(1), new Node(2)];
    const opened = codec.open(a.ask());
    assert.ok(typeof opened === 'object' && opened.kind === 'query');
    const { body, signature } = opened.announcement;
    const plain = concatBytes(opened.replyKey, body, Uint8Array.of(signature.length), signature);
    const key = chacha20Poly1305(fromHex(toHex(hkdf('sha256', encodeText('test'), SALT, new Uint8Array(0), 32))));
    const header = concatBytes(encodeText('shb'), Uint8Array.of(1, 1), opened.nonce);
    for (const padding of [0, MIN_QUERY_BYTES - 33 - plain.length - 1, MIN_QUERY_BYTES - 33 - plain.length]) {
      const padded = concatBytes(plain, new Uint8Array(padding));
      const datagram = new Uint8Array(17 + padded.length + 16);
      datagram.set(header);
      key.seal(opened.nonce, header, padded, datagram, 17);
      assert.equal(b.hear(datagram).length, datagram.length < MIN_QUERY_BYTES ? 0 : 1);
    }
    assert.equal(b.drops.get('malformed'), 2);
    const fields = {
      instance: new Uint8Array(8),
      issuedMs: 1,
      addrs: Array.from({ length: 16 }, () => 'x'.repeat(40)),
    };
    for (const bytes of [50, 100, 200, 300, 400]) {
      const answer = codec.answer(a.signer, new Uint8Array(12), new Uint8Array(32), { ...opened, bytes }, fields);
      assert.ok((answer?.length ?? 0) <= 3 * bytes);
      assert.equal(answer !== undefined, bytes >= 100);
    }
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

  it('of two queries of one node that arrive in the wrong order the earlier one is not believed', () => {
    const [a, b] = [new Node(1), new Node(2)];
    const first = a.ask();
    const [second] = a.advance(500);
    b.now = a.now;
    b.hear(second!.bytes);
    b.hear(first);
    assert.deepEqual([b.ids, b.drops.get('beacon.stale')], [[a.id], 1]);
    assert.equal(b.machine.peers(b.now)[0]!.seenMs, WALL_MS + 500);
  });

  it('a record is believed for two hours, and not when the node has said something later', () => {
    const [a, b] = [new Node(1), new Node(2)];
    const source = { ip: '192.0.2.1', port: 5000, interfaceName: 'eth0' };
    const hear = (record: Bytes, listener = b): void => {
      listener.machine.handleRecord(listener.now, listener.wallMs, source, record);
      listener.settle();
    };
    const record = a.machine.record(0, WALL_MS, 'eth0')!;
    const late = new Node(3);
    late.now = 7_200_001;
    hear(record, late);
    assert.deepEqual([late.ids, late.drops.get('beacon.stale')], [[], 1]);
    hear(record);
    assert.deepEqual(b.ids, [a.id]);
    // The same again: it is still there.
    b.now = 100_000;
    hear(record);
    assert.equal(b.machine.peers(b.now)[0]!.seenMs, WALL_MS + 100_000);
    a.now = 100_000;
    b.hear(a.ask());
    b.now = 200_000;
    hear(record);
    assert.equal(b.machine.peers(b.now)[0]!.seenMs, WALL_MS + 100_000);
    const changed = record.slice();
    changed[40]! ^= 1;
    hear(changed);
    assert.equal(b.drops.get('beacon.other_network'), 1);
    b.machine.handleRecord(b.now, b.wallMs, source, b.machine.record(b.now, b.wallMs, 'eth0')!);
    assert.equal(b.machine.waiting, 0);
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
