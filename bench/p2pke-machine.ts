/**
 * What does P2PKE cost without a network? Two channels in one thread; a datagram is handed from one to the other.
 *
 * Baselines of the same run: `bare` is the cipher alone, one seal and one open of the same bytes with the same key handle;
 * for handshakes, what none can do without: two X25519 keys and agreements, three Ed25519 signatures and three checks, by
 * node:crypto on keys that are imported already. Control: no channel may be faster than its bare cipher (5 % of noise
 * allowed), or the run cannot be trusted. With `npm install --prefix bench/rivals/sodium` sodium-native is measured too.
 */

import { diffieHellman, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';
import { chacha20Poly1305 as nobleAead } from '../src/crypto/noble.ts';
import { chacha20Poly1305 } from '../src/crypto/node.ts';
import type { ImportAeadKey } from '../src/crypto/suite.ts';
import { loadWasmAead } from '../src/crypto/wasm-aead.ts';
import { generateKey } from '../src/identity/keys.ts';
import { type Bench, median, rateOf, ROUND_MS, type Round } from './harness/bench.ts';
import { Lazy } from './harness/child.ts';
import { loadSodium, sodiumMissing } from './harness/sodium.ts';
import { Channel, createP2pkeIdentity, type P2pkeIdentity } from '../src/protocols/p2pke/index.ts';

const WALL_MS = 1_700_000_000_000;

/** Calls `run` for as long as a round is. */
function round(run: () => void): Round {
  const begin = performance.now();
  let calls = 0;
  let elapsed = 0;
  while (elapsed < ROUND_MS) {
    for (let i = 0; i < 20; i++) run();
    calls += 20;
    elapsed = performance.now() - begin;
  }
  return rateOf(calls, elapsed);
}

/** A channel and what it is made of, to be measured by turns. */
interface Pair {
  readonly channel: () => void;
  readonly bare: () => void;
}

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

function newIdentity(aead: ImportAeadKey): P2pkeIdentity {
  return createP2pkeIdentity({ privateKey: generateKey(), random, aead });
}

/** Carries all that both have to say, until both wait. */
function carry(now: number, a: Channel, b: Channel): void {
  for (let quiet = false; !quiet;) {
    quiet = true;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      for (let output = from.poll(); output.type !== 'wait'; output = from.poll()) {
        quiet = false;
        if (output.type === 'transmit') to.handleDatagram(now, WALL_MS + now, output.transmit);
        else if (output.event.type === 'accept') {
          from.answer(now, WALL_MS + now, output.event.publicKey, 'accepted');
        }
      }
    }
  }
}

function dataPair(aead: ImportAeadKey, bytes: number): Pair {
  const a = new Channel({ identity: newIdentity(aead) });
  const b = new Channel({ identity: newIdentity(aead) });
  a.open(0, WALL_MS);
  carry(0, a, b);
  const payload = random(bytes);
  const channel = (): void => {
    const datagram = a.seal(0, WALL_MS, payload);
    if (datagram === undefined || b.handleDatagram(0, WALL_MS, datagram)?.length !== bytes) throw new Error('lost');
    a.poll();
    b.poll();
  };

  const key = aead(random(32));
  const nonce = new Uint8Array(12);
  const header = new Uint8Array(4);
  const bare = (): void => {
    const sealed = new Uint8Array(bytes + 16);
    key.seal(nonce, header, payload, sealed, 0);
    const opened = new Uint8Array(bytes);
    if (!key.open(nonce, header, sealed, opened, 0)) throw new Error('lost');
  };
  return { channel, bare };
}

function handshakePair(): Pair {
  const [alice, bob] = [newIdentity(chacha20Poly1305), newIdentity(chacha20Poly1305)];
  const channel = (): void => {
    const a = new Channel({ identity: alice });
    const b = new Channel({ identity: bob });
    a.open(0, WALL_MS);
    carry(0, a, b);
    if (!a.isReady(0) || !b.isReady(0)) throw new Error('no session');
  };
  const signing = generateKeyPairSync('ed25519');
  const message = random(64);
  const signature = sign(null, message, signing.privateKey);
  const bare = (): void => {
    const pairs: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }[] = [];
    for (let i = 0; i < 2; i++) pairs.push(generateKeyPairSync('x25519'));
    diffieHellman({ privateKey: pairs[0]!.privateKey, publicKey: pairs[1]!.publicKey });
    diffieHellman({ privateKey: pairs[1]!.privateKey, publicKey: pairs[0]!.publicKey });
    for (let i = 0; i < 3; i++) {
      sign(null, message, signing.privateKey);
      verify(null, message, signing.publicKey, signature);
    }
  };
  return { channel, bare };
}

const CIPHERS: readonly { readonly name: string; readonly aead: () => Promise<ImportAeadKey | undefined> }[] = [
  { name: 'node:crypto', aead: () => Promise.resolve(chacha20Poly1305) },
  { name: '@noble/ciphers', aead: () => Promise.resolve(nobleAead) },
  { name: 'WASM by size', aead: loadWasmAead },
  { name: 'sodium-native', aead: loadSodium },
];

const bareOf = (subject: string): string => `${subject}, bare`;

export const p2pkeMachine: Bench = {
  name: 'p2pke-machine',
  question: 'P2PKE without a network, both ends in one thread, against its bare cipher and its bare signatures',
  prepare: () => {
    const pairs = new Map<string, Lazy<Pair>>();
    for (const { name, aead } of CIPHERS) {
      for (const bytes of [64, 1000, 1200, 16_384]) {
        pairs.set(`${bytes} B, ${name}`, new Lazy(async () => dataPair((await aead())!, bytes)));
      }
    }
    pairs.set('handshake, both ends', new Lazy(handshakePair));
    const subjects = [...pairs.keys()];
    return {
      measures: [...pairs].flatMap(([name, pair]) => {
        const missing = name.endsWith('sodium-native') ? sodiumMissing : undefined;
        return [
          {
            name,
            unit: name.startsWith('handshake') ? '/s' : 'messages/s',
            missing,
            round: async () => round((await pair.get()).channel),
          },
          { name: bareOf(name), unit: '/s', missing, round: async () => round((await pair.get()).bare) },
        ];
      }),
      claims: subjects.map((subject) => ({
        subject,
        baseline: bareOf(subject),
        // What the handshake adds to its keys and signatures may cost as much again.
        goal: subject.startsWith('handshake') ? { ratio: 0.5 } : undefined,
      })),
      controls: subjects.map((subject) => ({
        what: `${subject}: not faster than what it is made of`,
        of: subject,
        needs: [subject, bareOf(subject)],
        holds: (figures) => median(figures.get(subject)!) <= 1.05 * median(figures.get(bareOf(subject))!),
      })),
    };
  },
};
