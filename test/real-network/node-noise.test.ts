/** Noise on real sockets: who gets in, who does not, and what goes over the wire. */

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';

import { x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, decodeText, encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { PublicKey } from '../../src/core/secure.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import {
  createNode,
  handshake,
  type Node,
  type NodeAccept,
  noise,
  type NoiseIdentity,
  type NoiseOptions,
  reading,
  type TcpConnection,
  writing,
} from '../../src/node/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { type BytesNode, unopened } from './nodes.ts';

const seed = (fill: number): Bytes => new Uint8Array(32).fill(fill);
const staticOf = (fill: number): Bytes => x25519PrivateKey(seed(fill)).publicKey;
const idOf = (key: PublicKey | undefined) => (key === undefined ? undefined : peerIdOfKey(key));

/** A node with noise that keeps what it hears. */
class Talker implements AsyncDisposable {
  readonly node: BytesNode;
  readonly heard: Bytes[] = [];
  readonly peers: TcpConnection<Uint8Array>[] = [];
  #wanted: { readonly count: number; readonly resolve: () => void } | undefined;

  constructor(options: NoiseOptions, accept?: NodeAccept) {
    this.node = unopened({ security: noise(options), accept });
    this.node.enable(writing());
    this.node.enable(
      reading({
        onMessage: (peer, bytes) => {
          this.peers.push(peer);
          this.heard.push(bytes);
          if (this.heard.length === this.#wanted?.count) this.#wanted.resolve();
        },
      }),
    );
  }

  say(peer: TcpConnection<Uint8Array>, bytes: Uint8Array): void {
    peer.send(bytes);
  }

  /** When so many messages have come. */
  hears(count: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.heard.length >= count) resolve();
      else this.#wanted = { count, resolve };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.node.close();
  }
}

/** Until nobody is being set up any more. */
async function settled(node: Node): Promise<void> {
  while (node.connecting > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe('noise', () => {
  for (const [name, alices, bobs] of [
    ['XX', { pattern: 'XX' }, { pattern: 'XX' }],
    ['XX with SHA256', { pattern: 'XX', hash: 'SHA256' }, { pattern: 'XX', hash: 'SHA256' }],
    ['XXpsk3', { pattern: 'XXpsk3', psk: seed(9) }, { pattern: 'XXpsk3', psk: seed(9) }],
    ['IK', { pattern: 'IK', staticSeed: seed(1), remoteStatic: staticOf(2) }, { pattern: 'IK', staticSeed: seed(2) }],
  ] as const) {
    it(`${name} with keys: both know each other, messages of all sizes arrive`, async () => {
      await using alice = new Talker({ ...alices, privateKey: testKey(1) });
      await using bob = new Talker({ ...bobs, privateKey: testKey(2) });
      const peer = await alice.node.connect(await bob.node.listen());
      assert.equal(idOf(peer.publicKey), peerIdOfKey(testKey(2).publicKey));
      const payloads = [0, 1, 65_519, 65_520, 300_000].map((size) => new Uint8Array(size).fill(size % 251));
      for (const payload of payloads) alice.say(peer, payload);
      await bob.hears(payloads.length);
      assert.deepEqual(bob.heard, payloads);
      assert.equal(idOf(bob.peers[0]!.publicKey), peerIdOfKey(testKey(1).publicKey));
      bob.say(bob.peers[0]!, encodeText('and back'));
      await alice.hears(1);
      assert.equal(decodeText(alice.heard[0]!), 'and back');
    });
  }

  it('without keys peers are known by their static keys', async () => {
    await using alice = new Talker({ pattern: 'XX', staticSeed: seed(1) });
    await using bob = new Talker({ pattern: 'XX', staticSeed: seed(2) });
    const peer = await alice.node.connect(await bob.node.listen());
    assert.equal(peer.publicKey?.algorithm, 'x25519');
    assert.deepEqual(peer.publicKey?.spki.slice(-32), staticOf(2));
  });

  it('many small messages share one record', async () => {
    await using alice = new Talker({ pattern: 'XX' });
    await using bob = new Talker({ pattern: 'XX' });
    const peer = await alice.node.connect(await bob.node.listen());
    const before = peer.stats.wire.sent;
    for (let i = 0; i < 1000; i++) alice.say(peer, new Uint8Array(10));
    await bob.hears(1000);
    assert.equal(peer.stats.wire.sent - before, 1000 * 14 + 18);
  });

  for (const [what, alices, bobs] of [
    ['another pre-shared key', { pattern: 'XXpsk3', psk: seed(1) }, { pattern: 'XXpsk3', psk: seed(2) }],
    ['another prologue', { pattern: 'XX', prologue: seed(1) }, { pattern: 'XX' }],
    ['another hash', { pattern: 'XX', hash: 'SHA256' }, { pattern: 'XX', hash: 'BLAKE2s' }],
    ['no key where one is wanted', { pattern: 'XX' }, { pattern: 'XX', privateKey: testKey(2) }],
    [
      'the wrong static key of whom is dialled',
      { pattern: 'IK', staticSeed: seed(1), remoteStatic: staticOf(7) },
      { pattern: 'IK', staticSeed: seed(2) },
    ],
  ] as const) {
    it(`${what}: nobody gets in, the reason is counted, the place is free again`, async () => {
      await using alice = new Talker(alices);
      await using bob = new Talker(bobs);
      const peer = await alice.node.connect(await bob.node.listen()).catch((error: unknown) => error);
      if (P2PError.is(peer)) assert.ok(['identity_mismatch', 'disconnected', 'refused'].includes(peer.code), peer.code);
      await settled(bob.node);
      assert.equal(bob.node.connected, 0);
      const { refused } = bob.node.heuristics;
      assert.equal((refused.get('identity_mismatch') ?? 0) + (refused.get('handshake_failed') ?? 0), 1);
      assert.deepEqual(bob.heard, []);
    });
  }

  it('accept turns away on either side, before a byte is delivered', async () => {
    const onlyKey3: NodeAccept = ({ id }) => id === peerIdOfKey(testKey(3).publicKey);
    await using alice = new Talker({ pattern: 'XX', privateKey: testKey(1) });
    await using bob = new Talker({ pattern: 'XX', privateKey: testKey(2) }, onlyKey3);
    const addr = await bob.node.listen();
    const peer = await alice.node.connect(addr);
    alice.say(peer, encodeText('never read'));
    await peer.closed;
    await settled(bob.node);
    assert.equal(bob.node.heuristics.refused.get('not_accepted'), 1);
    assert.deepEqual(bob.heard, []);
    await using carol = new Talker({ pattern: 'XX', privateKey: testKey(3) }, async (one) => onlyKey3(one));
    await assert.rejects(carol.node.connect(addr), { code: 'refused', side: 'local' });
  });

  it('payloads of another protocol take the place of ours', async () => {
    const seen: string[] = [];
    const identity = (name: string, key: PublicKey): NoiseIdentity => ({
      write: ({ staticKey, handshakeHash }) => concatBytes(encodeText(name), staticKey, handshakeHash.subarray(0, 4)),
      read: (payload, { staticKey, handshakeHash }) => {
        const text = decodeText(payload.subarray(0, -36)) ?? '';
        const proof = concatBytes(staticKey, handshakeHash.subarray(0, 4));
        seen.push(text);
        return Buffer.compare(payload.subarray(-36), proof) === 0 ? key : undefined;
      },
    });
    await using alice = new Talker({ pattern: 'XX', identity: identity('alice', testKey(1).publicKey) });
    await using bob = new Talker({ pattern: 'XX', identity: identity('bob', testKey(2).publicKey) });
    await alice.node.connect(await bob.node.listen());
    await settled(bob.node);
    assert.deepEqual(seen.toSorted(), ['alice', 'bob']);
    assert.equal(bob.node.connected, 1);
  });

  it('who stalls in the handshake is let go after its time', async () => {
    await using bob = new Talker({ pattern: 'XX', timeoutMs: 50 });
    const [ip, port] = (await bob.node.listen()).split(':');
    const sockets: Socket[] = [];
    for (let i = 0; i < 50; i++) sockets.push(connect(Number(port), ip));
    await Promise.all(
      sockets.map((socket, i) => {
        if (i % 2 === 0) socket.write(Uint8Array.of(0, 32, 1, 2));
        socket.on('error', () => undefined);
        return new Promise((resolve) => socket.once('close', resolve).resume());
      }),
    );
    assert.equal(bob.node.heuristics.refused.get('handshake_timeout'), 50);
    assert.equal(bob.node.connecting, 0);
  });

  it('garbage in the handshake, and a record that cannot be opened, end the connection with a counted reason', async () => {
    await using bob = new Talker({ pattern: 'XX' });
    const addr = await bob.node.listen();
    const [ip, port] = addr.split(':');
    const socket = connect(Number(port), ip);
    socket.on('error', () => undefined).write(new Uint8Array(4096).fill(0xff));
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve).resume());
    await settled(bob.node);
    assert.ok(
      (bob.node.heuristics.refused.get('handshake_failed') ?? 0) +
        (bob.node.heuristics.refused.get('identity_mismatch') ?? 0) >
        0,
    );

    // Noise by hand, then a record of nothing that was sealed.
    await using mallory = createNode({ security: 'none' });
    const { NoiseHandshake, frameNoiseMessage } = await import('../../src/protocols/noise/index.ts');
    mallory.enable(
      handshake(async ({ stream }) => {
        const machine = new NoiseHandshake({
          pattern: 'XX',
          hash: 'BLAKE2s',
          role: 'initiator',
          ephemeralSeed: seed(5),
          staticSeed: seed(6),
        });
        const send = async (): Promise<void> => {
          const message = machine.write();
          assert.ok(message.ok);
          await stream.write(frameNoiseMessage(message.bytes));
        };
        await send();
        await stream.read(2);
        machine.read(await stream.read(96));
        await send();
        await stream.write(frameNoiseMessage(new Uint8Array(40)));
      }),
    );
    const peer = await mallory.connect(addr);
    await peer.closed;
    assert.equal(bob.node.heuristics.ended.get('malformed'), 1);
    assert.deepEqual(bob.heard, []);
  });

  it('misuse throws at once', () => {
    // @ts-expect-error no such pattern
    assert.throws(() => noise({ pattern: 'NN' }), TypeError);
    assert.throws(() => noise({ pattern: 'XXpsk3' }), /psk/);
    assert.throws(() => noise({ pattern: 'XXpsk3', psk: seed(1).subarray(1) }), RangeError);
    assert.throws(() => noise({ pattern: 'IK' }), /staticSeed/);
    // @ts-expect-error no such hash
    assert.throws(() => noise({ pattern: 'XX', hash: 'MD5' }), TypeError);
    const untyped = noise as (options: unknown) => unknown;
    for (const options of [undefined, null, 'XX', 7]) assert.throws(() => untyped(options), TypeError);
    assert.throws(() => untyped({ pattern: 'XX', prologue: 'text' }), TypeError);
    assert.throws(() => untyped({ pattern: 'XX', timeoutMs: 0 }), RangeError);
    assert.throws(() => untyped({ pattern: 'XX', staticSeed: seed(1).subarray(1) }), RangeError);
    assert.throws(() => untyped({ pattern: 'IK', staticSeed: seed(1), remoteStatic: 'key' }), TypeError);
    assert.throws(() => untyped({ pattern: 'IK', staticSeed: seed(1), remoteStatic: seed(2).subarray(1) }), RangeError);
    assert.doesNotThrow(() => untyped({ pattern: 'IK', staticSeed: seed(1), remoteStatic: () => seed(2) }));
    const identity: NoiseIdentity = { write: () => seed(1), read: () => undefined };
    assert.throws(() => noise({ pattern: 'XX', privateKey: testKey(1), identity }), TypeError);
  });
});
