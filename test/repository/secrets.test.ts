/** What is passed for a secret, in whatever wrong form, stands in no message: not in its cause, not in its stack. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { SECRET_OPTIONS } from '../../src/base/checks.ts';
import { aesGcm, chacha20Poly1305, ed25519PrivateKey, x25519PrivateKey } from '#crypto';
import { parsePipeAddress } from '../../apps/cli/src/pipe/address.ts';
import { decodeTicket } from '../../apps/cli/src/transfer/ticket.ts';
import { sodiumAead } from '../../src/crypto/sodium.ts';
import { loadWasmAead } from '../../src/crypto/wasm-aead.ts';
import { peerExchange, signPeerRecord } from '../../src/discovery/index.ts';
import { openEndpoint } from '../../src/endpoint/index.ts';
import {
  createCertificate,
  createSelfSignedCertificate,
  defaultKeyRegistry,
  encodePkcs8,
} from '../../src/identity/x509.ts';
import { readKeyFile, writeKeyFile } from '../../src/identity/key-files.ts';
import {
  exportKey,
  exportPublicKey,
  generateKey,
  importKey,
  importPublicKey,
  peerIdOfKey,
  sshFingerprint,
} from '../../src/identity/keys.ts';
import { createNode, noise, tls } from '../../src/node/index.ts';
import { CipherState, NoiseHandshake } from '../../src/protocols/noise/index.ts';
import { createP2pkeIdentity } from '../../src/protocols/p2pke/identity.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { quic } from '../../src/swarms/quic/index.ts';
import { openSshSwarm } from '../../src/swarms/ssh/index.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** Secrets as people have them at hand: digits, PEM, a pass phrase. None is of the right form for the options below. */
const SECRETS = [
  '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
  exportKey(testKey(99), 'pem'),
  'correct horse battery staple',
];

/** Whether `text` has eight characters in a row of the secret. */
function shows(text: string, secret: string): boolean {
  const plain = secret.replaceAll(/-----[A-Z ]+-----/g, '').trim();
  for (let i = 0; i + 8 <= plain.length; i++) if (text.includes(plain.slice(i, i + 8))) return true;
  return false;
}

const realm = createMemoryRealm({ clock: 'virtual' });
const noiseOptions = { pattern: 'XXpsk3', hash: 'SHA256', role: 'initiator' } as const;
const seed = new Uint8Array(32);
const wasmAead = await loadWasmAead();
const certificate = { serialNumber: Uint8Array.of(1), notBeforeMs: 0, notAfterMs: 1 };

/** Every public function and option that takes a secret, or a key that a secret is easily passed for. */
const TAKES: Readonly<Record<string, (secret: never) => unknown>> = {
  'p2pke options': (secret) => p2pke(realm.swarm(), secret),
  'p2pke privateKey': (privateKey) => p2pke(realm.swarm(), { privateKey }),
  'createP2pkeIdentity privateKey': (privateKey) => createP2pkeIdentity({ privateKey, random: () => seed }),
  'quic options': (secret) => quic(realm.swarm(), secret),
  'quic privateKey': (privateKey) => quic(realm.swarm(), { privateKey }),
  'openTcpSwarm options': (secret) => openTcpSwarm(secret),
  'openTcpSwarm privateKey': (privateKey) => openTcpSwarm({ privateKey }),
  'openSshSwarm options': (secret) => openSshSwarm(secret),
  'openSshSwarm privateKey': (privateKey) => openSshSwarm({ privateKey }),
  'openEndpoint options': (secret) => openEndpoint(secret),
  'openEndpoint privateKey': (privateKey) => openEndpoint({ privateKey }),
  'openEndpoint privateKey of a certificate': (privateKey) =>
    openEndpoint({ certificate: Uint8Array.of(1), privateKey }),
  'openEndpoint certificate': (certificate) => openEndpoint({ certificate, privateKey: testKey(1) }),
  'openEndpoint trust.ca': (ca) => openEndpoint({ trust: { ca } }),
  'openEndpoint trust.certificates': (own) => openEndpoint({ trust: { certificates: [own] } }),
  'tls options': (secret) => tls(secret),
  'tls privateKey': (privateKey) => tls({ privateKey }),
  'noise options': (secret) => noise(secret),
  'noise privateKey': (privateKey) => noise({ pattern: 'XX', privateKey }),
  'noise identity': (identity) => noise({ pattern: 'XX', identity }),
  'noise psk': (psk) => noise({ pattern: 'XXpsk3', psk }),
  'noise staticSeed': (staticSeed) => noise({ pattern: 'IK', staticSeed }),
  'noise remoteStatic': (remoteStatic) => noise({ pattern: 'IK', staticSeed: seed, remoteStatic }),
  'noise prologue': (prologue) => noise({ pattern: 'XX', prologue }),
  'NoiseHandshake psk': (psk) => new NoiseHandshake({ ...noiseOptions, psk, ephemeralSeed: seed, staticSeed: seed }),
  'NoiseHandshake ephemeralSeed': (own) => new NoiseHandshake({ ...noiseOptions, psk: seed, ephemeralSeed: own }),
  'NoiseHandshake staticSeed': (staticSeed) =>
    new NoiseHandshake({ ...noiseOptions, psk: seed, ephemeralSeed: seed, staticSeed }),
  'CipherState key': (key) => new CipherState(key),
  'chacha20Poly1305 key': (key) => chacha20Poly1305(key),
  'aesGcm key': (key) => aesGcm(key),
  'sodiumAead key': (key) => sodiumAead({} as never)(key),
  'wasmAead key': (key) => wasmAead(key),
  'ed25519PrivateKey seed': (own) => ed25519PrivateKey(own),
  'x25519PrivateKey seed': (own) => x25519PrivateKey(own),
  'peerExchange options': (secret) => peerExchange(realm.swarm() as never, secret),
  'peerExchange privateKey': (privateKey) => peerExchange(realm.secureSwarm(testKey(1).publicKey), { privateKey }),
  'signPeerRecord signer': (signer) => signPeerRecord(signer, { addrs: ['a'], issuedMs: 1, lifetimeMs: 1000 }),
  'importKey source': (source) => importKey(`-----BEGIN PRIVATE KEY-----\n${String(source).slice(40)}`),
  'importKey text': (source) => importKey(String(source).replaceAll('PRIVATE', 'SECRET')),
  'importKey bytes': (source) => importKey(Buffer.from(String(source)).subarray(0, 40)),
  'importKey options.format': (format) => importKey(seed, { format }),
  'importKey options.format of text': (format) => importKey('', { format }),
  'exportKey format': (format) => exportKey(testKey(1), format),
  'importKey format': (source) => importKey(source, { format: 'seed' }),
  'importPublicKey source': (source) => importPublicKey(source),
  'exportKey key': (key) => exportKey(key, 'pem'),
  'exportPublicKey key': (key) => exportPublicKey(key),
  'peerIdOf publicKey': (key) => peerIdOfKey(key),
  'sshFingerprint publicKey': (key) => sshFingerprint(key),
  'generateKey random': (random) => generateKey({ random }),
  'readKeyFile path': (path) => readKeyFile(path),
  'writeKeyFile path': (path) => writeKeyFile(path, testKey(1)),
  'writeKeyFile key': (key) => writeKeyFile('/nowhere/there', key),
  'registry.signer name': (name) => defaultKeyRegistry.signer(name, seed),
  'registry.signer secret': (secret) => defaultKeyRegistry.signer('ed25519', secret),
  'registry.encodePrivateKey': (secret) => defaultKeyRegistry.encodePrivateKey(secret, seed),
  'encodePkcs8 privateKey': (privateKey) => encodePkcs8({ algorithm: { oid: '1.3.101.112' }, privateKey }),
  'createCertificate key': (key) =>
    createCertificate({ ...certificate, subjectKey: testKey(1).publicKey, issuer: { key } }),
  'createSelfSignedCertificate signer': (signer) =>
    createSelfSignedCertificate({ ...certificate, signer, registry: defaultKeyRegistry }),
  'PrivateKey.sign message': (message) => testKey(1).sign(message),
  'secureSwarm publicKey': (publicKey) => realm.secureSwarm(publicKey),
  'shoal pipe ADDR': (text) => parsePipeAddress(`somebody@127.0.0.1:1#${String(text)}`),
  'shoal receive TICKET': (text) => decodeTicket(`shoal${String(text)}`),
};

/** These paths are made by users and quoted by the system: only what is plainly a key is kept out. */
const PATHS = new Set(['readKeyFile path', 'writeKeyFile path']);

describe('secrets in messages', () => {
  for (const [name, take] of Object.entries(TAKES)) {
    it(`${name}: no message repeats it`, async () => {
      for (const secret of SECRETS) {
        if (PATHS.has(name) && !secret.startsWith('-----BEGIN')) continue;
        let thrown: unknown;
        try {
          const taken = await take(secret as never);
          assert.fail(`it was taken: ${inspect(taken)}`);
        } catch (error) {
          thrown = error;
        }
        assert.ok(thrown instanceof Error && thrown.name !== 'AssertionError', inspect(thrown));
        // With causes, and all that hangs on the error.
        assert.ok(!shows(inspect(thrown, { depth: 8 }), secret), `${name}: ${thrown.message}`);
      }
    });
  }

  it('a number in place of a key is not repeated', () => {
    const digits = 0x9d61_b19d_effd;
    for (const take of [importKey, importPublicKey]) {
      assert.throws(() => take(digits as never), { name: 'TypeError', message: /got a number$/ });
    }
  });

  it('a privateKey that signs nothing is refused where it is given, with the reason', () => {
    for (const take of [
      (privateKey: never) => tls({ privateKey }),
      (privateKey: never) => noise({ pattern: 'XX', privateKey }),
      (privateKey: never) => peerExchange(realm.secureSwarm(testKey(1).publicKey), { privateKey }),
    ]) {
      for (const wrong of [null, 'a', {}, { sign: () => seed }, { publicKey: testKey(1).publicKey }]) {
        assert.throws(() => take(wrong as never), /^TypeError: Cannot take privateKey: expected a private key, got /);
      }
    }
  });

  it('what looks like a key is quoted for no option', () => {
    const raw = Buffer.from(SECRETS[0]!, 'hex');
    const keys = [SECRETS[0]!, SECRETS[1]!, raw.toString('hex').toUpperCase(), raw.toString('base64')];
    const takes: readonly ((key: never) => unknown)[] = [
      (bind) => createNode({ security: 'none', bind }),
      (hook) => createNode({ security: 'none' }).enable(hook),
      (ip) => createNode({ security: 'none' }).ban(ip),
      (addr) => createNode({ security: 'none' }).connect(addr),
      (pattern) => noise({ pattern }),
      (hash) => noise({ pattern: 'XX', hash }),
      (addr) => realm.swarm().parseAddr(addr),
      (security) => openTcpSwarm({ privateKey: testKey(1), security }),
    ];
    for (const take of takes) {
      for (const key of keys) {
        assert.throws(
          () => take(key as never),
          (error: Error) => !shows(error.message, key) && /characters/.test(error.message),
        );
      }
    }
    assert.throws(() => createNode({ security: 'none', bind: 'nowhere' }), /"nowhere"/);
  });

  it('every option of the list is tried', () => {
    for (const option of SECRET_OPTIONS) {
      assert.ok(
        Object.keys(TAKES).some((name) => name.endsWith(option)),
        option,
      );
    }
  });
});
