import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../../src/base/bytes.ts';
import { decodePeerId } from '../../../src/core/peer-id.ts';
import { readJson, writeJson } from '../../../src/protocols/kademlia/json.ts';
import {
  decodeJsonAnswer,
  decodeJsonRequest,
  encodeJsonAnswer,
  encodeJsonRequest,
} from '../../../src/protocols/kademlia/json-messages.ts';
import { FORM, type Query, type Reply } from '../../../src/protocols/kademlia/messages.ts';
import { keyText } from '../../../src/protocols/kademlia/position.ts';

const file = path.join(import.meta.dirname, '..', '..', 'vectors', 'go-p2p.json');
const { kademlia_json: vectors } = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly kademlia_json: Record<string, string>;
};

const ID = '--31-kF40VR71FcA2-oD2l-G3WBJ4GNM50ZP5lkS6Ww';
const raw = keyText(decodePeerId(ID)!);
const contact = { id: raw, addr: 'info', form: FORM.unknown };
const WALL_MS = 1_700_000_000_123;

/** What of a text the members of go-p2p are: those that shoal adds stand behind them. */
const original = (text: string | undefined): string => (text ?? '').replace(/,?"shoal":1}$/, '}');

const request = (query: Query): string | undefined => {
  const bytes = encodeJsonRequest('', { query, isClient: false, addr: '' }, true);
  return bytes === undefined ? undefined : decodeText(bytes);
};
const read = (text: string): Query | undefined => {
  const decoded = decodeJsonRequest('', encodeText(text), (peer) => peer);
  return typeof decoded === 'object' ? decoded.request.query : undefined;
};
const answer = (reply: Reply): string | undefined => {
  const bytes = encodeJsonAnswer({ reply, isClient: false, wallMs: WALL_MS });
  return bytes === undefined ? undefined : decodeText(bytes);
};

describe('the JSON form', () => {
  it('is that of go-p2p for requests', () => {
    const queries: Record<string, Query> = {
      FindNodeReq: { op: 'find', position: raw, peer: raw, limit: 3 },
      GetReq: { op: 'get', key: Uint8Array.of(1, 2, 3) },
      PingReq: { op: 'ping' },
      PutReq: {
        op: 'put',
        entries: [{ key: Uint8Array.of(1, 2, 3), value: encodeText('v'), ttlMs: 300_000 }],
      },
    };
    for (const [name, query] of Object.entries(queries)) {
      assert.equal(original(request(query)), vectors[name], name);
      assert.deepEqual(read(vectors[name]!), query, name);
    }
  });

  it('is that of go-p2p for answers, with times beyond 2^53', () => {
    // The label of the vectors has 123 456 789 ns, and a clock of milliseconds writes 123 000 000.
    const inMs = (text: string): string => text.replace('123456789', '123000000');
    const replies: Record<string, Reply> = {
      FindNodeRes: { op: 'find', contacts: [contact] },
      FindNodeRes_nil: { op: 'find', contacts: [] },
      GetRes: { op: 'get', value: encodeText('v'), ttlMs: 0, contacts: [contact] },
      PingRes: { op: 'ping' },
      PutRes: { op: 'put', accepted: [true] },
    };
    for (const [name, reply] of Object.entries(replies)) {
      assert.equal(original(answer(reply)), inMs(vectors[name]!), name);
      const op = reply.op === 'wrong_network' ? 'ping' : reply.op;
      assert.deepEqual(decodeJsonAnswer(op, encodeText(vectors[name]!), WALL_MS)?.reply, reply, name);
    }
    const ping = decodeJsonAnswer('ping', encodeText(vectors['PingRes']!), 0);
    assert.equal(ping?.wallMs, WALL_MS);
    assert.equal(ping?.isBinary, false);
  });

  it('reads an answer without a value and without a time', () => {
    const empty = { op: 'get', value: undefined, ttlMs: 0, contacts: [] };
    assert.deepEqual(decodeJsonAnswer('get', encodeText(vectors['GetRes_zero']!), WALL_MS)?.reply, empty);
    assert.equal(original(answer({ op: 'get', value: undefined, ttlMs: 0, contacts: [] })), vectors['GetRes_zero']);
    // go-p2p never says when a value expires.
    const timeless = '{"value":"dg==","expires_at":{"s":0,"ns":0},"closer":null}';
    const found = decodeJsonAnswer('get', encodeText(timeless), WALL_MS)?.reply;
    assert.deepEqual(found, { op: 'get', value: encodeText('v'), ttlMs: 300_000, contacts: [] });
  });

  it('carries what shoal adds, and tells networks apart', () => {
    const bytes = encodeJsonRequest('my-app', { query: { op: 'ping' }, isClient: true, addr: '\u0000@17' }, true)!;
    assert.deepEqual(
      decodeJsonRequest('my-app', bytes, (peer) => peer),
      {
        request: { query: { op: 'ping' }, isClient: true, addr: '\u0000@17' },
        isBinary: true,
      },
    );
    assert.equal(
      decodeJsonRequest('other', bytes, (peer) => peer),
      'wrong_network',
    );
    assert.equal(
      decodeJsonRequest('my-app', encodeText('{}'), (peer) => peer),
      'wrong_network',
    );
  });

  it('has no form for announcements and several values', () => {
    const key = Uint8Array.of(1);
    const entry = { key, value: key, ttlMs: 1 };
    assert.equal(request({ op: 'announce', record: undefined, positions: [], ttlMs: 1 }), undefined);
    assert.equal(request({ op: 'record', peer: raw }), undefined);
    assert.equal(request({ op: 'put', entries: [entry, entry] }), undefined);
  });

  it('keeps whole numbers exact', () => {
    for (const text of ['4611686020127387941', '-9007199254740993', '0', '[1,{"a":18446744073709551615}]']) {
      assert.equal(writeJson(readJson(encodeText(text))!), text);
    }
    assert.deepEqual(
      readJson(encodeText(' { "a" : [ true , false , null , 1.5e3 , "\\u0041\\n" ] } ')),
      new Map([['a', [true, false, null, 1500, 'A\n']]]),
    );
  });

  it('reads as JSON.parse does, and refuses what that refuses', () => {
    const plain = [
      '{"a":1}',
      '[]',
      '[1,]',
      '{,}',
      '{"a"}',
      '01',
      '-',
      '1.',
      '.5',
      '+1',
      '"\u0001"',
      '"\\x"',
      'nul',
      '{"a":1}x',
      '',
      '[1 2]',
      '"a',
      "'a'",
      '{"a":1,}',
      '\ufeff{}',
    ];
    for (const text of plain) {
      let expected: unknown;
      try {
        expected = JSON.stringify(JSON.parse(text));
      } catch {
        expected = undefined;
      }
      const value = readJson(encodeText(text));
      assert.equal(value === undefined ? undefined : writeJson(value), expected, text);
    }
  });

  it('refuses what is too deep, too long or of other types', () => {
    assert.equal(readJson(encodeText(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)), undefined);
    assert.equal(readJson(encodeText('[[[[[[[[1]]]]]]]]')) === undefined, false);
    assert.equal(readJson(encodeText('[[[[[[[[[1]]]]]]]]]')), undefined);
    assert.equal(readJson(encodeText('1'.repeat(25))), undefined);
    assert.equal(readJson(Uint8Array.of(0x22, 0xff, 0x22)), undefined);
    for (const text of [
      '{"target":"short"}',
      '{"target":7}',
      `{"target":"${ID}","limit":-1}`,
      `{"target":"${ID}","limit":1.5}`,
      '{"key":"AQID="}',
      '{"key":""}',
      '{"key":7}',
      '{"key":"AQID","value":7}',
      '{"key":"AQID","value":"","ttl_ms":"1"}',
      `{"key":"${'A'.repeat(400)}"}`,
      '[]',
      '7',
      'null',
    ])
      assert.equal(read(text), undefined, text);
    for (const [op, text] of [
      ['ping', '{}'],
      ['ping', '{"timestamp":{"s":1,"ns":1}}'],
      ['ping', '{"timestamp":{"s":4611686020127387941,"ns":1000000000}}'],
      ['find', '{}'],
      ['find', '{"nodes":{}}'],
      ['find', '{"nodes":[{"id":"x","info":""}]}'],
      ['find', '{"nodes":[7]}'],
      ['get', '{"value":"!"}'],
      ['put', '{"accepted":1}'],
      ['record', '{}'],
    ] as const)
      assert.equal(decodeJsonAnswer(op, encodeText(text), WALL_MS), undefined, text);
  });

  it('reads 64 contacts of an answer and counts the others', () => {
    const nodes = Array.from({ length: 1000 }, () => `{"id":"${ID}","info":""}`).join(',');
    const read = decodeJsonAnswer('find', encodeText(`{"nodes":[${nodes}]}`), WALL_MS);
    assert.equal(read?.reply.op === 'find' ? read.reply.contacts.length : 0, 64);
    assert.equal(read?.surplus, 936);
  });
});
