/** Whole swarms, fed with hostile bytes from below in virtual time: nothing may throw, and nothing may grow. */

import type { Addr } from '../src/core/addr.ts';
import type { Swarm } from '../src/core/swarm.ts';
import { encodePart } from '../src/protocols/frag/part.ts';
import { encodePacket } from '../src/protocols/mbapp/header.ts';
import { channelKinds } from '../src/protocols/mux/channel-kinds.ts';
import { frag } from '../src/wrappers/frag.ts';
import { mbapp } from '../src/wrappers/mbapp/index.ts';
import { type MemoryAddr, createMemoryRealm } from '../src/swarms/memory/index.ts';
import { mux } from '../src/wrappers/mux.ts';
import { p2pke } from '../src/swarms/p2pke/index.ts';
import { loadQuicEngine, quic } from '../src/swarms/quic/index.ts';
import { testKey } from '../src/testing/test-key.ts';
import type { Target } from './decoders.ts';
import { p2pkeDatagrams } from './p2pke-datagrams.ts';

/** Virtual time between two turns: enough for what gives up after seconds to do so in a run. */
const SETTLE_MS = 100;

/** A swarm made by `wrap`, and somebody who sends it whatever comes to mind. */
function swarmTarget<A extends Addr>(
  name: string,
  seeds: readonly Uint8Array[],
  wrap: (inner: Swarm<MemoryAddr>) => Swarm<A>,
): Target {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const inner = realm.swarm();
  const [dst] = inner.localAddrs();
  const mallory = realm.swarm();
  wrap(inner).listen(() => undefined);
  return {
    name,
    seeds,
    feed: (input) => void mallory.tell(dst!, input),
    settle: () => realm.clock.advance(SETTLE_MS),
    oneIn: 20,
  };
}

/** What a QUIC swarm sends first to one that is not there. */
async function quicInitials(): Promise<readonly Uint8Array[]> {
  const initials: Uint8Array[] = [];
  const realm = createMemoryRealm({ clock: 'virtual' });
  const nobody = realm.swarm();
  nobody.listen(({ payload }) => void initials.push(payload));
  const [client, other] = [1, 2].map((i) => quic(realm.swarm(), { privateKey: testKey(i) }));
  const dst = client!.parseAddr(`${other!.addr.id}@${nobody.addr.text}`);
  void client!.tell(dst, Uint8Array.of(1));
  await realm.clock.advance(1000);
  await realm.clock.run(Promise.all([client!.close(), other!.close()]));
  return initials;
}

const header = { kind: 'request', code: 0, origin: 5, counter: 7, sizeBytes: 40, parts: 2, timeoutMs: 1000 } as const;

/** @returns the swarms; the QUIC engine is loaded first. */
export async function swarmTargets(): Promise<readonly Target[]> {
  await loadQuicEngine();
  const parts = [0, 1].map((part) => encodePart(7, part, 3, new Uint8Array(20)));
  const packets = [0, 1].map((part) => encodePacket(header, part, new Uint8Array(20)));
  const privateKey = testKey(0);
  return [
    swarmTarget('frag swarm', parts, (inner) => frag(inner)),
    swarmTarget('mux swarm', [channelKinds.string.encode('chat')], (inner) => mux(inner, 'string').open('chat')),
    swarmTarget('mbapp swarm', packets, (inner) => mbapp(inner)),
    swarmTarget('p2pke swarm', p2pkeDatagrams(), (inner) => p2pke(inner, { privateKey })),
    swarmTarget('quic swarm', await quicInitials(), (inner) => quic(inner, { privateKey })),
  ];
}
