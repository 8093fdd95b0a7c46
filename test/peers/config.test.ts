import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { checkConfig, ConfigError, configChanges, parseConfig, type PeersConfig } from '../../src/peers/config.ts';
import type { PeersOptions } from '../../src/peers/options.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { assert as check, jsonValue, property, string } from '../support/fast-check.ts';

const ALICE = peerIdOfKey(testKey(1).publicKey);

/** The faults of a configuration, one a line. */
function faultsOf(value: unknown): readonly string[] {
  try {
    checkConfig(value);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.faults.map(({ path, message }) => `${path}: ${message}`);
  }
}

const FULL: PeersConfig = {
  networkName: 'my-app',
  keyFile: 'key.pem',
  bind: ['0.0.0.0:5000', '[::]:5000'],
  preferredPort: 5000,
  transports: ['quic', 'tcp'],
  security: 'noise',
  maskKeyFile: 'mask.key',
  externalAddrs: ['203.0.113.1:5000'],
  movePortEveryMs: 3_600_000,
  kind: 'client',
  acceptBootstrap: false,
  cache: 'peers.json',
  contacts: ['peers.example.org:5000', `${ALICE}@192.0.2.1:5000`, '[2001:db8::1]:5000'],
  fallbackAfterMs: 0,
  minPeers: 3,
  blacklist: [ALICE],
  dialBack: false,
  lan: { port: 5484, interfaces: ['eth0'], ipv6: false, mdns: true },
  turn: [{ server: '192.0.2.1:3478', transport: 'tcp', username: 'alice', credential: 'pass', family: 4 }],
  proxy: 'http://192.0.2.1:3128',
  maintain: [ALICE],
  lists: { deny: ['10.0.0.0/8', { target: ALICE, kind: 'client', reason: 'noisy' }], bans: [] },
  banPolicy: { forMs: 1000, signals: ['malformed'] },
  attackThresholds: { rate: { count: 100, perMs: 1000 } },
  maxPeers: 100,
  maxMessageBytes: 1_000_000,
  maxQueueBytes: 1_000_000,
  maxHeldBytes: 1_000_000,
  maxPendingMessages: 10,
  maxPendingBytes: 10_000,
  resumeMs: 10_000,
  idleTimeoutMs: 10_000,
};

/** What stands in a file is an option of `openPeers` by the same name, apart from what the program does itself. */
const optionsOf = (
  config: Omit<PeersConfig, 'keyFile' | 'maskKeyFile' | 'maintain'>,
): Omit<PeersOptions, 'privateKey'> => config;

describe('a configuration', () => {
  it('has the names and types of the options of openPeers', () => {
    const { keyFile, maskKeyFile, maintain, ...rest } = FULL;
    assert.ok(keyFile !== undefined && maskKeyFile !== undefined && maintain !== undefined);
    assert.deepEqual(optionsOf(rest), rest);
  });

  it('may have every name, or none', () => {
    assert.deepEqual(checkConfig(FULL), FULL);
    assert.deepEqual(parseConfig('\ufeff{}'), {});
    assert.deepEqual(faultsOf({ bind: '[::]:0', lan: true, banPolicy: true }), []);
  });

  it('quotes no password', () => {
    const turn = [{ server: 'x', username: 7, credential: '', secret: 'hunter2'.repeat(100) }];
    const proxy = 'https://alice:hunter2@192.0.2.1';
    const faults = faultsOf({ turn, proxy });
    assert.deepEqual(
      faults.map((line) => line.split(':')[0]),
      ['turn[0].server', 'turn[0].username', 'turn[0].credential', 'turn[0].secret', 'proxy'],
    );
    for (const line of faults) assert.doesNotMatch(line, /hunter2/);
  });

  it('has every fault named with its path, all at once', () => {
    assert.deepEqual(
      faultsOf({
        netwrokName: 'my-app',
        NetworkName: 'my-app',
        colour: 'red',
        bind: ['localhost:5000', '0.0.0.0:70000'],
        transports: ['udp'],
        contacts: ['example.org', 'a:1', 'a:1'],
        lan: { prot: 5484, interfaces: [] },
        lists: { deny: ['1.1.1.1', '10.1.2.3/8'] },
        maintain: ['bob'],
        banPolicy: { forMS: 1 },
        attackThresholds: { rate: { count: 0 }, rates: {} },
        resumeMs: -1,
        kind: 'constructor',
      }).map((line) => line.replace(/known are .*/, 'known are …')),
      [
        ': "netwrokName" is not known; did you mean networkName?',
        ': "NetworkName" is not known; did you mean networkName?',
        ': "colour" is not known; known are …',
        'bind[0]: expected an IP and a port from 0, such as 192.0.2.1:5000 or [2001:db8::1]:5000, got "localhost:5000"',
        'bind[1]: expected an IP and a port from 0, such as 192.0.2.1:5000 or [2001:db8::1]:5000, got "0.0.0.0:70000"',
        "transports[0]: expected 'tcp' or 'quic', got \"udp\"",
        'contacts[0]: expected an address with a port, such as peers.example.org:5000, got "example.org"',
        'contacts[2]: it is in the list twice',
        'lan: "prot" is not known; did you mean port?',
        'lan.interfaces: expected 1 to 64 entries, got 0',
        'lists.deny[1]: expected a PeerID, an IP or a prefix such as 10.0.0.0/8, got "10.1.2.3/8"; 10.1.2.3 is an address in that network, or the number of bits is not right',
        'maintain[0]: expected a PeerID of 43 characters, got "bob"',
        'banPolicy: "forMS" is not known; did you mean forMs?',
        'attackThresholds.rate.count: expected a whole number from 1 to 2147483648, got 0',
        'attackThresholds: "rates" is not known; did you mean rate?',
        'resumeMs: expected a whole number from 0 to 86400000, got -1',
        "kind: expected 'node' or 'client', got \"constructor\"",
      ],
    );
  });

  it('has contacts with a name and a port', () => {
    for (const contact of ['a:0', 'a:65536', ':1', 'a:x', 'a:', 'a', '', 'a:1.5', 7, `${'a'.repeat(512)}:1`]) {
      assert.equal(faultsOf({ contacts: [contact] }).length, 1, String(contact));
    }
    assert.deepEqual(faultsOf({ contacts: ['a:1', 'a:65535', 'tcp://a:1', '[::1]:1'] }), []);
  });

  it('names the paths of faults that other parts find', () => {
    assert.deepEqual(faultsOf({ lists: 7 }), ['lists: expected an object, got 7']);
    assert.match(faultsOf({ lists: { block: [] } })[0]!, /^lists: it has "block"/);
    assert.match(
      faultsOf({ banPolicy: { forMs: 10, maxForMs: 5 } })[0]!,
      /^banPolicy\.maxForMs: expected 10 to Infinity, got 5/,
    );
    assert.deepEqual(faultsOf([]), [': expected an object, got an object of type Array']);
    assert.equal(faultsOf(JSON.parse('{"__proto__": {}, "constructor": 1}')).length, 2);
  });

  it('that is no JSON is refused with the line, and without what stands there', () => {
    const secret = 'hunter2hunter2';
    for (const [json, where] of [
      [`{\n  "networkName": ${secret}\n}`, /not JSON: line 2$/],
      ['{', /ends too early|line 1/],
      ['', /ends too early/],
      ['{} x', /line 1, column 4/],
    ] as const) {
      assert.throws(
        () => parseConfig(json, 'peers.json'),
        (error) =>
          error instanceof ConfigError && where.test(error.message) && !error.message.includes(secret.slice(0, 6)),
        json,
      );
    }
    assert.throws(() => parseConfig(' '.repeat(17 * 1_048_576)), /at most 16777216 characters/);
  });

  it('tells all faults in one message, eight at most', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`unknown number ${i}`, i]));
    assert.throws(
      () => checkConfig(many, 'peers.json'),
      /^ConfigError: Cannot use peers\.json:\n {2}"unknown number 0" is not known; [^]*and 92 more$/,
    );
  });

  it('of any JSON gives a configuration or a ConfigError', () => {
    check(
      property(jsonValue(), string(), (value, text) => {
        const hostile: readonly unknown[] = [value, ...Object.keys(FULL).map((name) => ({ [name]: value }))];
        for (const each of hostile) faultsOf(each);
        try {
          parseConfig(text);
        } catch (error) {
          assert.ok(error instanceof ConfigError);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('differs from another one in the names that have other values', () => {
    assert.deepEqual(configChanges({}, { lan: true, contacts: [] }), ['contacts', 'lan']);
    assert.deepEqual(configChanges(FULL, { ...FULL, contacts: ['a:1'], minPeers: undefined }), [
      'contacts',
      'minPeers',
    ]);
    assert.deepEqual(configChanges(FULL, structuredClone(FULL)), []);
  });
});
