import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { openEndpoint } from '../../src/endpoint/index.ts';
import { resolveEndpointOptions } from '../../src/endpoint/options.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, world } from '../support/endpoint-world.ts';

describe('endpoint: options', () => {
  it('options have defaults, and what is out of bounds is misuse', () => {
    const { limits, transport, connectTimeoutMs, streamTimeoutMs, alpn, listen, pool } = resolveEndpointOptions({});
    assert.deepEqual(limits, {
      maxMessageBytes: 16 * 2 ** 20,
      maxConnectionBytes: 32 * 2 ** 20,
      maxQueuedMessages: 16_384,
      maxPendingMessages: 256,
      maxPendingBytes: 4 * 2 ** 20,
    });
    assert.deepEqual(
      [transport.idleTimeoutMs, transport.keepAliveMs, transport.maxUniStreams, transport.maxBidiStreams],
      [30_000, 0, 100, 100],
    );
    assert.deepEqual([connectTimeoutMs, streamTimeoutMs, listen, pool], [10_000, 30_000, true, true]);
    assert.deepEqual(alpn, ['shoal-endpoint/1']);
    const w = world();
    for (const wrong of [
      { idleTimeoutMs: -1 },
      { keepAliveMs: 0.5 },
      { maxUniStreams: 0 },
      { maxMessageBytes: 0 },
      { streamWindowBytes: 1 },
      { alpn: [] },
      { alpn: '' },
      { preset: 'qp3p' as never },
      { preset: 'qp2p' as const, alpn: 'x' },
      { preset: 'qp2p' as const, trust: { peerIds: [idOf(1)] } },
      { retry: 5 as never },
    ]) {
      assert.throws(() => w.open(wrong), /Cannot/, JSON.stringify(wrong));
    }
  });

  it('misuse of openEndpoint throws at once', () => {
    for (const wrong of [
      { bind: 'nowhere' },
      { bind: 7 as never },
      { alpn: '' },
      { sendWindowBytes: -1 },
      { privateKey: 'me' },
      { privateKey: {} as never },
      { privateKey: testKey(0), certificate: 'none' },
      { certificate: new Uint8Array(1) },
      { privateKey: 'none', certificate: 'none' },
      { maxMtuBytes: 1 },
      { over: {} as never },
    ]) {
      assert.throws(() => openEndpoint(wrong), /^(TypeError|RangeError): Cannot/, JSON.stringify(wrong));
    }
  });
});
