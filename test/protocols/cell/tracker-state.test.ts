import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeText } from '../../../src/base/bytes.ts';
import {
  encodeTrackerState,
  expiryOf,
  formatTimestamp,
  parseTimestamp,
  parseTrackerState,
  TRACKER_LIMITS,
} from '../../../src/protocols/cell/tracker-state.ts';

const ID = '-------------------------------------------';
const entry = { addr: 'udp://127.0.0.1:5000', timestamp: '2023-11-14T22:13:20Z', ttl: 1e9 };
const parse = (value: unknown): ReturnType<typeof parseTrackerState> =>
  parseTrackerState(encodeText(JSON.stringify(value)));

describe('the JSON of a tracker', () => {
  it('is empty when there are no bytes', () => {
    assert.deepEqual(parseTrackerState(new Uint8Array(0)), { state: new Map(), dropped: 0 });
  });

  it('may leave out what Go leaves out', () => {
    for (const value of [{}, { peers: null }, { peers: {}, more: 1 }]) assert.equal(parse(value)!.state.size, 0);
    assert.deepEqual(parse({ peers: { [ID]: null } })!.state.get(ID as never), []);
  });

  it('is refused as a whole when it is no object of peers', () => {
    for (const text of ['', ' ', 'null', '[]', '1', '"a"', '{"peers":[]}', '{"peers":1}', '{"peers":{}', '\ufeff{}']) {
      if (text !== '') assert.equal(parseTrackerState(encodeText(text)), undefined, text);
    }
    assert.equal(parseTrackerState(Uint8Array.of(0xff, 0xfe)), undefined);
    assert.equal(parseTrackerState(encodeText('['.repeat(30_000))), undefined);
    assert.equal(parseTrackerState(encodeText(`{"peers":${'{"a":'.repeat(5000)}1${'}'.repeat(5001)}`))!.dropped, 1);
  });

  it('leaves out entries of another form, and counts them', () => {
    const wrong: unknown[] = [
      null,
      1,
      [],
      {},
      { ...entry, addr: '' },
      { ...entry, addr: 7 },
      { ...entry, addr: 'a'.repeat(TRACKER_LIMITS.maxAddrCharacters + 1) },
      { ...entry, addr: 'udp://1.2.3.4:5\u001b[2J' },
      { ...entry, timestamp: 'yesterday' },
      { ...entry, timestamp: '2023-02-30T00:00:00Z' },
      { ...entry, ttl: -1 },
      { ...entry, ttl: '60s' },
    ];
    const parsed = parse({ peers: { [ID]: [...wrong, entry], nobody: [entry], __proto__: [entry] } })!;
    assert.equal(parsed.state.get(ID as never)!.length, 1);
    assert.equal(parsed.state.size, 1);
    assert.equal(parsed.dropped, wrong.length + 1);
  });

  it('has at most 16 addresses of a peer', () => {
    const parsed = parse({ peers: { [ID]: Array.from({ length: 20 }, () => entry) } })!;
    assert.equal(parsed.state.get(ID as never)!.length, TRACKER_LIMITS.maxAddrsPerPeer);
    assert.equal(parsed.dropped, 4);
  });

  it('does not believe an address for longer than a day, whatever it says', () => {
    const atMs = parseTimestamp(entry.timestamp)!;
    const addr = { addr: 'a', timestamp: entry.timestamp, atMs, ttlNs: 9e18 };
    assert.equal(expiryOf(addr), atMs + 86_400_000);
    assert.equal(expiryOf({ ...addr, ttlNs: 1.5e9 }), atMs + 1500);
    assert.equal(expiryOf({ ...addr, ttlNs: 0 }), atMs);
  });

  it('is written as Go writes it: peers in order, and no spaces', () => {
    const parsed = parse({ peers: { [`0${ID.slice(1)}`]: [], [ID]: [] } })!;
    const text = new TextDecoder().decode(encodeTrackerState(parsed.state));
    assert.equal(text, `{"peers":{"${ID}":[],"0${ID.slice(1)}":[]}}`);
  });
});

describe('RFC 3339', () => {
  it('is read with any digits of a second and any offset', () => {
    const ms = Date.UTC(2023, 10, 14, 22, 13, 20);
    for (const [text, expected] of [
      ['2023-11-14T22:13:20Z', ms],
      ['2023-11-14T22:13:20.5Z', ms + 500],
      ['2023-11-14T22:13:20.123456789Z', ms + 123],
      ['2023-11-15T00:13:20+02:00', ms],
      ['2023-11-14T16:43:20.25-05:30', ms + 250],
      ['2023-11-14t22:13:20z', ms],
    ] as const) {
      assert.equal(parseTimestamp(text), expected, text);
    }
    for (const text of [
      '',
      '2023-11-14',
      '2023-11-14T22:13:20',
      '2023-13-14T22:13:20Z',
      '2023-11-14T25:13:20Z',
      '2023-11-14T22:13:20.1234567890Z',
    ]) {
      assert.equal(parseTimestamp(text), undefined, text);
    }
  });

  it('is written so that it is read as the same', () => {
    for (const ms of [0, 1, 999, 1_700_000_000_000, 1_700_000_000_120, 4_102_444_800_007]) {
      assert.equal(parseTimestamp(formatTimestamp(ms)), ms);
    }
    assert.equal(formatTimestamp(1_700_000_000_120), '2023-11-14T22:13:20.12Z');
  });
});
