/** A whole node in the lab, which does what it is told. Argument: its setup as JSON. */

import { createInterface } from 'node:readline';
import { encodeText } from '../../src/base/bytes.ts';
import { parsePeerId, type PeerId } from '../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import { observing, punching } from '../../src/nat/index.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { openPeers, type PeersOptions } from '../../src/peers/index.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { quic } from '../../src/swarms/quic/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { foreignMapper } from '../support/foreign-mapper.ts';
import { foreignPuncher } from '../support/foreign-puncher.ts';
import { ForeignRelaySwarm } from '../support/foreign-relay.ts';
import { pause } from './pause.ts';
import type { Asked, PeersLine, PeersOrder, PeersSetup } from './peers-scenario.ts';
import { report } from './report-line.ts';

const setup = JSON.parse(process.argv[2]!) as PeersSetup;
const privateKey = testKey(setup.seed);
const self = peerIdOfKey(privateKey.publicKey);
const say = (line: PeersLine): void => report(line);

/** Transports and a mapper of somebody else. */
async function foreignParts(): Promise<Partial<PeersOptions>> {
  const { relay, observer, forwarded } = setup.foreign ?? {};
  const portMapping = forwarded === undefined ? {} : { portMapping: foreignMapper(new Map([forwarded])) };
  if (relay === undefined || observer === undefined) return portMapping;
  const udp = { bind: '0.0.0.0:0', maxDatagramBytes: 1452 } as const;
  const below = await openUdpSwarm(udp);
  const overRelay = quic(new ForeignRelaySwarm(below, below.parseAddr(relay), self), { privateKey });
  const network = punching(systemNetwork);
  const holes = observing(await openUdpSwarm({ ...udp, network }));
  const observe = async () => (await holes.observe(observer)).mapped;
  const puncher = foreignPuncher(network, holes.addr.port, systemRealm, observe);
  return {
    ...portMapping,
    relays: false,
    transports: [
      { name: 'hole', swarm: quic(holes, { privateKey }), isReliable: true, puncher },
      { name: 'foreign', swarm: overRelay, isReliable: true, kind: 'relay' },
    ],
  };
}

const peers = await openPeers({ minPeers: 0, ...setup.options, ...(await foreignParts()), privateKey });
peers.serve(({ payload }) => payload);

async function watchOwn(): Promise<void> {
  for await (const change of peers.changes()) {
    if (change.type === 'relay' && change.state === 'reserved') say({ event: 'reserved' });
    if (change.type === 'addrs') say({ event: 'mapped', addrs: change.addrs });
  }
}

const isDirect = (id: PeerId): boolean => {
  const kind = peers.list().find((each) => each.id === id)?.path?.kind;
  return kind !== undefined && kind !== 'relay';
};

/** Tells a peer something now and then, until there is a path without a relay, and how long that took. */
async function directAt(id: PeerId, waitMs: number): Promise<number | undefined> {
  const startMs = performance.now();
  for (let turn = 0; performance.now() - startMs < waitMs; turn++) {
    if (isDirect(id)) return performance.now() - startMs;
    if (turn % 100 === 99) void peers.tell(id, encodeText('still here')).catch(() => undefined);
    await pause(10);
  }
  return undefined;
}

async function ask({ id: text, waitMs, addrs = [] }: PeersOrder & { readonly order: 'ask' }): Promise<Asked> {
  const id = parsePeerId(text);
  for (const addr of addrs)
    peers.add({ id, addr, source: 'lab', trust: 'given', seenMs: Date.now(), expiresMs: Infinity });
  const startMs = performance.now();
  const direct = directAt(id, waitMs);
  const first = await peers.ask(id, encodeText('hello'), { timeoutMs: waitMs }).then(
    () => ({ firstMs: Math.round(performance.now() - startMs) }),
    () => ({}),
  );
  const directMs = await direct;
  const { info, text: explained } = peers.explain(id);
  return {
    ...first,
    ...(directMs === undefined ? {} : { directMs: Math.round(directMs) }),
    ...(info?.path === undefined ? {} : { path: info.path }),
    text: explained,
  };
}

void watchOwn();
say({ event: 'up', id: self, addrs: peers.addrs });
for (const helper of setup.helpers ?? []) peers.maintain(parsePeerId(helper));
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as PeersOrder;
  if (order.order === 'ask') say({ event: 'asked', ...(await ask(order)) });
  else peers.drop(parsePeerId(order.id));
}
process.exit(0);
