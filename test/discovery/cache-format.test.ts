import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { type CachedNetwork, decodeCache, encodeCache, MAX_CACHE_BYTES } from '../../src/discovery/cache-format.ts';
import type { CachedPeer } from '../../src/discovery/peer-scores.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';
import * as fc from '../support/fast-check.ts';

const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);
const peer = (i: number): CachedPeer => ({
  id: idOf(i),
  addrs: [
    {
      addr: `tcp://${idOf(i)}@50.0.0.${i}:4000`,
      proof: 'dialled',
      firstMs: 1,
      provenMs: 2,
      successes: 3,
      failures: 4,
      failedMs: 5,
    },
  ],
});
const network = (name: string, ...peers: CachedPeer[]): CachedNetwork => ({ name, savedMs: 7, peers });
const file = (value: unknown) => encodeText(JSON.stringify(value));
const valid = (peers: unknown) =>
  file({ format: 'shoal peer cache', version: 1, networks: [{ name: 'a', savedMs: 1, peers }] });

describe('the file of a peer cache', () => {
  it('is JSON with a part for each network, which comes back as it was', () => {
    const first = encodeCache([], network('one', peer(1), peer(2)));
    const both = encodeCache(decodeCache(first) as readonly CachedNetwork[], network('two', peer(3)));
    assert.deepEqual(decodeCache(both), [network('two', peer(3)), network('one', peer(1), peer(2))]);
    assert.equal(JSON.parse(decodeText(both)!).version, 1);
    const again = encodeCache(decodeCache(both) as readonly CachedNetwork[], network('two', peer(4)));
    assert.deepEqual(decodeCache(again), [network('two', peer(4)), network('one', peer(1), peer(2))]);
  });

  it('cut at any byte is found out', () => {
    const whole = encodeCache([network('other', peer(1))], network('own', peer(2), peer(3)));
    for (let length = 0; length < whole.length - 1; length++) {
      assert.equal(decodeCache(whole.subarray(0, length)), 'corrupt', `${length} of ${whole.length} bytes`);
    }
    assert.equal(typeof decodeCache(whole.subarray(0, -1)), 'object', 'all but the last newline');
  });

  it('has room for 16 networks: the one that was saved first goes', () => {
    let networks: readonly CachedNetwork[] = [];
    for (let i = 0; i < 20; i++) {
      networks = decodeCache(encodeCache(networks, { ...network(`n${i}`), savedMs: i })) as readonly CachedNetwork[];
    }
    assert.deepEqual(
      networks.map(({ name }) => name),
      Array.from({ length: 16 }, (_, i) => `n${19 - i}`),
    );
  });

  it('of a later version is told from damage', () => {
    assert.equal(decodeCache(file({ format: 'shoal peer cache', version: 2, anything: 7 })), 'version');
    for (const version of [0, -1, '2', null, undefined, 1.5]) {
      assert.equal(decodeCache(file({ format: 'shoal peer cache', version })), 'corrupt', String(version));
    }
  });

  it('that is none is a fault: other JSON, no JSON, no text, too long, too deep', () => {
    for (const value of [null, 7, 'x', [], {}, { format: 'x' }, { format: 'shoal peer cache', version: 1 }]) {
      assert.equal(decodeCache(file(value)), 'corrupt', JSON.stringify(value));
    }
    for (const text of ['', '{', 'null', '\0\0\0\0', '[1,2', '{"format":"shoal peer cache"']) {
      assert.equal(decodeCache(encodeText(text)), 'corrupt', text);
    }
    assert.equal(decodeCache(Uint8Array.of(0xff, 0xfe, 0x00)), 'corrupt');
    assert.equal(decodeCache(new Uint8Array(MAX_CACHE_BYTES + 1).fill(0x20)), 'corrupt');
    assert.equal(decodeCache(encodeText('['.repeat(1_000_000))), 'corrupt');
    assert.equal(decodeCache(encodeText('{"a":'.repeat(1_000_000))), 'corrupt');
  });

  it('with hostile entries gives the others, within bounds', () => {
    const [good] = [peer(1)];
    const bad = [
      null,
      7,
      'x',
      {},
      { id: 'nobody', addrs: good.addrs },
      { id: idOf(2), addrs: [] },
      { id: idOf(2), addrs: 'x' },
      { id: idOf(2), addrs: [{ ...good.addrs[0] }] }, // Of another peer.
      { id: idOf(2), addrs: [{ ...good.addrs[0], addr: '\u001b[31m50.0.0.1:1' }] },
      { id: idOf(2), addrs: [{ ...good.addrs[0], addr: `50.0.0.1:${'1'.repeat(600)}` }] },
      { id: idOf(2), addrs: [{ ...good.addrs[0], addr: '50.0.0.1:4000', proof: 'hearsay' }] },
      { id: idOf(2), addrs: [{ ...good.addrs[0], addr: 7 }] },
      JSON.parse('{"__proto__":{"id":"x"},"constructor":1}'),
    ];
    assert.deepEqual(decodeCache(valid([...bad, good, good, ...bad])), [{ name: 'a', savedMs: 1, peers: [good] }]);
    const many = Array.from({ length: 5000 }, (_, i) => ({
      id: idOf(i),
      addrs: Array.from({ length: 9 }, (_, j) => ({ addr: `50.0.0.1:${j + 1}`, proof: 'dialled' })),
    }));
    const [read] = decodeCache(valid(many)) as readonly CachedNetwork[];
    assert.equal(read?.peers.length, 4096);
    assert.ok(read.peers.every(({ addrs }) => addrs.length === 4));
  });

  it('with numbers that are none, or out of range, takes bounded ones', () => {
    const odd = { firstMs: -5, provenMs: 1e300, successes: 1e9, failures: 'x', failedMs: null };
    const [read] = decodeCache(
      valid([{ id: idOf(1), addrs: [{ addr: '50.0.0.1:1', proof: 'dial_back', ...odd }] }]),
    ) as readonly CachedNetwork[];
    assert.deepEqual(read?.peers[0]?.addrs[0], {
      addr: '50.0.0.1:1',
      proof: 'dial_back',
      firstMs: 0,
      provenMs: 0,
      successes: 100,
      failures: 0,
      failedMs: 0,
    });
  });

  it('never throws, whatever bytes and values it has, also with single bytes changed', () => {
    const whole = encodeCache([], network('own', peer(1), peer(2)));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void decodeCache(bytes)),
      { numRuns: 500, seed: 1 },
    );
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (networks, peers) => {
        decodeCache(file({ format: 'shoal peer cache', version: 1, networks }));
        decodeCache(valid(peers));
        decodeCache(valid([{ id: idOf(1), addrs: peers }]));
      }),
      { numRuns: 500, seed: 2 },
    );
    for (let i = 0; i < whole.length; i++) {
      for (const flip of [1, 0x20, 0x80]) {
        const changed = Uint8Array.from(whole);
        changed[i]! ^= flip;
        const read = decodeCache(changed);
        if (typeof read === 'string') continue;
        for (const { peers } of read) for (const { id } of peers) assert.equal(id.length, 43);
      }
    }
  });
});
