import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSelfSignedCertificate, defaultKeyRegistry } from '../../../src/identity/x509.ts';
import { exportKey, generateKey } from '../../../src/identity/keys.ts';
import { type QuicSettings, resolveSettings } from '../../../src/protocols/quic/settings.ts';
import { identity, Network } from './network.ts';

describe('resolveSettings', () => {
  it('takes the bounds of every number and refuses what is beyond them', () => {
    const bounds: Partial<Record<keyof QuicSettings, [number, number]>> = {
      idleTimeoutMs: [0, 2 ** 32 - 1],
      keepAliveMs: [0, 2 ** 32 - 1],
      maxBidiStreams: [0, 2 ** 20],
      maxUniStreams: [0, 2 ** 20],
      streamWindowBytes: [1024, 2 ** 30],
      connectionWindowBytes: [1024, 2 ** 30],
      sendWindowBytes: [1024, 2 ** 30],
      datagramReceiveBufferBytes: [0, 2 ** 30],
      datagramSendBufferBytes: [0, 2 ** 30],
      initialMtuBytes: [1200, 65_527],
      maxMtuBytes: [1200, 65_527],
      maxReceiveDatagramBytes: [1200, 65_527],
      cryptoBufferBytes: [4096, 2 ** 20],
      initialRttMs: [1, 10_000],
      retryTokenLifetimeMs: [1000, 2 ** 32 - 1],
      minResetIntervalMs: [0, 2 ** 32 - 1],
    };
    for (const [name, [min, max]] of Object.entries(bounds)) {
      const with_ = (value: number): QuicSettings => ({ identity: identity('alice'), [name]: value });
      for (const value of [min, max]) {
        // The engine takes what is taken here.
        assert.doesNotThrow(() => new Network(1).add('alice', with_(value)), `${name} ${value}`);
      }
      for (const value of [min - 1, max + 1]) assert.throws(() => resolveSettings(with_(value)), RangeError);
      assert.throws(() => resolveSettings(with_(min + 0.5)), TypeError);
    }
  });

  it('names what is wrong', () => {
    const id = identity('alice');
    const wrong: [QuicSettings, RegExp][] = [
      [{ listen: true }, /one that listens needs an identity/],
      [{ identity: { ...id, chain: [] } }, /identity.chain: expected 1 to 16 certificates, got 0/],
      [{ identity: { ...id, chain: Array.from({ length: 17 }, () => id.chain[0]!) } }, /got 17/],
      [{ identity: id, alpn: [''] }, /ALPN name "": expected 1 to 255 bytes, got 0/],
      [{ identity: id, alpn: ['é'.repeat(128)] }, /got 256/],
      [{ identity: id, resetKey: new Uint8Array(31) }, /resetKey: expected 32 to 1024 bytes, got 31/],
      [{ identity: { ...id, privateKey: new Uint8Array(300_000) } }, /limit is 200000 bytes/],
    ];
    for (const [settings, message] of wrong) assert.throws(() => resolveSettings(settings), message);
  });

  it('a garbled certificate is refused when the endpoint is made', () => {
    const chain = [new Uint8Array(100).fill(7)];
    assert.throws(() => new Network(1).add('alice', { identity: { ...identity('alice'), chain } }), TypeError);
  });
});

describe('identity', () => {
  for (const algorithm of ['ed25519', 'ecdsa-p256']) {
    it(`shoal's own keys and self-signed certificates are taken: ${algorithm}`, () => {
      const net = new Network(1);
      const signer = generateKey({ algorithm, random: (length) => net.random.bytes(length) });
      const certificate = createSelfSignedCertificate({
        signer,
        registry: defaultKeyRegistry,
        serialNumber: Uint8Array.of(1),
        notBeforeMs: Date.UTC(2026, 0, 1),
        notAfterMs: Date.UTC(2027, 0, 1),
      });
      const own = { chain: [certificate], privateKey: exportKey(signer, 'pkcs8') };
      const a = net.add('alice', { identity: own });
      const b = net.add('bob');
      const there = a.endpoint.connect(net.now, b.address);
      const back = b.endpoint.connect(net.now, a.address);
      net.pass(500);
      assert.deepEqual([there.state, back.state], ['open', 'open']);
      assert.deepEqual(b.saw('connected')?.connection.peerChain, [certificate]);
      assert.deepEqual(back.peerChain, [certificate]);
    });
  }
});
