import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { openEndpoint } from '../../src/endpoint/index.ts';
import { resolveEndpointOptions } from '../../src/endpoint/options.ts';
import { idOf, world } from './world.ts';

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
      { maxConcurrentUniStreams: 0 },
      { maxMessageBytes: 0 },
      { windows: { streamBytes: 1 } },
      { alpn: [] },
      { alpn: '' },
      { compat: 'qp3p' as never },
      { compat: 'qp2p' as const, alpn: 'x' },
      { compat: 'qp2p' as const, trust: { peerIds: [idOf(1)] } },
      { retry: 5 as never },
    ]) {
      assert.throws(() => w.open(wrong), /Cannot/, JSON.stringify(wrong));
    }
  });

  it('misuse of openEndpoint throws at once, whatever would find it later', () => {
    for (const wrong of [
      { bind: 'nowhere' },
      { bind: 7 as never },
      { alpn: '' },
      { windows: { sendBytes: -1 } },
      { identity: 'me' as never },
      { identity: { certificate: 'none', key: 'none' } },
      { transport: { maxMtuBytes: 1 } },
      { over: {} as never },
    ]) {
      assert.throws(() => openEndpoint(wrong), /^(TypeError|RangeError): Cannot/, JSON.stringify(wrong));
    }
  });
});
