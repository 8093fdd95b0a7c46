/** Tests of keys and identities. */

import { type Addr, peerIdOf } from '../../core/addr.ts';
import { equalBytes } from '../../base/bytes.ts';
import type { PublicKey, SecureSwarm } from '../../core/secure.ts';
import {
  Inbox,
  type SuiteTest,
  addrOf,
  check,
  checkRejects,
  checkSame,
  checkThrows,
  deliver,
  pass,
  payloadOf,
  rejectionOf,
  within,
} from './suite.ts';

type Pair = readonly [SecureSwarm<Addr>, SecureSwarm<Addr>];

function sameKey(a: PublicKey | undefined, b: PublicKey): boolean {
  return a !== undefined && a.algorithm === b.algorithm && equalBytes(a.spki, b.spki);
}

/** Part of `secureSuite`. */
export const securingTests: readonly SuiteTest<SecureSwarm<Addr>>[] = [
  {
    name: 'publicKey has an algorithm and is unique to this swarm',
    body: async ({ net: { swarms } }) => {
      const [alice, bob] = swarms as Pair;
      check(typeof alice.publicKey.algorithm === 'string' && alice.publicKey.algorithm !== '', 'no algorithm');
      check(alice.publicKey.spki.length > 0, 'empty spki');
      check(!sameKey(alice.publicKey, bob.publicKey), 'two swarms have the same key');
    },
  },
  {
    name: 'knownPublicKey() returns the key of the source of a message while its handler runs',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let known: PublicKey | undefined;
      let looked: Promise<PublicKey> | undefined;
      bob.listen(({ src }) => {
        known = bob.knownPublicKey(src);
        looked = bob.lookupPublicKey(src);
      });
      for (let sends = 0; sends < 60 && known === undefined; sends++) {
        await bench.run(alice.tell(addrOf(bob), payloadOf(1)));
        await pass(bench, alice);
      }
      check(sameKey(known, alice.publicKey), 'knownPublicKey(src) is not the sender’s key');
      check(
        looked !== undefined && sameKey(await bench.run(looked), alice.publicKey),
        'lookupPublicKey(src) is another',
      );
    },
  },
  {
    name: 'lookupPublicKey() contacts the peer and returns the key, which is known from then on',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const key = await within(bench, alice, alice.lookupPublicKey(addrOf(bob)), 'lookupPublicKey()');
      check(sameKey(key, bob.publicKey), 'another key');
      check(sameKey(alice.knownPublicKey(addrOf(bob)), bob.publicKey), 'knownPublicKey() forgot it');
    },
  },
  {
    name: 'two addresses of one key have one PeerID, and the source of a message carries it',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const { src } = await deliver(bench, alice, addrOf(bob), payloadOf(1), inbox);
      checkSame(peerIdOf(src), peerIdOf(addrOf(alice)), 'PeerID of the source');
    },
  },
  {
    name: 'a look-up of an unused address fails by the deadline',
    body: async (bench) => {
      const [alice] = bench.net.swarms as Pair;
      const addr = bench.net.unknownAddr?.();
      if (addr === undefined) return;
      const looked = alice.lookupPublicKey(addr, { timeoutMs: 1000 });
      await checkRejects(bench, alice, looked, ['unreachable', 'timeout', 'not_found'], 'lookupPublicKey() of nobody');
    },
  },
  {
    name: 'an address with another key’s PeerID is identity_mismatch, and nothing is delivered',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const addr = bench.net.wrongAddr?.(1);
      if (addr === undefined) return;
      const inbox = new Inbox(bob);
      const codes = bench.features.lossy ? (['identity_mismatch', 'timeout'] as const) : 'identity_mismatch';
      await checkRejects(bench, alice, alice.tell(addr, payloadOf(1)), codes, 'tell() to the wrong PeerID');
      await checkRejects(bench, alice, alice.lookupPublicKey(addr), codes, 'lookupPublicKey() of the wrong PeerID');
      checkSame(inbox.messages.length, 0, 'messages received');
      await deliver(bench, alice, addrOf(bob), payloadOf(2), inbox);
    },
  },
  {
    name: 'misuse of the secure half throws at once, and an aborted signal rejects with its reason',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      // @ts-expect-error not an address
      checkThrows(() => alice.lookupPublicKey(undefined), TypeError, 'lookupPublicKey(undefined)');
      // @ts-expect-error not an address
      checkThrows(() => alice.knownPublicKey(5), TypeError, 'knownPublicKey(5)');
      checkSame(alice.knownPublicKey(''), undefined, 'knownPublicKey() of a text that is no address');
      const { text } = addrOf(bob);
      const key = await bench.run(alice.lookupPublicKey(text));
      checkSame(alice.knownPublicKey(text), key, 'knownPublicKey() of the text');
      await checkRejects(bench, alice, alice.lookupPublicKey(''), 'unreachable', 'lookupPublicKey() of no address');
      const reason = new Error('given up');
      const looked = alice.lookupPublicKey(addrOf(bob), { signal: AbortSignal.abort(reason) });
      checkSame(await rejectionOf(bench, alice, looked, 'lookupPublicKey() with an aborted signal'), reason, 'reason');
    },
  },
];
