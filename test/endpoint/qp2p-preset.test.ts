/** Endpoints with `preset: 'qp2p'` among themselves, in virtual time; `interop/qp2p.test.ts` speaks with the real qp2p. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText } from '../../src/base/bytes.ts';
import type { QuicConnection, Qp2pMessage } from '../../src/endpoint/index.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import {
  bytes,
  errorOf,
  type Qp2pTestEndpoint,
  type TestOptions,
  type World,
  world,
} from '../support/endpoint-world.ts';

type Qp2pConnection = QuicConnection<MemoryAddr, Qp2pMessage>;

/** Two endpoints of qp2p's, and both ends of a connection between them. */
async function qp2pPair(
  w: World,
  mine: TestOptions = {},
  theirs: TestOptions = mine,
): Promise<{ readonly bob: Qp2pTestEndpoint; readonly here: Qp2pConnection; readonly there: Qp2pConnection }> {
  const [alice, bob] = [w.openQp2p(mine), w.openQp2p(theirs)];
  const accepted = bob.connections();
  const here = await w.run(alice.connect(bob.addr));
  return { bob, here, there: (await w.run(accepted.next())).value! };
}

const texts = ({ header, dst, payload }: Qp2pMessage): unknown => [header, dst, payload].map(decodeText);

describe("an endpoint with preset: 'qp2p'", () => {
  it('carries messages in three parts, and answers them in three parts', async () => {
    const w = world();
    const { bob, here } = await qp2pPair(w);
    void (async () => {
      for await (const { header, dst, payload, reply } of bob.messages()) {
        await reply?.finish({ header: dst, dst: header, payload });
      }
    })();
    const answer = await w.run(here.request({ header: bytes('header'), dst: bytes('dst'), payload: bytes('payload') }));
    assert.deepEqual(texts(answer), ['dst', 'header', 'payload']);
  });

  it('sends bytes as a payload with an empty header and dst', async () => {
    const w = world();
    const { here, there } = await qp2pPair(w);
    await w.run(here.send(bytes('alone')));
    assert.deepEqual(texts((await w.run(there.messages().next())).value!), ['', '', 'alone']);
    await w.run(here.send({ header: bytes('h'), payload: bytes('p') }));
    assert.deepEqual(texts((await w.run(there.messages().next())).value!), ['h', '', 'p']);
  });

  it('counts the three parts together for maxMessageBytes', async () => {
    const w = world();
    const { here, there } = await qp2pPair(w, { maxMessageBytes: 2000 }, { maxMessageBytes: 1000 });
    const parts = (payload: number): Qp2pMessage => ({
      header: new Uint8Array(300),
      dst: new Uint8Array(1),
      payload: new Uint8Array(payload),
    });
    await w.run(here.send(parts(699), { acked: true }));
    const { header, dst, payload } = (await w.run(there.messages().next())).value!;
    assert.equal(header.length + dst.length + payload.length, 1000);
    const refused = await w.run(errorOf(there.send(parts(700))));
    assert.deepEqual([refused.code, refused.side, refused.sent], ['mtu_exceeded', 'local', 'no']);
  });

  it('throws at once for a value that is no message of three parts', async () => {
    const w = world();
    const { here } = await qp2pPair(w);
    for (const wrong of [
      { payload: 'x' },
      { payload: bytes('x'), header: 5 },
      { payload: bytes('x'), dst: 'x' },
      { header: bytes('x') },
      null,
    ]) {
      assert.throws(() => here.send(wrong as never), TypeError, JSON.stringify(wrong));
    }
  });

  it('does not connect to an endpoint without the preset', async () => {
    const w = world();
    const [plain, qp2p] = [w.open(), w.openQp2p()];
    assert.equal((await w.run(errorOf(qp2p.connect(plain.addr)))).code, 'refused');
    assert.equal((await w.run(errorOf(plain.connect(qp2p.addr)))).code, 'refused');
  });
});

describe('an endpoint without a preset', () => {
  it('takes bytes only, and says what three parts need', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const connection = await w.run(alice.connect(bob.addr));
    const parts = { header: bytes('h'), dst: bytes('d'), payload: bytes('p') };
    assert.throws(() => connection.send(parts as never), { name: 'TypeError', message: /preset: 'qp2p'/ });
    assert.throws(() => alice.send(bob.addr, parts as never), { name: 'TypeError', message: /preset: 'qp2p'/ });
    assert.throws(() => connection.request(parts as never), TypeError);
  });

  it('gives messages that have a payload and no other part, and answers that are bytes', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const connection = await w.run(alice.connect(bob.addr));
    const answer = connection.request(bytes('marco'));
    const message = (await w.run(bob.messages().next())).value!;
    assert.deepEqual(Object.keys(message).toSorted(), ['connection', 'payload', 'reply', 'stream']);
    assert.deepEqual(message.payload, bytes('marco'));
    await w.run(message.reply!.finish(bytes('polo')));
    assert.deepEqual(await w.run(answer), bytes('polo'));
  });
});
