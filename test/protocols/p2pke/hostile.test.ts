/** What anybody can send to a channel, and what could make a nonce come twice. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from '../../support/fast-check.ts';
import { toHex } from '../../../src/base/bytes.ts';
import type { AeadKey } from '../../../src/crypto/suite.ts';
import { verifyInitHello } from '../../../src/protocols/p2pke/hello.ts';
import { createP2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import {
  decodeCookieReply,
  decodeInitDone,
  decodeInitHello,
  decodeRespHello,
  withCounter,
} from '../../../src/protocols/p2pke/messages.ts';
import { decodeFields } from '../../../src/protocols/p2pke/protobuf.ts';
import { ReplayWindow } from '../../../src/protocols/p2pke/replay-window.ts';
import { Transport } from '../../../src/protocols/p2pke/transport.ts';
import { generateKey } from '../../../src/identity/keys.ts';
import { channelFor, channelPair, seededRandom, testIdentity, WALL_MS } from './pair.ts';

describe('decoders of p2pke', () => {
  it('never throw, whatever the bytes, nor whatever is changed in right ones', () => {
    const { pair, alice } = channelPair(1);
    pair.send('a', 'x');
    pair.run(100);
    const real = [...pair.a.sent, ...pair.b.sent].map(({ bytes }) => bytes);
    const changed = fc
      .tuple(
        fc.constantFrom(...real),
        fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 5 }),
        fc.option(fc.nat(200)),
      )
      .map(([bytes, changes, cut]) => {
        const copy = bytes.slice(0, cut ?? undefined);
        for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
        return copy;
      });
    const junk = fc
      .tuple(
        fc.constantFrom(0, 1, 2, 3, 4, 16, 0xffff_fffd, 0xffff_fffe, 0xffff_ffff),
        fc.uint8Array({ maxLength: 250 }),
      )
      .map(([counter, body]) => withCounter(counter, body));
    const channels = [pair.a.end, pair.b.end, channelFor(testIdentity(2), testIdentity(1))];
    fc.assert(
      fc.property(fc.oneof(changed, junk, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        decodeFields(bytes);
        decodeInitHello(bytes);
        decodeRespHello(bytes);
        decodeInitDone(bytes);
        decodeCookieReply(bytes);
        verifyInitHello(bytes, alice.registry);
        for (const channel of channels) {
          channel.handleDatagram(pair.now, pair.wallMs, bytes);
          for (let i = 0; channel.poll().type !== 'wait'; i++) assert.ok(i < 10, 'one datagram makes few outputs');
        }
      }),
      { numRuns: 1500 },
    );
    pair.send('a', 'still works');
    pair.run(100);
    assert.equal(pair.b.texts.at(-1), 'still works');
  });

  it('a datagram of each kind at every length is dropped and counted, never more', () => {
    const channel = channelFor(testIdentity(1), testIdentity(2));
    for (const counter of [0, 1, 2, 3, 7, 16, 0xffff_fffe, 0xffff_ffff]) {
      for (let length = 0; length < 240; length++) {
        channel.handleDatagram(0, WALL_MS, withCounter(counter, new Uint8Array(240)).subarray(0, length));
        assert.equal(channel.dropped.splice(0).length, 1);
        assert.deepEqual(channel.poll(), { type: 'wait', until: undefined });
      }
    }
  });
});

describe('the replay window', () => {
  it('is what a set of counters would be, 8128 wide', () => {
    const steps = fc.array(
      fc.oneof(fc.nat(300), fc.integer({ min: 7900, max: 8500 }), fc.integer({ min: 0, max: 0xffff_fffd })),
      { minLength: 1, maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 40_000 }), (deltas, start) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let highest = 0;
        for (const [i, delta] of deltas.entries()) {
          const counter = Math.min(0xffff_fffd, Math.max(0, i % 2 === 0 ? highest - delta : start + delta));
          const fresh = !seen.has(counter) && highest - counter <= 8128;
          assert.equal(window.isFresh(counter), fresh, `${counter} after ${highest}`);
          if (!fresh) continue;
          window.mark(counter);
          seen.add(counter);
          highest = Math.max(highest, counter);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('the edge is at 8128 exactly', () => {
    const window = new ReplayWindow();
    window.mark(10_000);
    assert.equal(window.isFresh(10_000 - 8128), true);
    assert.equal(window.isFresh(10_000 - 8129), false);
  });
});

describe('nonces', () => {
  /** A cipher that only writes down under which key and nonce it was asked to seal. */
  function recorder(): { readonly used: Set<string>; readonly aead: (key: Uint8Array) => AeadKey } {
    const used = new Set<string>();
    return {
      used,
      aead: (key) => ({
        seal: (nonce) => {
          const name = `${Buffer.from(key).toString('hex')} ${Buffer.from(nonce).toString('hex')}`;
          assert.ok(!used.has(name), `twice: ${name}`);
          used.add(name);
        },
        open: () => true,
      }),
    };
  }
  const keys = { initiatorToResponder: new Uint8Array(32).fill(1), responderToInitiator: new Uint8Array(32).fill(2) };

  it('a session falls silent before its counters wrap', () => {
    let highest = 0;
    const transport = new Transport(keys, true, () => ({
      seal: (nonce) => {
        const counter = new DataView(nonce.buffer, nonce.byteOffset).getUint32(4, true);
        assert.ok(counter > highest);
        highest = counter;
      },
      open: () => false,
    }));
    // Keep-alives skip 4096 counters each: a million of them go through all there are.
    do transport.seal(new Uint8Array(1));
    while (transport.sealKeepAlive() !== undefined);
    assert.equal(transport.exhausted, false);
    while (!transport.exhausted) transport.seal(new Uint8Array(highest % 2));
    assert.equal(highest, 0xffff_fffd, '2^32 - 3 is the last');
  });

  it('none comes twice with one key over handshakes, keep-alives, repetitions and roll-overs', () => {
    const { used, aead } = recorder();
    const transport = new Transport(keys, true, aead);
    transport.sealHandshake(2, new Uint8Array(0));
    for (let i = 0; i < 5000; i++) transport.seal(new Uint8Array(i % 3));
    transport.sealKeepAlive();
    transport.seal(new Uint8Array(0));
    assert.equal(used.size, 5003);
  });

  it('a channel that is made again in the same millisecond has other keys', () => {
    const privateKey = generateKey();
    const random = seededRandom(11);
    const ephemerals = new Set<string>();
    const timestamps = new Set<string>();
    const identity = createP2pkeIdentity({ privateKey, random });
    for (let i = 0; i < 50; i++) {
      const channel = channelFor(identity, testIdentity(2));
      channel.open(0, WALL_MS);
      const output = channel.poll();
      assert.ok(output.type === 'transmit');
      const hello = decodeInitHello(output.transmit)!;
      ephemerals.add(Buffer.from(hello.ephemeral).toString('hex'));
      timestamps.add(Buffer.from(hello.hello.timestamp).toString('hex'));
    }
    assert.equal(ephemerals.size, 50);
    assert.equal(timestamps.size, 50);
    assert.deepEqual([...timestamps], [...timestamps].toSorted(), 'and timestamps that grow');
  });

  it('a channel cannot be cloned with its keys', () => {
    const { pair } = channelPair(1);
    pair.send('a', 'x');
    pair.run(100);
    const clone: object = structuredClone(pair.a.end);
    assert.equal('seal' in clone, false);
    assert.deepEqual(Object.keys(clone), []);
  });
});

describe('secrets of sessions', () => {
  it('are in no text that a channel or identity can be turned into', async () => {
    const { inspect } = await import('node:util');
    const { pair, alice } = channelPair(1);
    pair.send('a', 'x');
    pair.run(100);
    const text = inspect(pair.a.end, { depth: 20, showHidden: true }) + JSON.stringify(pair.a.end);
    assert.doesNotMatch(text, /Uint8Array|Session|Transport|Aead|\d/);
    const seed = seededRandom(1)(32); // what testIdentity(1) makes its key of
    const shown = inspect(alice, { depth: 20, showHidden: true }) + JSON.stringify(alice);
    const plain = shown.replaceAll(/[^0-9a-f,]/g, '');
    assert.equal(plain.includes(seed.subarray(0, 6).join()), false);
    assert.equal(shown.includes(toHex(seed).slice(0, 12)), false);
  });
});
