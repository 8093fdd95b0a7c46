import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Accept } from '../../src/core/accept.ts';
import type { Trust } from '../../src/endpoint/index.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { createCertificate, type Certificate, parseCertificate } from '../../src/identity/x509.ts';
import type { PrivateKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';
import {
  bytes,
  drops,
  echo,
  errorOf,
  idOf,
  type TestEndpoint,
  type TestOptions,
  type World,
  world,
} from '../support/endpoint-world.ts';

/** When tests happen. */
const NOW_MS = world().realm.wallMs();
const YEAR_MS = 365 * 86_400_000;

interface Authority {
  readonly certificate: Uint8Array;
  readonly parsed: Certificate;
  readonly key: PrivateKey;
}

function issue(
  key: PrivateKey,
  by: Authority | undefined,
  options: Partial<Parameters<typeof createCertificate>[0]> = {},
): Authority {
  const certificate = createCertificate({
    subjectKey: key.publicKey,
    issuer: by === undefined ? { key } : { key: by.key, certificate: by.parsed },
    commonName: `key ${key.publicKey.spki[43]}`,
    serialNumber: Uint8Array.of(1),
    notBeforeMs: NOW_MS - YEAR_MS,
    notAfterMs: NOW_MS + YEAR_MS,
    ...options,
  });
  return { certificate, parsed: parseCertificate(certificate)!, key };
}

const root = issue(testKey(50), undefined, { isAuthority: true });
const leaf = (i: number, options: Partial<Parameters<typeof createCertificate>[0]> = {}): TestOptions => {
  const { certificate, key } = issue(testKey(i), root, { dnsNames: [`peer${i}.test`], ...options });
  return { certificate, privateKey: key };
};

/** What comes of dialling, and whether anything was delivered. */
async function dial(
  w: World,
  mine: TestOptions,
  theirs: TestOptions,
): Promise<{ readonly code: string; readonly side?: string; readonly bob: TestEndpoint; readonly delivered: number }> {
  const [alice, bob] = [w.open(mine), w.open(theirs)];
  void echo(bob);
  const outcome = alice.connect(bob.addr).then(
    async (connection) => {
      await connection.request(bytes('hi'));
      return { code: 'ok' };
    },
    (error: unknown) => error as { code: string; side: string },
  );
  const { code, side } = { side: undefined, ...(await w.run(outcome)) };
  await w.pass(100);
  return { code, ...(side !== undefined && { side }), bob, delivered: bob.counters.received };
}

async function refused(mine: TestOptions, theirs: TestOptions, code: string, side?: string): Promise<void> {
  const result = await dial(world(), mine, theirs);
  assert.equal(result.code, code);
  if (side !== undefined) assert.equal(result.side, side);
  assert.equal(result.delivered, 0, 'not a byte was delivered');
  assert.equal(result.bob.openConnections().length, 0);
}

async function accepted(mine: TestOptions, theirs: TestOptions): Promise<void> {
  assert.equal((await dial(world(), mine, theirs)).code, 'ok');
}

describe('endpoint: trust', () => {
  it('by default every peer that proves a key is accepted under its PeerID; expect allows one only', async () => {
    const w = world();
    const { bob } = await dial(w, {}, {});
    const [there] = bob.openConnections();
    assert.deepEqual([there?.authenticated, there?.peerId], [true, idOf(0)]);
    const carol = w.open();
    const wrong = await w.run(errorOf(carol.connect(bob.addr, { expect: idOf(42) })));
    assert.deepEqual([wrong.code, wrong.sent], ['identity_mismatch', 'no']);
    assert.match(wrong.message, new RegExp(`there is ${idOf(1)} instead`));
    await w.run(carol.connect(bob.addr, { expect: idOf(1) }));
    await w.run(carol.connect(`${idOf(1)}@${bob.addr.text}`));
  });

  it('peerIds: a wrong pin is refused by either side, before a byte is delivered', async () => {
    await accepted({ trust: { peerIds: [idOf(1)] } }, { trust: { peerIds: [idOf(0)] } });
    await refused({ trust: { peerIds: [idOf(7)] } }, {}, 'identity_mismatch');
    await refused({}, { trust: { peerIds: [idOf(7)] } }, 'refused', 'remote');
    await refused({}, { trust: { peerIds: [] } }, 'refused', 'remote');
  });

  it('certificates: those agreed on beforehand, and no others of the same key', async () => {
    const [mine, theirs] = [issue(testKey(0), undefined), issue(testKey(1), undefined)];
    const other = issue(testKey(1), undefined, { serialNumber: Uint8Array.of(9) });
    const [a, b, c] = [mine, theirs, other].map(({ certificate, key }) => ({ certificate, privateKey: key }));
    await accepted(
      { ...a, trust: { certificates: [theirs.certificate] } },
      { ...b, trust: { certificates: [mine.certificate] } },
    );
    await refused({ ...a, trust: { certificates: [theirs.certificate] } }, { ...c }, 'identity_mismatch');
    await refused({ ...a }, { ...b, trust: { certificates: [other.certificate] } }, 'refused', 'remote');
  });

  it('ca: both sides with a chain, and the name that was asked for', async () => {
    const trust: Trust = { ca: root.certificate, serverName: 'peer1.test' };
    await accepted({ ...leaf(0), trust }, { ...leaf(1), trust });
    const middle = issue(testKey(60), root, { isAuthority: true });
    const below = issue(testKey(1), middle, { dnsNames: ['peer1.test'] });
    const chain = { certificate: [below.certificate, middle.certificate], privateKey: below.key };
    await accepted({ ...leaf(0), trust }, { ...chain, trust });
    await refused({ ...leaf(0), trust }, { ...chain, certificate: below.certificate }, 'refused');
  });

  it('ca: an unknown authority, an expired certificate, one not valid yet, a wrong name, a wrong usage: each is refused', async () => {
    const trust: Trust = { ca: [root.certificate], serverName: 'peer1.test' };
    const other = issue(testKey(51), undefined, { isAuthority: true });
    const stranger = issue(testKey(1), other, { dnsNames: ['peer1.test'] });
    const mine = { ...leaf(0), trust };
    await refused(mine, { certificate: stranger.certificate, privateKey: stranger.key }, 'refused', 'local');
    await refused(mine, {}, 'refused', 'local');
    await refused(mine, { ...leaf(1, { notAfterMs: NOW_MS - 1000 }) }, 'refused', 'local');
    await refused(mine, { ...leaf(1, { notBeforeMs: NOW_MS + 1000 }) }, 'refused', 'local');
    await refused(mine, { ...leaf(2) }, 'identity_mismatch');
    await refused(mine, { ...leaf(1, { dnsNames: [] }) }, 'identity_mismatch');
    await refused(mine, { ...leaf(1, { usages: ['client'] }) }, 'refused', 'local');
    // The same from the other side: the client is turned away by the server.
    const server = { ...leaf(1), trust };
    await refused({}, server, 'refused', 'remote');
    await refused({ ...leaf(0, { usages: ['server'] }) }, server, 'refused', 'remote');
    await refused({ ...leaf(0, { notAfterMs: NOW_MS - 1000 }) }, server, 'refused', 'remote');
  });

  it('ca: a leaf cannot sign for others', async () => {
    const trust: Trust = { ca: root.certificate, serverName: 'peer1.test' };
    const signer = issue(testKey(61), root);
    const below = issue(testKey(1), signer, { dnsNames: ['peer1.test'] });
    const chain = { certificate: [below.certificate, signer.certificate], privateKey: below.key };
    await refused({ ...leaf(0), trust }, chain, 'refused', 'local');
  });

  it('ca: the name can come with the call', async () => {
    const w = world();
    const alice = w.open({ ...leaf(0), trust: { ca: root.certificate } });
    const bob = w.open({ ...leaf(1), trust: { ca: root.certificate } });
    await w.run(alice.connect(bob.addr, { serverName: 'peer1.test' }));
    const wrong = await w.run(errorOf(alice.connect(bob.addr, { serverName: 'peer2.test', fresh: true })));
    assert.equal(wrong.code, 'identity_mismatch');
    await w.run(alice.connect(bob.addr, { fresh: true }));
    const outside = await w.run(errorOf(alice.connect(w.open().addr)));
    assert.equal(outside.code, 'refused', 'without a name, any certificate of the authority will do, and no other');
  });

  it('accept decides about trusted peers, and gets who they are', async () => {
    const seen: string[] = [];
    const accept: Accept = ({ id, side, publicKey }) => {
      seen.push(`${side} ${id} ${publicKey.algorithm}`);
      return true;
    };
    await accepted({ accept }, { accept });
    assert.deepEqual(seen, [`responder ${idOf(1)} ed25519`, `initiator ${idOf(0)} ed25519`]);
    seen.length = 0;
    await refused({}, { trust: { peerIds: [] }, accept }, 'refused', 'remote');
    assert.deepEqual(seen, [], 'a peer that is not trusted is not asked about');
  });

  it('only true from accept lets a peer in, on either side; all else is counted, and traced with what went wrong', async () => {
    const answers: Record<string, () => unknown> = {
      'a promise that rejects': async () => Promise.reject(new Error('later')),
      'a promise of false': async () => false,
      undefined: () => undefined,
      'an object': () => ({}),
      'a throw': () => {
        throw new Error('broken');
      },
      false: () => false,
    };
    for (const [name, answer] of Object.entries(answers)) {
      for (const side of ['initiator', 'responder']) {
        const traced: TraceEvent[] = [];
        const w = world(undefined, (event) => {
          if (event.layer === 'endpoint' && event.type === 'handler_error') traced.push(event);
        });
        const accept = { accept: answer as () => boolean };
        const [alice, bob] = [w.open(side === 'initiator' ? accept : {}), w.open(side === 'responder' ? accept : {})];
        const error = await w.run(errorOf(alice.connect(bob.addr)));
        assert.deepEqual([error.code, error.side], ['refused', side === 'initiator' ? 'local' : 'remote'], name);
        await w.pass(100);
        const [asked, other] = side === 'initiator' ? [alice, bob] : [bob, alice];
        assert.equal(drops(asked, 'endpoint.not_accepted'), 1, `${name}, ${side}`);
        assert.deepEqual(
          traced.map(({ reason, addr, cause }) => [reason, addr?.text, cause !== undefined]),
          name.endsWith('false') ? [] : [['accept', other.addr.text, true]],
          `${name}, ${side}`,
        );
        assert.deepEqual([alice.openConnections().length, bob.openConnections().length], [0, 0]);
      }
    }
  });

  for (const side of ['initiator', 'responder']) {
    it(`a verdict of the ${side} that takes 1 s is waited for, and nothing is announced or delivered before`, async () => {
      const w = world();
      const late = {
        accept: () =>
          new Promise<boolean>((resolve) => void w.realm.clock.setTimer(w.realm.nowMs() + 1000, () => resolve(true))),
      };
      const [alice, bob] = [w.open(side === 'initiator' ? late : {}), w.open(side === 'responder' ? late : {})];
      void echo(bob);
      const events = (side === 'initiator' ? alice : bob).events();
      const connecting = alice.connect(bob.addr);
      await w.pass(900);
      assert.equal(events.tryNext(), undefined);
      const connection = await w.run(connecting);
      assert.equal((await w.run(connection.request(bytes('hello')))).length, 5);
      assert.equal(events.tryNext()?.type, 'connected');
    });

    it(`a verdict of the ${side} that never comes is refused after 5 s`, async () => {
      const w = world();
      const never = { accept: () => new Promise<boolean>(() => undefined), connectTimeoutMs: 60_000 };
      const patient = { connectTimeoutMs: 60_000 };
      const [alice, bob] = [
        w.open(side === 'initiator' ? never : patient),
        w.open(side === 'responder' ? never : patient),
      ];
      const error = await w.run(errorOf(alice.connect(bob.addr)));
      assert.equal(error.code, 'refused');
      assert.ok(w.realm.nowMs() >= 5000 && w.realm.nowMs() < 5500, `${w.realm.nowMs()} ms`);
    });
  }

  it('recheck ends the connections of peers that accept refuses by now, and leaves the others', async () => {
    const w = world();
    const banned = new Set<string>();
    const bob = w.open({ accept: async ({ id }) => !banned.has(id) });
    const [alice, carol] = [w.open(), w.open()];
    const [here, other] = [await w.run(alice.connect(bob.addr)), await w.run(carol.connect(bob.addr))];
    banned.add(alice.peerId);
    await w.run(bob.recheck());
    await w.pass(1000);
    assert.deepEqual([here.closeReason?.code, other.closeReason], [3, undefined]);
    assert.equal((await w.run(errorOf(alice.connect(bob.addr)))).code, 'refused');
  });

  it("'anyone' accepts every peer, and connections are not authenticated", async () => {
    const w = world();
    const { bob, code } = await dial(w, { trust: 'anyone' }, { trust: 'anyone' });
    const [there] = bob.openConnections();
    assert.deepEqual([code, there?.authenticated, there?.peerId], ['ok', false, undefined]);
  });

  it('invalid trust and invalid identities are misuse', () => {
    const w = world();
    assert.throws(() => w.open({ trust: 'everyone' as never }), TypeError);
    assert.throws(() => w.open({ trust: (() => true) as never }), /accept/);
    assert.throws(() => w.open({ trust: 'anyone', accept: () => true }), /accept/);
    assert.throws(() => w.open({ trust: { peerIds: ['x'] } }), TypeError);
    assert.throws(() => w.open({ trust: { ca: 'no certificate' } }), TypeError);
    assert.throws(() => w.open({ certificate: root.certificate, privateKey: testKey(1) }), /not the key/);
    assert.throws(() => w.open({ certificate: root.certificate }), /privateKey/);
  });

  it('another application protocol is refused', async () => {
    await refused({ alpn: 'chat/1' }, { alpn: 'chat/2' }, 'refused', 'remote');
    await accepted({ alpn: ['chat/2', 'chat/1'] }, { alpn: 'chat/1' });
  });
});
