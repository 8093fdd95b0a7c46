/** What a peer can send to the primitives: both implementations refuse the same things, and never throw. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ed25519, ED25519_TORSION_SUBGROUP } from '@noble/curves/ed25519.js';
import * as fc from '../support/fast-check.ts';
import { encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import { isSquare } from '../../src/crypto/ed25519-points.ts';
import { sodiumAead, type SodiumLibrary } from '../../src/crypto/sodium.ts';
import { loadWasmAead } from '../../src/crypto/wasm-aead.ts';
import { suites } from './suites.ts';

const [node, noble] = suites as [(typeof suites)[0], (typeof suites)[0]];
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });

/** RFC 7748 §6.1 and the list every X25519 implementation is tried with: u-coordinates of low order. */
const LOW_ORDER_U = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
];

/** Of the CCTV set (C2SP): A, R or what is left of the equation has a component of low order. */
const MIXED: readonly {
  readonly valid: boolean;
  readonly key: string;
  readonly message: string;
  readonly signature: string;
}[] = [
  {
    valid: true, // number 7: components of A and R that cancel out
    key: '10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f',
    message: 'ed25519vectors',
    signature:
      '36684ea91032ba5b1dbab2d02f4debc74c3327f2b3802e2e4d371aa42b12b56bbbfd00bd9c259d8d222d15e67a3d8228585050dbb9b9585be20d8fadc721da03',
  },
  {
    valid: false, // number 267: right only when both sides are multiplied by the cofactor
    key: 'ef75b20e7540e3dff77404193652ba2bd13df99c1508eee1515e27ae25f28076',
    message: 'ed25519vectors 3',
    signature:
      '36684ea91032ba5b1dbab2d02f4debc74c3327f2b3802e2e4d371aa42b12b56b2d471882773a677af1e3824e757a33f8ddf7bbeaf3d28a09595eb8daa0d74a03',
  },
  {
    valid: false, // number 304: R is the neutral point, and the equation holds
    key: 'ef75b20e7540e3dff77404193652ba2bd13df99c1508eee1515e27ae25f28076',
    message: 'ed25519vectors 7',
    signature:
      '0100000000000000000000000000000000000000000000000000000000000000330b30d6c1f07511e2208d233b6a34d4ed7109da2dea615bcd97daee3a842704',
  },
  {
    valid: false, // number 5: R is the point of order 4, and the equation holds
    key: '10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f',
    message: 'ed25519vectors 3',
    signature:
      '00000000000000000000000000000000000000000000000000000000000000009472a69cd9a701a50d130ed52189e2455b23767db52cacb8716fb896ffeeac09',
  },
];

function canDecode(point: Uint8Array): boolean {
  try {
    ed25519.Point.fromBytes(point);
    return true;
  } catch {
    return false;
  }
}

for (const suite of suites) {
  describe(`hostile input to crypto on ${suite.cryptoName}`, () => {
    it('x25519 refuses points of low order and keys of the wrong length', () => {
      const key = suite.x25519PrivateKey(new Uint8Array(32).fill(7));
      for (const point of LOW_ORDER_U) assert.equal(key.sharedSecret(fromHex(point)), undefined);
      for (const length of [0, 31, 33]) assert.equal(key.sharedSecret(new Uint8Array(length).fill(9)), undefined);
    });

    it('ed25519 refuses public keys of low order, whatever their sign bit', () => {
      const points = [...ED25519_TORSION_SUBGROUP, `ed${'ff'.repeat(30)}7f`, `ee${'ff'.repeat(30)}7f`];
      for (const point of points) {
        const encoded = fromHex(point);
        assert.equal(suite.ed25519PublicKey(encoded), undefined);
        encoded[31]! ^= 0x80;
        assert.equal(suite.ed25519PublicKey(encoded), undefined);
      }
      for (const length of [0, 31, 33]) assert.equal(suite.ed25519PublicKey(new Uint8Array(length)), undefined);
    });

    it('ed25519 refuses keys that are no point of the curve, and encodings of one that are not the only one', () => {
      const key = (y: number, ...end: readonly number[]): Uint8Array => {
        const bytes = new Uint8Array(32).fill(end.length === 0 ? 0 : 0xff);
        bytes[0] = y;
        if (end.length > 0) bytes[31] = end[0]!;
        return bytes;
      };
      assert.notEqual(suite.ed25519PublicKey(key(3)), undefined);
      assert.equal(suite.ed25519PublicKey(key(2)), undefined, 'no point has y = 2');
      for (let y = 0; y < 19; y++) {
        for (const sign of [0x7f, 0xff]) {
          assert.equal(suite.ed25519PublicKey(key(0xed + y, sign)), undefined, `y = p + ${y}`);
        }
      }
      let points = 0;
      for (let i = 0; i < 200; i++) {
        const bytes = suite.hash('sha256', Uint8Array.of(i));
        const isPoint = canDecode(bytes);
        points += isPoint ? 1 : 0;
        assert.equal(suite.ed25519PublicKey(bytes) !== undefined, isPoint);
      }
      assert.ok(points > 50 && points < 150);
    });

    it('ed25519 judges by the equation without the cofactor, and refuses an R of low order', () => {
      for (const { valid, key, message, signature } of MIXED) {
        const verifier = suite.ed25519PublicKey(fromHex(key))!;
        assert.equal(verifier.verify(encodeText(message), fromHex(signature)), valid, message);
      }
    });

    it('ed25519 leaves keys and signatures that are Buffers as they are', () => {
      const { key, message, signature } = MIXED[0]!;
      const [point, proof] = [Buffer.from(key, 'hex'), Buffer.from(signature, 'hex')];
      point[31]! |= 0x80;
      proof[31]! |= 0x80;
      const before = [point.toString('hex'), proof.toString('hex')];
      suite.ed25519PublicKey(point)?.verify(encodeText(message), proof);
      assert.deepEqual([point.toString('hex'), proof.toString('hex')], before);
    });

    it('ecdsa takes uncompressed points of the curve only, and answers false to every changed bit', () => {
      const { secret, message } = { secret: new Uint8Array(32).fill(9), message: Uint8Array.of(1, 2, 3) };
      const own = suite.p256PrivateKey(secret)!;
      const point = own.publicKey;
      const signature = own.sign(message);
      const key = suite.ecdsaPublicKey('p-256', point)!;
      assert.equal(key.verify(message, signature), true);
      assert.equal(key.verify(Uint8Array.of(1, 2), signature), false);
      for (let bit = 0; bit < 8 * signature.length; bit++) {
        const forged = signature.slice();
        forged[bit >> 3]! ^= 1 << (bit & 7);
        assert.equal(key.verify(message, forged), false, `bit ${bit}`);
      }
      for (const trailing of [signature.subarray(1), Uint8Array.of(...signature, 0), new Uint8Array(0)]) {
        assert.equal(key.verify(message, trailing), false);
      }
      const off = point.slice();
      off[64]! ^= 1;
      const hybrid = point.slice();
      hybrid[0] = 6 + (point[64]! & 1);
      const compressed = Uint8Array.of(2 + (point[64]! & 1), ...point.subarray(1, 33));
      const infinity = new Uint8Array(65);
      infinity[0] = 4;
      for (const wrong of [
        off,
        hybrid,
        compressed,
        infinity,
        new Uint8Array(1),
        new Uint8Array(0),
        point.subarray(1),
      ]) {
        assert.equal(suite.ecdsaPublicKey('p-256', wrong), undefined);
      }
      assert.equal(suite.ecdsaPublicKey('p-384', point), undefined);
    });

    it('ed25519 refuses a signature whose scalar is not reduced', () => {
      const key = suite.ed25519PrivateKey(new Uint8Array(32).fill(3));
      const message = Uint8Array.of(1, 2, 3);
      const signature = key.sign(message);
      const order = 2n ** 252n + 27742317777372353535851937790883648493n;
      let scalar = order;
      for (let i = 31; i >= 0; i--) scalar += BigInt(signature[32 + i]!) << BigInt(8 * i);
      const malleated = signature.slice();
      for (let i = 0; i < 32; i++) malleated[32 + i] = Number((scalar >> BigInt(8 * i)) & 0xffn);
      const verifier = suite.ed25519PublicKey(key.publicKey)!;
      assert.equal(verifier.verify(message, signature), true);
      assert.equal(verifier.verify(message, malleated), false);
    });

    it('keys of the wrong length are misuse', () => {
      assert.throws(() => suite.ed25519PrivateKey(new Uint8Array(31)), RangeError);
      assert.throws(() => suite.x25519PrivateKey(new Uint8Array(33)), RangeError);
      assert.throws(() => suite.chacha20Poly1305(new Uint8Array(16)), RangeError);
      for (const length of [0, 15, 24, 33]) assert.throws(() => suite.aesGcm(new Uint8Array(length)), RangeError);
    });

    for (const [cipher, key] of [
      ['ChaCha20-Poly1305', suite.chacha20Poly1305(new Uint8Array(32).fill(5))],
      ['AES-128-GCM', suite.aesGcm(new Uint8Array(16).fill(5))],
      ['AES-256-GCM', suite.aesGcm(new Uint8Array(32).fill(5))],
    ] as const)
      it(`open() of ${cipher} answers false to every changed bit and every cut, and leaves no plaintext`, () => {
        const nonce = new Uint8Array(12);
        const associated = Uint8Array.of(1, 2, 3, 4);
        const plaintext = Uint8Array.of(9, 8, 7, 6, 5);
        const sealed = new Uint8Array(21);
        key.seal(nonce, associated, plaintext, sealed, 0);
        const out = new Uint8Array(5);
        for (let bit = 0; bit < 8 * sealed.length; bit++) {
          const forged = sealed.slice();
          forged[bit >> 3]! ^= 1 << (bit & 7);
          assert.equal(key.open(nonce, associated, forged, out, 0), false);
          assert.deepEqual(out, new Uint8Array(5));
        }
        for (let length = 0; length < sealed.length; length++) {
          assert.equal(key.open(nonce, associated, sealed.subarray(0, length), out, 0), false);
        }
        assert.equal(key.open(nonce, associated.subarray(1), sealed, out, 0), false);
        assert.throws(() => key.open(nonce, associated, sealed, new Uint8Array(4), 0), RangeError);
        assert.throws(() => key.seal(nonce, associated, plaintext, new Uint8Array(20), 0), RangeError);
      });
  });
}

describe('squares modulo p', () => {
  it("are told as by Euler's criterion, also where many halvings come at once", () => {
    const p = 2n ** 255n - 19n;
    const euler = (a: bigint): boolean => {
      let [result, base] = [1n, a];
      for (let e = (p - 1n) / 2n; e > 0n; e >>= 1n) {
        if ((e & 1n) === 1n) result = (result * base) % p;
        base = (base * base) % p;
      }
      return result !== p - 1n;
    };
    const numbers = [0n, 1n, 2n, 3n, p - 1n, p - 2n];
    for (let k = 1n; k < 250n; k += 7n)
      numbers.push(2n ** k, 3n * 2n ** k, 2n ** k + 1n, p - 2n ** k, 5n * 2n ** k - 1n);
    for (const a of numbers) assert.equal(isSquare(a % p), euler(a % p), String(a));
  });
});

describe('both implementations of crypto', () => {
  it('agree on seeds, signatures, secrets and sealed text', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), fc.uint8Array({ maxLength: 300 }), bytes(12), (seed, other, data, nonce) => {
        const [a, b] = [node.ed25519PrivateKey(seed), noble.ed25519PrivateKey(seed)];
        assert.deepEqual(a.publicKey, b.publicKey);
        assert.deepEqual(a.sign(data), b.sign(data));
        const point = node.x25519PrivateKey(other).publicKey;
        assert.deepEqual(
          node.x25519PrivateKey(seed).sharedSecret(point),
          noble.x25519PrivateKey(seed).sharedSecret(point),
        );
        const sealed = [node, noble].map((suite) => {
          const out = new Uint8Array(data.length + 16);
          suite.chacha20Poly1305(seed).seal(nonce, other, data, out, 0);
          return toHex(out);
        });
        assert.equal(sealed[0], sealed[1]);
        const [p, q] = [node.p256PrivateKey(seed), noble.p256PrivateKey(seed)];
        assert.deepEqual(p?.publicKey, q?.publicKey);
        assert.deepEqual(p?.sign(data), q?.sign(data));
        assert.deepEqual(node.hmac('blake2b512', other, data), noble.hmac('blake2b512', other, data));
      }),
      { numRuns: 25 },
    );
  });

  it('take P-256 scalars from 1 to the order less one, and keep a copy', () => {
    const order = fromHex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
    const near = (change: number): Uint8Array => Uint8Array.from(order, (byte, i) => (i === 31 ? byte + change : byte));
    const one = new Uint8Array(32).fill(1, 31);
    for (const suite of suites) {
      for (const wrong of [
        order,
        near(1),
        new Uint8Array(32).fill(255),
        new Uint8Array(32),
        one.subarray(1),
        new Uint8Array(33),
      ]) {
        assert.equal(suite.p256PrivateKey(wrong), undefined, toHex(wrong));
      }
      for (const right of [one, near(-1)]) {
        const secret = right.slice();
        const key = suite.p256PrivateKey(secret)!;
        const signature = key.sign(one);
        secret.fill(7);
        assert.deepEqual(key.sign(one), signature);
        assert.equal(suite.ecdsaPublicKey('p-256', key.publicKey)!.verify(one, signature), true);
        assert.deepEqual(signature, node.p256PrivateKey(right)!.sign(one));
      }
    }
  });

  it('hand out plain arrays, never a Buffer', () => {
    for (const suite of suites) {
      const key = suite.x25519PrivateKey(new Uint8Array(32).fill(1));
      const results = [
        suite.hash('sha256', new Uint8Array(1)),
        suite.shake256(new Uint8Array(1), 32),
        suite.ed25519PrivateKey(new Uint8Array(32)).sign(new Uint8Array(1)),
        key.publicKey,
        key.sharedSecret(key.publicKey)!,
        suite.p256PrivateKey(new Uint8Array(32).fill(1))!.publicKey,
        suite.p256PrivateKey(new Uint8Array(32).fill(1))!.sign(new Uint8Array(1)),
      ];
      for (const result of results) assert.equal(Object.getPrototypeOf(result), Uint8Array.prototype);
    }
  });
});

describe('an AEAD that is passed in', () => {
  it('sodiumAead() seals into the given place and says false to forgeries', () => {
    const inner = node.chacha20Poly1305(new Uint8Array(32).fill(5));
    // Stands in for sodium-native with its calling convention: fills the target, throws on forgery.
    const library: SodiumLibrary = {
      crypto_aead_chacha20poly1305_ietf_encrypt(sealed, plaintext, associated, _, nonce) {
        inner.seal(nonce, associated!, plaintext, sealed, 0);
        return sealed.length;
      },
      crypto_aead_chacha20poly1305_ietf_decrypt(plaintext, _, sealed, associated, nonce) {
        plaintext.fill(0xaa);
        if (!inner.open(nonce, associated!, sealed, plaintext, 0)) throw new Error('could not verify data');
        return plaintext.length;
      },
    };
    const key = sodiumAead(library)(new Uint8Array(32).fill(5));
    const nonce = new Uint8Array(12);
    const out = new Uint8Array(24);
    key.seal(nonce, nonce, Uint8Array.of(1, 2, 3, 4), out, 4);
    const opened = new Uint8Array(6);
    assert.equal(key.open(nonce, nonce, out.subarray(4), opened, 1), true);
    assert.deepEqual(opened, Uint8Array.of(0, 1, 2, 3, 4, 0));
    out[5]! ^= 1;
    assert.equal(key.open(nonce, nonce, out.subarray(4), opened, 1), false);
    assert.deepEqual(opened, new Uint8Array(6));
    assert.throws(() => key.seal(nonce, nonce, new Uint8Array(20), out, 0), RangeError);
    assert.throws(() => key.open(nonce, nonce, out, new Uint8Array(3), 0), RangeError);
  });

  it('loadWasmAead() agrees with both implementations on every size, and says false to every changed byte', async () => {
    const importAead = await loadWasmAead();
    const sizes = [0, 1, 15, 16, 17, 63, 64, 65, 255, 1000, 1471, 1472, 1473, 16_384, 16_385, 70_000];
    for (const size of sizes) {
      const [secret, nonce] = [new Uint8Array(32).fill(size + 1), new Uint8Array(12).fill(size + 2)];
      const [associated, plaintext] = [new Uint8Array(size % 70).fill(3), new Uint8Array(size).map((_, i) => i * 7)];
      const key = importAead(secret);
      const out = new Uint8Array(size + 16 + 5).fill(9);
      key.seal(nonce, associated, plaintext, out, 4);
      const expected = new Uint8Array(size + 16);
      noble.chacha20Poly1305(secret).seal(nonce, associated, plaintext, expected, 0);
      const sealed = out.subarray(4, -1);
      assert.deepEqual(sealed, expected, `${size} bytes`);
      assert.deepEqual([...out.subarray(0, 4), out.at(-1)], [9, 9, 9, 9, 9]);
      const opened = new Uint8Array(size + 2).fill(8);
      assert.equal(key.open(nonce, associated, sealed, opened, 1), true);
      assert.deepEqual(opened.subarray(1, -1), plaintext);
      assert.deepEqual([opened[0], opened.at(-1)], [8, 8]);
      for (const at of new Set([0, size >> 1, size, size + 15])) {
        sealed[at]! ^= 0x80;
        assert.equal(key.open(nonce, associated, sealed, opened.fill(8), 1), false);
        assert.ok(
          opened.every((byte) => byte === 8),
          'nothing of the plaintext is shown',
        );
        sealed[at]! ^= 0x80;
      }
      if (associated.length > 0) assert.equal(key.open(nonce, associated.subarray(1), sealed, opened, 0), false);
      assert.equal(key.open(nonce, associated, sealed.subarray(1), opened, 0), false);
      assert.throws(() => key.seal(nonce, associated, plaintext, new Uint8Array(size + 15), 0), RangeError);
      assert.throws(() => key.open(nonce, associated, sealed, new Uint8Array(size), 1), RangeError);
    }
  });

  it('loadWasmAead() keeps a copy of each key, and checks keys and nonces', async () => {
    const importAead = await loadWasmAead();
    const secret = new Uint8Array(32).fill(1);
    const [a, b] = [importAead(secret), importAead(secret.slice().fill(2))];
    secret.fill(7);
    const [nonce, out, again] = [new Uint8Array(12), new Uint8Array(20), new Uint8Array(20)];
    a.seal(nonce, nonce, Uint8Array.of(1, 2, 3, 4), out, 0);
    node.chacha20Poly1305(secret.fill(1)).seal(nonce, nonce, Uint8Array.of(1, 2, 3, 4), again, 0);
    assert.deepEqual(out, again);
    assert.equal(b.open(nonce, nonce, out, new Uint8Array(4), 0), false);
    assert.equal(a.open(nonce, nonce, new Uint8Array(15), new Uint8Array(4), 0), false);
    for (const length of [0, 31, 33]) assert.throws(() => importAead(new Uint8Array(length)), RangeError);
    for (const length of [0, 11, 13, 24]) {
      assert.throws(() => a.seal(new Uint8Array(length), nonce, nonce, new Uint8Array(40), 0), RangeError);
      assert.throws(() => a.open(new Uint8Array(length), nonce, out, new Uint8Array(40), 0), RangeError);
    }
  });
});
