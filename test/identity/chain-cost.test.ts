/** Chains made up by a peer: what their verification may cost, as a count of operations. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type ChainCost,
  MAX_CHAIN_BYTES,
  MAX_CHAIN_STEPS,
  MAX_INTERMEDIATES,
  MAX_SIGNATURE_CHECKS,
  verifyChain,
} from '../../src/identity/chain.ts';
import { suites } from '../crypto/suites.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { authority, extension, fault, issue, type Issued, NOW_MS, root } from './made-chain.ts';

/** Bytes whose length can be asked for and nothing else. */
function untouchable(length: number): Uint8Array {
  return new Proxy(new Uint8Array(length), {
    get: (target, key) => (key === 'length' ? target.length : assert.fail(`${String(key)} was asked for`)),
  });
}

for (const suite of suites) {
  describe(`RSA keys on ${suite.cryptoName}`, () => {
    const odd = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0xff);
    const E = Uint8Array.of(1, 0, 1);

    it('numbers that are too long are refused by their lengths', () => {
      assert.equal(suite.rsaPublicKey(untouchable(56_000), E, 'sha256'), undefined);
      assert.equal(suite.rsaPublicKey(untouchable(1026), E, 'sha256'), undefined);
      assert.equal(suite.rsaPublicKey(odd(256), untouchable(56_000), 'sha256'), undefined);
      const key = suite.rsaPublicKey(odd(256), E, 'sha256')!;
      for (const length of [257, 255, 56_000]) assert.equal(key.verify(new Uint8Array(1), untouchable(length)), false);
    });

    it('keys that are broken, or that only cost time, are refused', () => {
      const wrong: readonly (readonly [modulus: Uint8Array, exponent: Uint8Array])[] = [
        [odd(255), E], // 2040 bits
        [odd(1025), E], // 8200 bits
        [Uint8Array.of(0x7f, ...odd(256)), E], // 2055 bits
        [Uint8Array.of(...odd(255), 0xfe), E], // even
        [odd(256), Uint8Array.of(1)],
        [odd(256), Uint8Array.of(2)],
        [odd(256), Uint8Array.of(1, 0, 0)],
        [odd(256), Uint8Array.of(1, 0, 3)],
        [odd(256), new Uint8Array()],
        [new Uint8Array(), E],
      ];
      for (const [modulus, exponent] of wrong) assert.equal(suite.rsaPublicKey(modulus, exponent, 'sha256'), undefined);
    });
  });
}

const LARGER = 'openssl takes larger chains';

describe('the search for a chain', () => {
  const newCost = (): ChainCost => ({ steps: 0, signatureChecks: 0, hashedBytes: 0 });

  it(`takes as many certificates between as there may be, and the authority's own`, () => {
    const chainOf = (n: number): Issued[] => {
      const between: Issued[] = [];
      let by = root;
      for (let i = 0; i < n; i++) between.push((by = issue(testKey(20 + i), by, { ...authority, commonName: `${i}` })));
      return [issue(testKey(3), by), ...between];
    };
    for (const n of [8, 9, 12, MAX_INTERMEDIATES]) {
      const cost = newCost();
      assert.equal(fault(chainOf(n), { cost }), undefined, String(n));
      assert.equal(cost.signatureChecks, n + 1);
    }
    assert.equal(fault([...chainOf(MAX_INTERMEDIATES), root]), undefined);
    assert.equal(fault(chainOf(MAX_INTERMEDIATES + 1), { openssl: LARGER }), 'unknown_ca');
    assert.equal(fault([...chainOf(MAX_INTERMEDIATES + 1), root], { openssl: LARGER }), 'malformed');
  });

  it('looks at few signatures, however many authorities of one name a peer makes up', () => {
    const loops = Array.from({ length: MAX_INTERMEDIATES }, (_, i) => {
      const self = issue(testKey(40 + i), undefined, { ...authority, commonName: 'loop' });
      return self;
    });
    // All have one key, so that each has signed each of them.
    const same = loops.map((_, i) =>
      issue(testKey(40), undefined, { ...authority, commonName: 'loop', serialNumber: Uint8Array.of(i + 1) }),
    );
    for (const others of [loops, same]) {
      for (const leaf of [issue(testKey(3), others[0]), issue(testKey(3), others.at(-1))]) {
        const cost = newCost();
        const wrong = fault([leaf, ...others], { cost });
        assert.ok(wrong === 'too_complex' || wrong === 'unknown_ca', String(wrong));
        assert.ok(cost.signatureChecks <= MAX_SIGNATURE_CHECKS, `${cost.signatureChecks} signatures`);
        assert.ok(cost.steps <= MAX_CHAIN_STEPS, `${cost.steps} steps`);
      }
    }
    const cost = newCost();
    assert.equal(fault([issue(testKey(3), same[0]), ...same], { cost }), 'too_complex');
    assert.equal(cost.signatureChecks, MAX_SIGNATURE_CHECKS);
  });

  it('takes few steps where no signature is looked at', () => {
    // Names fit and dates do not, in each pair that is tried.
    const past = { notBeforeMs: NOW_MS - 9000, notAfterMs: NOW_MS - 5000 };
    const anchors = Array.from({ length: 300 }, (_, i) =>
      issue(testKey(40), undefined, {
        ...authority,
        ...past,
        commonName: 'old',
        serialNumber: Uint8Array.of(1 + (i >> 8), i),
      }),
    );
    const cost = newCost();
    assert.equal(fault([issue(testKey(3), anchors[0])], { anchors, cost }), 'too_complex');
    assert.equal(cost.steps, MAX_CHAIN_STEPS);
    assert.equal(cost.signatureChecks, 0);
  });

  it('hashes no more than its limits allow', () => {
    const large = extension('1.2.3.4', new Uint8Array(10_000), false);
    const others = Array.from({ length: MAX_INTERMEDIATES }, (_, i) =>
      issue(testKey(40), undefined, {
        ...authority,
        commonName: 'loop',
        serialNumber: Uint8Array.of(i + 1),
        extensions: [large],
      }),
    );
    const cost = newCost();
    fault([issue(testKey(3), others[0], { extensions: [large] }), ...others], { cost });
    assert.ok(cost.hashedBytes > 100_000 && cost.hashedBytes <= MAX_SIGNATURE_CHECKS * 11_000, `${cost.hashedBytes}`);
    const sized = (bytes: number): string | undefined =>
      verifyChain({ chain: [new Uint8Array(bytes)], anchors: [], wallMs: 0, usage: 'server', serverName: undefined })
        ?.why;
    assert.match(sized(MAX_CHAIN_BYTES) ?? '', /strict version 3/);
    assert.match(sized(MAX_CHAIN_BYTES + 1) ?? '', /too large/);
    const huge = issue(testKey(3), root, {
      extensions: [extension('1.2.3.4', new Uint8Array(MAX_CHAIN_BYTES), false)],
    });
    const none = newCost();
    assert.equal(fault([huge], { cost: none, openssl: LARGER }), 'malformed');
    assert.equal(none.hashedBytes, 0);
  });

  it('goes to no certificate twice on one way', () => {
    const self = issue(testKey(5), undefined, { ...authority, commonName: 'loop' });
    const cost = newCost();
    assert.equal(fault([issue(testKey(3), self), self], { cost }), 'unknown_ca');
    assert.deepEqual([cost.steps, cost.signatureChecks], [1, 1]);
  });

  it('checks the same signature once', () => {
    const [x, n] = [testKey(80), testKey(81)];
    const nowhere = issue(x, undefined, { ...authority, commonName: 'x' });
    const upper = issue(n, nowhere, { ...authority, commonName: 'n' });
    const lower = [1, 2].map((serial) =>
      issue(testKey(82), upper, { ...authority, commonName: 'm', serialNumber: Uint8Array.of(serial) }),
    );
    const cost = newCost();
    assert.equal(fault([issue(testKey(3), lower[0]), ...lower, upper, nowhere], { cost }), 'unknown_ca');
    // Both lower ones lead to the upper one, and that to the one that leads nowhere: looked at twice, checked once.
    assert.deepEqual([cost.steps, cost.signatureChecks], [6, 5]);
  });

  it('finds the one way among authorities of one name', () => {
    const wrong = Array.from({ length: 5 }, (_, i) =>
      issue(testKey(60 + i), root, { ...authority, commonName: 'middle' }),
    );
    const right = issue(testKey(70), root, { ...authority, commonName: 'middle' });
    const openssl = 'openssl tries only one authority of a name';
    assert.equal(fault([issue(testKey(3), right), ...wrong, right], { openssl }), undefined);
    assert.equal(
      fault([issue(testKey(3), right), ...wrong, ...wrong, right], { openssl }),
      undefined,
      'doubles count once',
    );
  });
});
