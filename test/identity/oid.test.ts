import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from '../support/fast-check.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { decodeOid, encodeOid, isOid, OIDS } from '../../src/identity/oid.ts';

describe('object identifiers', () => {
  it('encodeOid() and decodeOid() agree with known encodings', () => {
    const known = [
      [OIDS.ed25519, '2b6570'],
      [OIDS.prime256v1, '2a8648ce3d030107'],
      [OIDS.commonName, '550403'],
      ['2.999.3', '883703'],
      ['2.100.18446744073709551615', '813481ffffffffffffffff7f'],
    ] as const;
    for (const [oid, hex] of known) {
      assert.equal(toHex(encodeOid(oid)), hex);
      assert.equal(decodeOid(fromHex(hex)), oid);
    }
  });

  it('decodeOid() refuses every encoding but the shortest, and never throws', () => {
    for (const hex of ['', '80', '2b80', '2b8001', '2b65f0', `2b${'ff'.repeat(10)}7f`, `2b${'01'.repeat(200)}`]) {
      assert.equal(decodeOid(fromHex(hex)), undefined, hex);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const oid = decodeOid(bytes);
        assert.ok(oid === undefined || toHex(encodeOid(oid)) === toHex(bytes));
      }),
    );
  });

  it('encodeOid() refuses what is no object identifier', () => {
    for (const bad of ['', '1', '3.1', '1.40', '1.2.', '1.02', '1.-2', '1.2.18446744073709551616', 'a.b']) {
      assert.equal(isOid(bad), false, bad);
      assert.throws(() => encodeOid(bad), TypeError);
    }
  });
});
