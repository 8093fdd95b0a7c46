import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { toHex } from '../../src/base/bytes.ts';
import { testKey } from '../../src/testing/test-key.ts';

interface Vectors {
  readonly keys: readonly { readonly spki_der: string }[];
}

describe('testKey', () => {
  it('makes the keys of go-p2p’s tests', () => {
    const vectors = JSON.parse(readFileSync(new URL('../vectors/go-p2p.json', import.meta.url), 'utf8')) as Vectors;
    for (const [i, { spki_der }] of vectors.keys.entries()) assert.equal(toHex(testKey(i).publicKey.spki), spki_der);
  });

  it('refuses what is no number', () => {
    assert.throws(() => testKey(-1), RangeError);
    assert.throws(() => testKey(0.5), TypeError);
  });
});
