/** IK on real sockets: the first message can be a recorded one, so nobody is announced by it. */

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';

import { x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, decodeText, EMPTY_BYTES, encodeText } from '../../src/base/bytes.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createNode, handshake, noise, type NoiseOptions, onConnect, reading, writing } from '../../src/node/index.ts';
import { signedIdentity } from '../../src/node/noise-identity.ts';
import {
  frameNoiseMessage,
  NoiseHandshake,
  type NoiseTransport,
  sealRecords,
} from '../../src/protocols/noise/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { type BytesNode, unopened } from './nodes.ts';

const seed = (fill: number): Bytes => new Uint8Array(32).fill(fill);
const BOB = x25519PrivateKey(seed(2)).publicKey;
const ALICE_ID = peerIdOfKey(testKey(1).publicKey);

/** Bob, who answers; and everything that he was told. */
class Bob implements AsyncDisposable {
  readonly node: BytesNode;
  readonly announced: string[] = [];
  readonly asked: string[] = [];
  readonly heard: string[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(options: Partial<NoiseOptions> = {}, answer: unknown = true) {
    this.node = unopened({
      security: noise({ pattern: 'IK', staticSeed: seed(2), privateKey: testKey(2), ...options }),
      accept: ({ id }) => {
        this.asked.push(id);
        return answer as boolean;
      },
    });
    this.node.enable(
      reading({
        onMessage: (_, bytes) => {
          this.heard.push(decodeText(bytes)!);
          for (const resolve of this.#waiting.splice(0)) resolve();
        },
      }),
    );
    this.node.enable(writing());
    this.node.enable(
      onConnect((peer) => {
        this.announced.push(peerIdOfKey(peer.publicKey!));
        peer.send(encodeText('welcome'));
      }),
    );
  }

  hears(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.close();
  }
}

/** Alice by hand: her machine, and the bytes of her first message. */
function alice(): { readonly machine: NoiseHandshake; readonly first: Bytes } {
  const machine = new NoiseHandshake({
    pattern: 'IK',
    hash: 'BLAKE2s',
    role: 'initiator',
    ephemeralSeed: seed(5),
    staticSeed: seed(1),
    remoteStatic: BOB,
  });
  const binding = { staticKey: machine.localStatic!, handshakeHash: machine.hash };
  const written = machine.write(signedIdentity(testKey(1)).write(binding));
  assert.ok(written.ok);
  return { machine, first: frameNoiseMessage(written.bytes) };
}

/** Sends `first` and what `then` makes of the answer, until the connection ends. */
async function dial(addr: string, first: Bytes, then: (answer: Bytes) => Bytes): Promise<void> {
  const [ip, port] = addr.split(':');
  const socket: Socket = connect(Number(port), ip);
  let came: Bytes = EMPTY_BYTES;
  let hasAnswered = false;
  socket.on('data', (chunk: Buffer) => {
    came = concatBytes(came, chunk);
    if (hasAnswered || came.length < 2 || came.length < 2 + ((came[0]! << 8) | came[1]!)) return;
    hasAnswered = true;
    socket.write(then(came.subarray(2)));
  });
  socket.on('error', () => undefined);
  socket.write(first);
  await new Promise((resolve) => void socket.once('close', resolve));
}

describe('noise with IK', () => {
  it('a recorded first message announces nobody, whatever comes behind it', async () => {
    for (const then of [
      EMPTY_BYTES,
      frameNoiseMessage(new Uint8Array(40)),
      frameNoiseMessage(EMPTY_BYTES),
      frameNoiseMessage(new Uint8Array(15)),
    ]) {
      await using bob = new Bob({ timeoutMs: 100 });
      await dial(await bob.node.listen(), alice().first, () => then);
      assert.deepEqual([bob.announced, bob.asked, bob.heard], [[], [], []]);
      assert.equal(bob.node.connected, 0);
      const { refused } = bob.node.heuristics;
      const expected = then.length === 0 ? 'handshake_timeout' : 'identity_mismatch';
      assert.equal(refused.get(expected), 1, `${then.length}`);
    }
  });

  it('a record of another handshake, also of the same first message, announces nobody', async () => {
    await using bob = new Bob();
    const addr = await bob.node.listen();
    let recorded: Bytes | undefined;
    const { machine, first } = alice();
    const hearing = bob.hears();
    const genuine = dial(addr, first, (answer) => {
      assert.ok(machine.read(answer).ok);
      recorded = sealRecords(machine.finish().send, encodeText('\0\0\0\u0002hi')) as Bytes;
      return recorded;
    });
    await hearing;
    assert.deepEqual(bob.announced, [ALICE_ID]);
    await dial(addr, first, () => recorded!);
    assert.deepEqual(bob.announced, [ALICE_ID]);
    assert.deepEqual(bob.asked, [ALICE_ID]);
    assert.deepEqual(bob.heard, ['hi']);
    assert.equal(bob.node.heuristics.refused.get('identity_mismatch'), 1);
    await bob.node.close();
    await genuine;
  });

  it('a first record that holds a message is delivered once, behind the announcement', async () => {
    await using bob = new Bob();
    const hearing = bob.hears();
    const { machine, first } = alice();
    let transport: NoiseTransport | undefined;
    const dialling = dial(await bob.node.listen(), first, (answer) => {
      assert.ok(machine.read(answer).ok);
      transport = machine.finish();
      const records = ['\0\0\0\u0003one', '\0\0\0\u0003two'].map((text) => {
        return sealRecords(transport!.send, encodeText(text)) as Bytes;
      });
      return concatBytes(...records);
    });
    await hearing;
    if (bob.heard.length < 2) await bob.hears();
    assert.deepEqual(bob.heard, ['one', 'two']);
    assert.deepEqual(bob.announced, [ALICE_ID]);
    await bob.node.close();
    await dialling;
  });

  it('an initiator that has nothing to say is announced all the same', async () => {
    await using bob = new Bob();
    const security = noise({ pattern: 'IK', staticSeed: seed(1), remoteStatic: BOB, privateKey: testKey(1) });
    await using node = unopened({ security, accept: () => true });
    const welcomed = new Promise<string | undefined>((resolve) => {
      node.enable(reading({ onMessage: (_, bytes) => resolve(decodeText(bytes)) }));
    });
    await node.connect(await bob.node.listen());
    assert.equal(await welcomed, 'welcome');
    assert.deepEqual(bob.announced, [ALICE_ID]);
  });

  it('accept that answers anything but true refuses, with every pattern', async () => {
    for (const answer of ['yes', 1, {}, null]) {
      for (const pattern of ['IK', 'XX'] as const) {
        await using bob = new Bob({ pattern }, answer);
        const security = noise({ pattern, staticSeed: seed(1), remoteStatic: BOB, privateKey: testKey(1) });
        await using node = createNode({ security });
        const peer = await node.connect(await bob.node.listen());
        await peer.closed;
        assert.deepEqual(bob.announced, []);
        assert.equal(bob.node.heuristics.refused.get('not_accepted'), 1);
      }
    }
  });

  it('bytes that a handshake says it has read too much come first', async () => {
    await using bob = unopened();
    const heard: string[] = [];
    const two = new Promise<void>((resolve) => {
      bob.enable(
        reading({
          onMessage: (_, bytes) => void (heard.push(decodeText(bytes)!) === 2 && resolve()),
        }),
      );
    });
    bob.enable(handshake(async ({ stream }) => ({ rest: await stream.read(6) })));
    await using node = unopened();
    node.enable(writing());
    const peer = await node.connect(await bob.listen());
    peer.send(encodeText('first'));
    peer.send(encodeText('second'));
    await two;
    assert.deepEqual(heard, ['first', 'second']);
  });
});
