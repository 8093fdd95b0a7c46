/** DNS messages: encoding, and decoding of what is hostile. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  decodeMdns,
  DNS_TYPE,
  type DnsMessage,
  encodeMdns,
  encodeName,
  readPtr,
  readSrv,
  readTxt,
  srvData,
  txtData,
} from '../../../src/protocols/mdns/message.ts';
import { assert as check, property, uint8Array } from '../../support/fast-check.ts';

const NAME = 'abc._shoal._udp.local';

const message: DnsMessage = {
  id: 0,
  isResponse: true,
  isTruncated: false,
  questions: [],
  answers: [
    { name: '_shoal._udp.local', type: DNS_TYPE.PTR, isUnique: false, ttlS: 4500, data: encodeName(NAME) },
    { name: NAME, type: DNS_TYPE.SRV, isUnique: true, ttlS: 120, data: srvData(5001, 'abc.local') },
  ],
  authorities: [],
  additionals: [
    { name: NAME, type: DNS_TYPE.TXT, isUnique: true, ttlS: 4500, data: txtData(['v=1', 'r0=AAAA']) },
    { name: 'abc.local', type: DNS_TYPE.A, isUnique: true, ttlS: 120, data: Uint8Array.of(192, 0, 2, 1) },
  ],
};

/** A header with these counts, then bytes. */
function raw(counts: readonly number[], ...rest: readonly Uint8Array[]): Bytes {
  const head = [0, 0, 0x84, 0, ...counts.flatMap((count) => [count >> 8, count & 255])];
  return concatBytes(Uint8Array.from(head), ...rest);
}

describe('messages of multicast DNS', () => {
  it('are decoded as they were encoded, with names compressed', () => {
    const bytes = encodeMdns(message);
    assert.deepEqual(decodeMdns(bytes), message);
    assert.equal(toHex(bytes).split(toHex(new TextEncoder().encode('_shoal'))).length - 1, 1);
    const query: DnsMessage = {
      ...message,
      id: 7,
      isResponse: false,
      isTruncated: true,
      questions: [{ name: 'A\\.b\\\\c.local', type: 255, wantsUnicast: true }],
    };
    assert.deepEqual(decodeMdns(encodeMdns(query)), query);
  });

  it('the bytes of a question are those of RFC 1035', () => {
    const questions = [{ name: '_shoal._udp.local', type: DNS_TYPE.PTR, wantsUnicast: true }];
    const bytes = encodeMdns({ ...message, isResponse: false, questions, answers: [], additionals: [] });
    assert.equal(toHex(bytes), '000000000001000000000000065f73686f616c045f756470056c6f63616c00000c8001');
  });

  it('what PTR, SRV and TXT records hold can be read', () => {
    const [pointer, location] = message.answers;
    assert.equal(readPtr(pointer!.data), NAME);
    assert.deepEqual(readSrv(location!.data), { port: 5001, host: 'abc.local' });
    assert.deepEqual(readTxt(message.additionals[0]!.data), ['v=1', 'r0=AAAA']);
    assert.deepEqual([readSrv(new Uint8Array(6)), readPtr(new Uint8Array(0))], [undefined, undefined]);
    assert.deepEqual(readTxt(Uint8Array.of(5, 65)), []);
    assert.deepEqual(readTxt(txtData([])), []);
    assert.deepEqual(readTxt(Uint8Array.of(1, 0xff, 1, 65)), ['A']);
  });

  it('pointers that lead forward, to themselves or round in circles are malformed', () => {
    const record = (name: Bytes): Bytes => raw([0, 1, 0, 0], name, fromHex('0001000100000078000401020304'));
    assert.equal(decodeMdns(record(Uint8Array.of(1, 97, 0)))!.answers[0]!.name, 'a');
    for (const name of ['c00c', 'c00d', 'c0ff', 'ffff', '0161c00c', '0161c00e', 'c0', '80', '40', '3f61']) {
      assert.equal(decodeMdns(record(fromHex(name))), undefined, name);
    }
    // To a name that is good, and comes later.
    assert.equal(decodeMdns(raw([2, 0, 0, 0], fromHex('c0120001000101610000010001'))), undefined);
    assert.equal(decodeMdns(raw([2, 0, 0, 0], fromHex('01610000010001c00c00010001')))!.questions[1]!.name, 'a');
    // Two names that point at each other.
    assert.equal(decodeMdns(raw([2, 0, 0, 0], fromHex('c01200010001c00c00010001'))), undefined);
  });

  it('a chain of pointers ends, and a name has at most 255 bytes', () => {
    // A record whose data are pointers, each to the one before, and a record whose name is the last one.
    const withPointers = (count: number): Bytes => {
      const pointers = Array.from({ length: count }, (_, i) => {
        const to = i === 0 ? 23 : 24 + 2 * (i - 1);
        return Uint8Array.of(0xc0 | (to >> 8), to & 255);
      });
      const data = concatBytes(Uint8Array.of(0), ...pointers);
      const length = Uint8Array.of(data.length >> 8, data.length & 255);
      const head = concatBytes(fromHex('00006300010000000a'), length);
      const last =
        pointers.length === 0
          ? Uint8Array.of(0)
          : Uint8Array.of(0xc0 | ((22 + 2 * count) >> 8), (22 + 2 * count) & 255);
      return raw([0, 2, 0, 0], head, data, last, fromHex('00630001000000780000'));
    };
    assert.equal(decodeMdns(withPointers(100))!.answers[1]!.name, '');
    assert.equal(decodeMdns(withPointers(200)), undefined);
    assert.equal(decodeMdns(withPointers(4000)), undefined);
    const long = concatBytes(
      ...Array.from({ length: 5 }, () => concatBytes(Uint8Array.of(63), new Uint8Array(63).fill(97))),
    );
    assert.equal(decodeMdns(raw([1, 0, 0, 0], long, fromHex('0000010001'))), undefined);
  });

  it('counts that promise too much, other opcodes, errors and what is cut off are malformed', () => {
    const bytes = encodeMdns(message);
    for (let i = 0; i < bytes.length; i++) assert.equal(decodeMdns(bytes.subarray(0, i)), undefined, String(i));
    assert.equal(decodeMdns(raw([65_535, 0, 0, 0])), undefined);
    assert.equal(decodeMdns(raw([500, 500, 0, 0])), undefined);
    assert.equal(decodeMdns(new Uint8Array(9001)), undefined);
    for (const flags of [0x0800, 0x7800, 0x8003]) {
      const other = bytes.slice();
      other[2] = flags >> 8;
      other[3] = flags & 255;
      assert.equal(decodeMdns(other), undefined);
    }
  });

  it('records of other classes are left out; those of unknown types are kept', () => {
    const owner = fromHex('016100');
    const bytes = raw([0, 2, 0, 0], owner, fromHex('00010003000000780000'), owner, fromHex('002f000100000078000101'));
    assert.deepEqual(
      decodeMdns(bytes)!.answers.map(({ type, data }) => [type, [...data]]),
      [[47, [1]]],
    );
  });

  it('any bytes are decoded or undefined, and what is decoded can be encoded', () => {
    check(
      property(uint8Array({ maxLength: 400 }), (bytes) => {
        const found = decodeMdns(bytes);
        if (found !== undefined) assert.deepEqual(decodeMdns(encodeMdns(found)), { ...found });
      }),
    );
  });
});
