/** The published test vectors, on both implementations. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes, encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import { blake2b, blake2b256, blake2xb64 } from '../../src/crypto/blake2b.ts';
import type { CryptoSuite, HashName } from '../../src/crypto/suite.ts';
import { suites } from './suites.ts';

const hex = fromHex;
const ABC = encodeText('abc');

/** RFC 1321 appendix A.5; FIPS 180-4 and FIPS 202 examples; RFC 7693 appendices A and B. */
const HASHES: readonly (readonly [HashName, string])[] = [
  ['md5', '900150983cd24fb0d6963f7d28e17f72'],
  ['sha1', 'a9993e364706816aba3e25717850c26c9cd0d89d'],
  ['sha256', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ['sha384', 'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7'],
  [
    'sha512',
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
  ],
  ['sha3-256', '3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532'],
  [
    'sha3-512',
    'b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0',
  ],
  [
    'blake2b512',
    'ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923',
  ],
  ['blake2s256', '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982'],
];

for (const suite of suites) {
  describe(`crypto on ${suite.cryptoName}`, () => {
    for (const [name, digest] of HASHES) {
      it(`hash ${name} of "abc"`, () => assert.equal(toHex(suite.hash(name, ABC)), digest));
    }

    it('shake256 gives as many bytes as asked for (FIPS 202, empty message)', () => {
      const expected =
        '46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762fd75dc4ddd8c0f200cb05019d67b592f6';
      assert.equal(toHex(suite.shake256(new Uint8Array(0), 48)), expected);
      assert.equal(toHex(suite.shake256(new Uint8Array(0), 32)), expected.slice(0, 64));
    });

    it('hmac (RFC 4231, cases 1, 2 and 6: a key longer than a block)', () => {
      const cases = [
        [
          '0b'.repeat(20),
          toHex(encodeText('Hi There')),
          'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
        ],
        [
          toHex(encodeText('Jefe')),
          toHex(encodeText('what do ya want for nothing?')),
          '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
        ],
        [
          'aa'.repeat(131),
          toHex(encodeText('Test Using Larger Than Block-Size Key - Hash Key First')),
          '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
        ],
      ] as const;
      for (const [key, data, mac] of cases) assert.equal(toHex(suite.hmac('sha256', hex(key), hex(data))), mac);
    });

    it('hkdf (RFC 5869, cases 1 and 3)', () => {
      const secret = hex('0b'.repeat(22));
      assert.equal(
        toHex(suite.hkdf('sha256', secret, hex('000102030405060708090a0b0c'), hex('f0f1f2f3f4f5f6f7f8f9'), 42)),
        '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
      );
      assert.equal(
        toHex(suite.hkdf('sha256', secret, hex(''), hex(''), 42)),
        '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
      );
      assert.throws(() => suite.hkdf('sha256', secret, hex(''), hex(''), 255 * 32 + 1), RangeError);
    });

    it('ed25519 signs and verifies (RFC 8032 §7.1, tests 1 to 3)', () => {
      const cases = [
        [
          '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
          'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
          '',
          'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
        ],
        [
          '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
          '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
          '72',
          '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
        ],
        [
          'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
          'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
          'af82',
          '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
        ],
      ] as const;
      for (const [seed, publicKey, message, signature] of cases) {
        const key = suite.ed25519PrivateKey(hex(seed));
        assert.equal(toHex(key.publicKey), publicKey);
        assert.equal(toHex(key.sign(hex(message))), signature);
        const verifier = suite.ed25519PublicKey(hex(publicKey))!;
        assert.equal(verifier.verify(hex(message), hex(signature)), true);
        const forged = hex(signature);
        forged[63]! ^= 1;
        assert.equal(verifier.verify(hex(message), forged), false);
        assert.equal(verifier.verify(concatBytes(hex(message), hex('00')), hex(signature)), false);
        assert.equal(verifier.verify(hex(message), hex(signature).subarray(1)), false);
      }
    });

    it('p256PrivateKey signs as RFC 6979 does (§A.2.5)', () => {
      const key = suite.p256PrivateKey(hex('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'))!;
      const [x, y] = [
        '60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6',
        '7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299',
      ];
      assert.equal(toHex(key.publicKey), `04${x}${y}`);
      assert.equal(
        toHex(key.sign(encodeText('sample'))),
        `3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716` +
          `022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8`,
      );
      assert.equal(
        toHex(key.sign(encodeText('test'))),
        `3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367` +
          `0220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083`,
      );
    });

    it('x25519 agrees (RFC 7748 §6.1)', () => {
      const alice = suite.x25519PrivateKey(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'));
      const bob = suite.x25519PrivateKey(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
      assert.equal(toHex(alice.publicKey), '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
      assert.equal(toHex(bob.publicKey), 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
      const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
      assert.equal(toHex(alice.sharedSecret(bob.publicKey)!), shared);
      assert.equal(toHex(bob.sharedSecret(alice.publicKey)!), shared);
    });

    it('chacha20Poly1305 seals and opens inside larger buffers (RFC 8439 §2.8.2)', () => {
      const key = suite.chacha20Poly1305(hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'));
      const nonce = hex('070000004041424344454647');
      const associated = hex('50515253c0c1c2c3c4c5c6c7');
      const plaintext = encodeText(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      );
      const sealed =
        'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691';
      const out = new Uint8Array(3 + plaintext.length + 16);
      key.seal(nonce, associated, plaintext, out, 3);
      assert.equal(toHex(out.subarray(3)), sealed);
      const opened = new Uint8Array(plaintext.length + 2);
      assert.equal(key.open(nonce, associated, hex(sealed), opened, 2), true);
      assert.deepEqual(opened.subarray(2), plaintext);
    });

    it('aesGcm seals and opens, in place too, with keys of 128 and 256 bits (test cases 4 and 16 of the GCM specification)', () => {
      const half = 'feffe9928665731c6d6a8f9467308308';
      const nonce = hex('cafebabefacedbaddecaf888');
      const associated = hex('feedfacedeadbeeffeedfacedeadbeefabaddad2');
      const plaintext = hex(
        'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
          '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
      );
      for (const [secret, sealed] of [
        [
          half,
          '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e' +
            '21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47',
        ],
        [
          half + half,
          '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
            '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b',
        ],
      ] as const) {
        const key = suite.aesGcm(hex(secret));
        const place = new Uint8Array(plaintext.length + 16);
        place.set(plaintext);
        key.seal(nonce, associated, place.subarray(0, plaintext.length), place, 0);
        assert.equal(toHex(place), sealed);
        assert.equal(key.open(nonce, associated, place, place, 0), true);
        assert.deepEqual(place.subarray(0, plaintext.length), plaintext);
      }
    });
  });
}

describe('BLAKE2b with parameters', () => {
  it('blake2b with the usual parameters is BLAKE2b-512 at every length around the block', () => {
    for (let length = 0; length <= 260; length++) {
      const data = Uint8Array.from({ length }, (_, i) => i * 7);
      assert.equal(toHex(blake2b(data, { digestBytes: 64 })), toHex(suites[0]!.hash('blake2b512', data)));
    }
  });

  it('blake2b256 has its own digest length in the parameters', () => {
    assert.equal(toHex(blake2b256(ABC)), 'bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319');
  });

  it('blake2xb64 makes the signature input of p2pke for an empty message (vector of go-p2p)', () => {
    const purpose = encodeText('p2pke/channel-binding');
    assert.equal(
      toHex(blake2xb64(concatBytes(Uint8Array.of(purpose.length), purpose))),
      '0b7537c1807f61b39495bc9bed5979aa8381e86d2af9b6a711e8df475778783df25be6d0525af4a7c003a8c5b885dcac51ae70dacc8fa400078dd6eabe2b88bf',
    );
  });
});

describe('the import #crypto', () => {
  it('is the node implementation on Node', async () => {
    const picked: CryptoSuite = await import('#crypto');
    assert.equal(picked.cryptoName, 'node');
  });
});
