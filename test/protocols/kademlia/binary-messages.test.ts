import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes, encodeText, toHex } from '../../../src/base/bytes.ts';
import { encodeVarint } from '../../../src/base/varint.ts';
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
} from '../../../src/protocols/kademlia/binary-messages.ts';
import { FORM, type Query, type Reply } from '../../../src/protocols/kademlia/messages.ts';
import { KeySpace, keyBytes, keyText } from '../../../src/protocols/kademlia/position.ts';
import * as fc from '../../support/fast-check.ts';

const { tag } = new KeySpace('test');
const a = keyText(new Uint8Array(32).fill(0xaa));
const b = keyText(Uint8Array.from({ length: 32 }, (_, i) => i));
const contacts = [
  { id: a, addr: '\u0000@127.0.0.1:4000', form: FORM.binary },
  { id: b, addr: 'straße', form: FORM.unknown },
  { id: a, addr: `\u0000@${'x'.repeat(200)}`, form: FORM.binary },
];
const queries: Query[] = [
  { op: 'ping' },
  { op: 'find', position: a, limit: 16 },
  { op: 'get', key: encodeText('color') },
  {
    op: 'put',
    entries: [
      { key: encodeText('color'), value: encodeText('blue'), ttlMs: 60_000 },
      { key: Uint8Array.of(1), value: new Uint8Array(0), ttlMs: 1 },
    ],
  },
  { op: 'announce', record: Uint8Array.of(7, 7), positions: [a, b], ttlMs: 1000 },
  { op: 'announce', record: undefined, positions: [], ttlMs: 1 },
  { op: 'record', peer: b },
  { op: 'providers', position: a },
];
const replies: Reply[] = [
  { op: 'ping' },
  { op: 'wrong_network' },
  { op: 'find', contacts },
  { op: 'find', contacts: [] },
  { op: 'get', value: encodeText('blue'), ttlMs: 5, contacts },
  { op: 'get', value: undefined, ttlMs: 0, contacts: [] },
  { op: 'put', accepted: [true, false, true] },
  { op: 'announce', record: 'from_the_future', accepted: 1024 },
  { op: 'record', record: Uint8Array.of(1, 2), contacts },
  { op: 'record', record: undefined, contacts: [] },
  { op: 'providers', records: [Uint8Array.of(1), Uint8Array.of(2)], contacts },
];

describe('the binary form', () => {
  it('gives back every request', () => {
    for (const query of queries) {
      for (const isClient of [true, false]) {
        const bytes = encodeRequest(tag, { query, isClient, addr: '\u0000@17' });
        assert.deepEqual(decodeRequest(tag, bytes), { query, isClient, addr: '\u0000@17' });
      }
    }
  });

  it('gives back every answer', () => {
    for (const reply of replies) {
      const bytes = encodeAnswer({ reply, isClient: true, wallMs: 1_700_000_000_123 });
      const expected = { reply, isClient: true, isBinary: true, wallMs: 1_700_000_000_123, surplus: 0 };
      assert.deepEqual(decodeAnswer(bytes), expected);
    }
  });

  it('has the bytes of the page', () => {
    const find = encodeRequest(tag, {
      query: { op: 'find', position: b, limit: 16 },
      isClient: false,
      addr: '\u0000@17',
    });
    assert.equal(
      toHex(find),
      '010100' +
        'eb26c9362cbefa77' +
        '0400403137' +
        '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f' +
        '10',
    );
    const found = encodeAnswer({
      reply: { op: 'find', contacts: [{ id: b, addr: '\u0000@17', form: FORM.binary }] },
      isClient: false,
      wallMs: 1_700_000_000_000,
    });
    assert.equal(
      toHex(found),
      '018100' +
        '80d095ffbc31' +
        '01' +
        '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f' +
        '0900403137',
    );
  });

  it('has positions that depend on the network name', () => {
    const test = new KeySpace('test');
    assert.equal(toHex(keyBytes(test.ofPeer(b))), 'aaac4d5338675bbca06ed5f58ef479d748606da29828b0d43566fba43799b1f9');
    assert.equal(
      toHex(keyBytes(test.ofKey(encodeText('color')))),
      'd46f4774c533ba43352b32e4b85090b1660eed84d0fbe803452adbef138c0d59',
    );
    const original = new KeySpace('');
    assert.equal(original.ofPeer(b), b);
    assert.equal(toHex(keyBytes(original.ofKey(Uint8Array.of(1, 2)))), '0102'.padEnd(64, '0'));
    assert.notEqual(new KeySpace('other').ofPeer(b), test.ofPeer(b));
  });

  it('tells another network from what is malformed', () => {
    const other = encodeRequest(new KeySpace('other').tag, { query: { op: 'ping' }, isClient: false, addr: '' });
    assert.equal(decodeRequest(tag, other), 'wrong_network');
    assert.equal(decodeRequest(tag, other.subarray(0, 5)), undefined);
  });

  it('reads 64 contacts of an answer and counts the others', () => {
    const many = Array.from({ length: 5000 }, () => contacts[0]!);
    const read = decodeAnswer(encodeAnswer({ reply: { op: 'find', contacts: many }, isClient: false, wallMs: 0 }));
    assert.equal(read?.reply.op === 'find' ? read.reply.contacts.length : 0, 64);
    assert.equal(read?.surplus, 4936);
  });

  it('refuses messages that are cut, have a byte more, or counts beyond their bounds', () => {
    for (const query of queries) {
      const bytes = encodeRequest(tag, { query, isClient: false, addr: '' });
      for (let i = 0; i < bytes.length; i++) assert.equal(decodeRequest(tag, bytes.slice(0, i)), undefined);
      assert.equal(decodeRequest(tag, concatBytes(bytes, Uint8Array.of(0))), undefined);
    }
    for (const reply of replies) {
      const bytes = encodeAnswer({ reply, isClient: false, wallMs: 1 });
      for (let i = 0; i < bytes.length; i++) assert.equal(decodeAnswer(bytes.slice(0, i)), undefined);
      assert.equal(decodeAnswer(concatBytes(bytes, Uint8Array.of(0))), undefined);
    }
    const head = Uint8Array.of(1, 0x81, 0, 0);
    assert.equal(decodeAnswer(concatBytes(head, encodeVarint(65_536))), undefined);
    assert.equal(decodeAnswer(concatBytes(Uint8Array.of(1, 0x83, 0, 0), encodeVarint(2 ** 40))), undefined);
    const put = encodeRequest(tag, { query: { op: 'ping' }, isClient: false, addr: '' });
    put[1] = 3;
    assert.equal(decodeRequest(tag, concatBytes(put, encodeVarint(2 ** 40))), undefined);
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(...queries),
        fc.constantFrom(...replies),
        fc.nat(),
        (bytes, query, reply, at) => {
          decodeRequest(tag, bytes);
          decodeAnswer(bytes);
          for (const message of [
            encodeRequest(tag, { query, isClient: false, addr: 'a' }),
            encodeAnswer({ reply, isClient: false, wallMs: 1 }),
          ]) {
            for (const [i, byte] of bytes.entries()) message[(at + i * 7) % message.length] = byte;
            decodeRequest(tag, message);
            decodeAnswer(message);
          }
        },
      ),
    );
  });
});
