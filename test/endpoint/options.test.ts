import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { endpointOptionsFromArgs, endpointOptionsFromJson, openEndpoint } from '../../src/endpoint/index.ts';
import { resolveEndpointOptions } from '../../src/endpoint/options.ts';
import { idOf, world } from './world.ts';

describe('endpoint: options', () => {
  it('Q03: options have defaults, and what is out of bounds is misuse', () => {
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

  it('Q45: options come from JSON, as text or parsed', () => {
    const json = `{
      "bind": "127.0.0.1:0", "idleTimeoutMs": 18000, "alpn": ["chat/1"], "listen": false,
      "windows": { "streamBytes": 65536 }, "trust": { "peerIds": ["${idOf(1)}"] }, "retry": { "maxAttempts": 3 }
    }`;
    const options = endpointOptionsFromJson(json);
    assert.deepEqual(options, JSON.parse(json));
    assert.deepEqual(endpointOptionsFromJson(JSON.parse(json) as object), options);
    assert.deepEqual(endpointOptionsFromJson({}), {});
  });

  it('Q45: what is wrong with JSON is said, and for an unknown option the nearest known one', () => {
    const cases: readonly [string | object, RegExp][] = [
      ['{', /JSON/],
      ['[1]', /expected a JSON object/],
      ['7', /expected a JSON object/],
      [{ idleTimeout: 5 }, /idleTimeout: there is none; did you mean idleTimeoutMs\?/],
      [{ keepaliveMS: 5 }, /did you mean keepAliveMs\?/],
      [{ windows: { stream: 5 } }, /windows\.stream: .*windows\.streamBytes\?/],
      [{ idleTimeoutMs: '5' }, /idleTimeoutMs: expected a number, got "5"/],
      [{ idleTimeoutMs: -5 }, /idleTimeoutMs: expected 0 to/],
      [{ listen: 1 }, /listen: expected true or false/],
      [{ alpn: [1] }, /alpn: expected a text or a list/],
      [{ trust: { peerId: 'x' } }, /trust\.peerId: .*trust\.peerIds\?/],
      [{ trust: 'nobody' }, /trust: expected/],
      [{ compat: 'x' }, /compat/],
      [{ onKeyLog: 'x' }, /onKeyLog: there is none/],
      [{ __proto__: null, constructor: 1 }, /constructor: there is none/],
    ];
    for (const [input, message] of cases) assert.throws(() => endpointOptionsFromJson(input), message);
  });

  it('Q45: options come from a command line', () => {
    const words = `--bind 127.0.0.1:0 --idle-timeout-ms=18000 --keep-alive-ms 5000 --no-listen --pool --alpn a --alpn b
      --max-concurrent-uni-streams 7 --windows {"sendBytes":65536} --trust-peer-id ${idOf(1)} 127.0.0.1:5000 -- --bind`;
    const { options, rest } = endpointOptionsFromArgs(words.split(/\s+/));
    assert.deepEqual(options, {
      bind: '127.0.0.1:0',
      idleTimeoutMs: 18_000,
      keepAliveMs: 5000,
      listen: false,
      pool: true,
      alpn: ['a', 'b'],
      maxConcurrentUniStreams: 7,
      windows: { sendBytes: 65_536 },
      trust: { peerIds: [idOf(1)] },
    });
    assert.deepEqual(rest, ['127.0.0.1:5000', '--bind']);
    assert.deepEqual(endpointOptionsFromArgs(['--trust', 'anyone']).options, { trust: 'anyone' });
    assert.deepEqual(endpointOptionsFromArgs(['--listen=false']).options, { listen: false });
  });

  it('Q45: what is wrong with a command line is said in its own words', () => {
    const cases: readonly [readonly string[], RegExp][] = [
      [['--idle-timeout', '5'], /option --idle-timeout: there is none; did you mean --idle-timeout-ms\?/],
      [['--bnid', 'x'], /did you mean --bind\?/],
      [['--keep-alive-ms'], /--keep-alive-ms: expected a value after it/],
      [['--keep-alive-ms', 'soon'], /--keep-alive-ms: expected a number, got "soon"/],
      [['--listen=maybe'], /--listen: expected true or false/],
      [['--windows', '{'], /--windows: expected JSON/],
      [['--no-bind'], /there is none/],
      [['--trust', 'anyone', '--trust-peer-id', idOf(1)], /--trust is there too/],
    ];
    for (const [argv, message] of cases) assert.throws(() => endpointOptionsFromArgs(argv), message, argv.join(' '));
  });
});
