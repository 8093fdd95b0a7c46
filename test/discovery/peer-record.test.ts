import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { concatBytes } from '../../src/base/bytes.ts';
import {
  MAX_LIFETIME_MS,
  MAX_RECORD_BYTES,
  readPeerRecord,
  signPeerRecord,
  verifyPeerRecord,
} from '../../src/discovery/peer-record.ts';
import { generateKey, peerIdOfKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/index.ts';

const key = testKey(1);
const id = peerIdOfKey(key.publicKey);
const other = peerIdOfKey(testKey(2).publicKey);
const fields = {
  addrs: [`quic://${id}@127.0.0.1:5000`, `${id}@[::1]:6000`],
  issuedMs: 1_700_000_000_000,
  lifetimeMs: 60_000,
};

describe('peer record', () => {
  it('says after the wire what was signed', () => {
    const signed = signPeerRecord(key, fields);
    const read = verifyPeerRecord(signed.bytes);
    assert.deepEqual(read, signed);
    assert.equal(signed.id, id);
    assert.equal(signed.expiresMs, fields.issuedMs + fields.lifetimeMs);
  });

  it('is of any known algorithm, and may hold no address', () => {
    const p256 = generateKey({ algorithm: 'ecdsa-p256' });
    const signed = signPeerRecord(p256, { ...fields, addrs: [] });
    assert.deepEqual(verifyPeerRecord(signed.bytes), signed);
  });

  it('is refused when one bit of it is changed, wherever', () => {
    const { bytes } = signPeerRecord(key, fields);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const spoilt = bytes.slice();
      spoilt[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(typeof verifyPeerRecord(spoilt), 'string', `bit ${bit}`);
    }
  });

  it('is refused when it is cut, or longer than it says', () => {
    const { bytes } = signPeerRecord(key, fields);
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(verifyPeerRecord(bytes.subarray(0, length)), 'malformed');
    }
    assert.equal(verifyPeerRecord(concatBytes(bytes, Uint8Array.of(0))), 'malformed');
    assert.equal(verifyPeerRecord(new Uint8Array(MAX_RECORD_BYTES + 1)), 'malformed');
  });

  it('leads to its subject only', () => {
    const wrong = [
      `${other}@127.0.0.1:1`,
      `127.0.0.1:1`,
      `x${id}@127.0.0.1:1`,
      `${other}@${id}@127.0.0.1:1`,
      `quic://x${id}@127.0.0.1:1`,
    ];
    for (const addr of wrong) assert.throws(() => signPeerRecord(key, { ...fields, addrs: [addr] }), TypeError, addr);
    // A signer that does not keep to it: what it signs is refused by those who read it.
    const liar = { publicKey: testKey(2).publicKey, sign: (message: Uint8Array) => testKey(2).sign(message) };
    const right = signPeerRecord(liar, { ...fields, addrs: [`${other}@127.0.0.1:1`] });
    assert.notEqual(typeof verifyPeerRecord(right.bytes), 'string');
    const body = right.bytes.subarray(0, right.bytes.length - 65);
    const text = String.fromCharCode(...body).replace(other, id);
    const forged = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const unsigned = readPeerRecord(concatBytes(forged, Uint8Array.of(64), new Uint8Array(64)));
    assert.ok(unsigned !== undefined);
    const signature = testKey(2).sign(unsigned.signed);
    assert.equal(verifyPeerRecord(concatBytes(forged, Uint8Array.of(64), signature)), 'wrong_id');
    // Nested: the outermost one counts.
    signPeerRecord(key, { ...fields, addrs: [`${id}@${other}@127.0.0.1:1`] });
  });

  it('is misuse beyond its bounds', () => {
    const cases = [
      { ...fields, lifetimeMs: 0 },
      { ...fields, lifetimeMs: MAX_LIFETIME_MS + 1 },
      { ...fields, issuedMs: -1 },
      { ...fields, addrs: Array.from({ length: 17 }, () => `${id}@1`) },
      { ...fields, addrs: [`${id}@${'x'.repeat(600)}`] },
    ];
    for (const each of cases) {
      assert.throws(
        () => signPeerRecord(key, each),
        (error) => error instanceof TypeError || error instanceof RangeError,
      );
    }
  });

  it('never throws at any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => typeof verifyPeerRecord(bytes) === 'string'));
  });
});
