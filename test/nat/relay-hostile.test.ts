/** A relay that does with datagrams what it likes: what the peers accept is what the peers have sent, under p2pke and under QUIC. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, decodeText, encodeText } from '../../src/base/bytes.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import { relaySwarm, type RelayAddr } from '../../src/nat/index.ts';
import type { MemoryAddr } from '../../src/net/memory/address.ts';
import {
  bytesOfPeerId,
  decodeRelayRequest,
  encodeReserved,
  encodeSend,
  turnIntoReceived,
} from '../../src/protocols/relay/messages.ts';
import { encodePeerId } from '../../src/core/peer-id.ts';
import { p2pke, type P2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { loadQuicEngine, quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, RELAY_KEY, relayWorld } from '../support/relay-world.ts';

type A = P2pkeAddr<MemoryAddr>;

interface Passing {
  readonly from: PeerId;
  readonly to: PeerId;
  readonly datagram: Bytes;
}

/** Delivers a datagram to its `to`, as from its `from`. */
type Deliver = (passing: Passing) => void;

/** Everything that can be done with datagrams that nobody can open. */
const DEEDS = [
  'flips',
  'replays',
  'reorders',
  'duplicates',
  'drops',
  'swaps senders',
  'cuts',
  'invents',
  'sends back',
] as const;
type Deed = (typeof DEEDS)[number];

/** A relay that does a deed to one datagram of three, and passes the others on. */
function hostileRelay(relay: SecureSwarm<A>, deed: Deed, deeds: { count: number }): void {
  const addrs = new Map<PeerId, A>();
  const random = createSeededRandom(7);
  const seen: Passing[] = [];
  let late: Passing | undefined;
  const deliver: Deliver = ({ from, to, datagram }) => {
    const addr = addrs.get(to);
    const message = turnIntoReceived(encodeSend(1, bytesOfPeerId(to), datagram), 1, bytesOfPeerId(from));
    if (addr !== undefined) relay.tell(addr, message).catch(() => undefined);
  };
  relay.listen(({ src, payload }) => {
    addrs.set(src.id, src);
    const { message } = decodeRelayRequest(payload);
    if (typeof message === 'string') return;
    if (message.type === 'reserve') {
      const grant = { lifetimeS: 3600, bytesPerSecond: Infinity, mtu: 1232, observed: undefined };
      relay.tell(src, encodeReserved(1, message.token, grant)).catch(() => undefined);
    }
    if (message.type !== 'send') return;
    const passing = { from: src.id, to: encodePeerId(message.to), datagram: message.datagram.slice() };
    seen.push(passing);
    if (seen.length > 200) seen.shift();
    if (random.bytes(1)[0]! >= 85) {
      deliver(passing);
      return;
    }
    deeds.count++;
    const any = seen[random.bytes(1)[0]! % seen.length]!;
    const other = passing.from === idOf(1) ? idOf(3) : idOf(1);
    const garbage = random.bytes(40 + random.bytes(1)[0]!);
    switch (deed) {
      case 'flips': {
        const flipped = passing.datagram.slice();
        flipped[random.bytes(1)[0]! % flipped.length]! ^= 1 + (random.bytes(1)[0]! % 255);
        deliver({ ...passing, datagram: flipped });
        break;
      }
      case 'replays':
        deliver(passing);
        for (let i = 0; i < 3; i++) deliver({ ...any, datagram: any.datagram.slice() });
        break;
      case 'reorders':
        if (late !== undefined) deliver(late);
        late = passing;
        break;
      case 'duplicates':
        for (let i = 0; i < 3; i++) deliver(passing);
        break;
      case 'drops':
        break;
      case 'swaps senders':
        deliver({ ...passing, from: other });
        deliver(passing);
        break;
      case 'cuts':
        deliver({ ...passing, datagram: passing.datagram.slice(0, passing.datagram.length >> 1) });
        break;
      case 'invents':
        deliver({ ...passing, datagram: garbage });
        deliver(passing);
        break;
      case 'sends back':
        deliver({ from: passing.to, to: passing.from, datagram: passing.datagram.slice() });
        deliver(passing);
        break;
    }
  });
}

const COUNT = 150;
type Sealed = SecureSwarm<P2pkeAddr<RelayAddr<A>>> & { readonly ask?: ReturnType<typeof quic>['ask'] };

describe('a hostile relay', () => {
  for (const kind of ['p2pke', 'quic'] as const) {
    for (const deed of DEEDS) {
      it(`that ${deed} makes no peer over ${kind} accept anything that its peer has not sent, or accept it twice`, async () => {
        await loadQuicEngine();
        const { run, inner, realm } = relayWorld();
        const relay = inner(RELAY_KEY);
        const deeds = { count: 0 };
        hostileRelay(relay, deed, deeds);
        const peers = await Promise.all(
          [1, 2, 3].map(async (i) => {
            const swarm = relaySwarm(inner(i));
            await run(swarm.reserve(relay.addr));
            const privateKey = testKey(i);
            return (kind === 'p2pke' ? p2pke(swarm, { privateKey }) : quic(swarm, { privateKey })) as unknown as Sealed;
          }),
        );
        const [alice, bob, carol] = peers as [Sealed, Sealed, Sealed];
        const heard: string[] = [];
        for (const [i, peer] of peers.entries()) {
          peer.listen(({ src, payload }) => {
            const text = decodeText(payload) ?? 'no text';
            heard.push(text);
            const [from, to] = text.split(' ');
            assert.equal(src.id, { alice: idOf(1), bob: idOf(2), carol: idOf(3) }[from!], text);
            assert.equal(to, ['alice', 'bob', 'carol'][i], text);
          });
        }
        const sent = new Set<string>();
        const say = (from: Sealed, to: Sealed, text: string): void => {
          sent.add(text);
          from.tell(to.addr, encodeText(text)).catch(() => undefined);
        };
        for (let i = 0; i < COUNT; i++) {
          say(alice, bob, `alice bob ${i}`);
          say(bob, alice, `bob alice ${i}`);
          say(carol, bob, `carol bob ${i}`);
          await realm.clock.advance(50);
        }
        await realm.clock.advance(10_000);
        assert.ok(deeds.count > 50, `${deeds.count} deeds`);
        assert.equal(new Set(heard).size, heard.length, 'nothing twice');
        for (const text of heard) assert.ok(sent.has(text), `"${text}" was sent`);
        // QUIC makes good what was lost; of datagrams a part arrives.
        assert.ok(
          kind === 'quic' ? heard.length === 3 * COUNT : heard.length > COUNT,
          `${heard.length} of ${3 * COUNT}`,
        );
        await run(Promise.all(peers.map((peer) => peer.close())));
      });
    }
  }
});
