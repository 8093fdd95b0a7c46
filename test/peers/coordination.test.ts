/** Hole punches that a common peer brings about, without any relay: what it may do, and what it cannot. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Realm } from '../../src/core/realm.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import type { Peers, PeersOptions } from '../../src/peers/index.ts';
import { peerAddr } from '../../src/peers/address.ts';
import { resolveOptions } from '../../src/peers/options.ts';
import { Punching } from '../../src/peers/punching.ts';
import type { Transport } from '../../src/peers/transport.ts';
import type { Puncher } from '../../src/nat/index.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';
import {
  decodePunchAnswer,
  encodePunchBody,
  encodePunchRequest,
  PUNCH_CONTEXT,
} from '../../src/protocols/peers/punch-request.ts';
import { encodePunchOffer, type PunchOffer } from '../../src/protocols/punch/offer.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { PAYLOAD } from '../support/nat-matrix.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

/** Two peers behind NATs that filter by port, and helpers of which the first may bring them together. */
async function gather(
  coordinate: boolean,
  options: { readonly bob?: (host: VirtualHost) => Partial<PeersOptions> } = {},
) {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined });
  const helpers: Peers[] = [];
  for (const i of [10, 11, 12]) helpers.push(await w.open(i, w.net.host(), { coordinate: coordinate && i === 10 }));
  const alice = await w.open(0, w.net.host({ behind: w.net.nat('port') }));
  const host = w.net.host({ behind: w.net.nat('port') });
  const bob = await w.open(1, host, options.bob?.(host) ?? {});
  for (const node of [alice, bob]) {
    w.directory.addrs.delete(node.id);
    node.serve(({ payload }) => payload);
    for (const { id } of helpers) node.maintain(id);
  }
  await w.advance(3000);
  return { w, alice, bob, helpers };
}

describe('hole punches through a common peer', () => {
  it('need no relay', async () => {
    const { w, alice, bob } = await gather(true);
    await w.run(alice.ask(bob.id, PAYLOAD));
    assert.equal(alice.list().find(({ id }) => id === bob.id)?.path?.kind, 'punch');
    await w.close();
  });

  it('do not come about when nobody has said that it does this', async () => {
    const { w, alice, bob } = await gather(false);
    await assert.rejects(w.run(alice.ask(bob.id, PAYLOAD)), /no source knows an address/);
    await w.close();
  });

  it('are refused by a peer whose clock is an hour off, and explain says so', async () => {
    const { w, alice, bob } = await gather(true, {
      bob: ({ realm }) => ({
        realm: Object.create(realm, { wallMs: { value: () => realm.wallMs() + 3_600_000 } }) as Realm,
      }),
    });
    await assert.rejects(w.run(alice.ask(bob.id, PAYLOAD)));
    const { help, text } = alice.explain(bob.id);
    assert.ok(
      help.some((sentence) => /clocks of both hosts differ/.test(sentence)),
      text,
    );
    await w.close();
  });

  it('are not begun by what somebody else has signed, what is for somebody else, and what has come before', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const begun: PunchOffer[] = [];
    const offer: PunchOffer = {
      token: new Uint8Array(16).fill(7),
      addrs: [{ ip: '203.0.113.9', port: 5000 }],
      ports: 'steady',
    };
    const puncher: Puncher = {
      offer: () => Promise.resolve(offer),
      punch: (_, theirs) => {
        begun.push(theirs);
        return new Promise(() => undefined);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const bob = testKey(1);
    const options = resolveOptions({
      privateKey: bob,
      realm,
      network: createVirtualInternet({ realm }).host().network,
    });
    const id = peerIdOfKey(bob.publicKey);
    const punching = new Punching(options, {
      realm,
      own: peerAddr(id),
      publicKey: bob.publicKey,
      closed: new Promise(() => undefined),
      maxMessageBytes: 65_536,
      withSession: () => () => undefined,
      sessionOf: () => undefined,
      knownKey: () => undefined,
      transport: () => ({ puncher }) as unknown as Transport,
      coordinators: () => [],
      refusal: () => undefined,
      pathAddr: () => undefined,
      direct: () => undefined,
      punched: () => undefined,
    });
    const signer = testKey(0);
    const bodyFor = (to: PeerId, wallMs = realm.wallMs()): Uint8Array<ArrayBuffer> =>
      encodePunchBody({ to, wallMs, transport: 'quic', offer: encodePunchOffer(offer) });
    const ask = async (body: Uint8Array<ArrayBuffer>, by = signer): Promise<string> => {
      const signed = { spki: signer.publicKey.spki, signature: by.signText(PUNCH_CONTEXT, body), body };
      const payload = encodePunchRequest({ type: 'forwarded', signed });
      const answer = await punching.channel.answer({ src: peerAddr(idOf(9)), dst: peerAddr(id), payload });
      const read = decodePunchAnswer(Uint8Array.from(answer.bytes ?? []));
      return read?.type === 'refused' ? read.code : (read?.type ?? 'malformed');
    };
    assert.equal(await ask(bodyFor(id), testKey(66)), 'denied');
    assert.equal(await ask(bodyFor(idOf(5))), 'denied');
    assert.equal(await ask(bodyFor(id, realm.wallMs() + 3_600_000)), 'clock');
    assert.deepEqual(begun, []);
    assert.equal(await ask(bodyFor(id)), 'offer');
    assert.equal(await ask(bodyFor(id)), 'denied');
    assert.deepEqual(begun, [offer]);
    for (let i = 1; i <= 50; i++) await ask(bodyFor(id, realm.wallMs() + i));
    assert.equal(begun.length, 1, 'one punch of a peer at a time');
    punching.close();
  });
});
