/** Two peers behind NATs, a relay and helpers in virtual time, and what becomes of them. */

import { encodeText } from '../../src/base/bytes.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { VirtualHost, VirtualNatOptions } from '../../src/net/virtual/types.ts';
import type { PathInfo, PeerChange, Peers, PeersOptions } from '../../src/peers/index.ts';
import type { LinkConfig } from '../../src/net/memory/links.ts';
import { PeersWorld, watch } from './peers-world.ts';

export const PAYLOAD: Uint8Array = encodeText('hello');

/** How a pair is made. */
export interface MeetOptions {
  readonly seed?: number;
  /** Of the link of each of the two. */
  readonly link?: LinkConfig;
  readonly nat?: VirtualNatOptions;
  readonly peers?: Partial<PeersOptions>;
  /** Where the two are; a NAT of its kind each, unless it is given. */
  readonly place?: (w: PeersWorld, kind: NatKind, i: number) => VirtualHost;
}

export interface Meeting {
  readonly w: PeersWorld;
  readonly alice: Peers;
  readonly bob: Peers;
  readonly helpers: readonly Peers[];
}

/** A relay and two helpers with public addresses, and two nodes that know them, and of each other only the PeerID. */
export async function meet(a: NatKind, b: NatKind, options: MeetOptions = {}): Promise<Meeting> {
  const { seed = 1, link, nat, peers, place } = options;
  const w = new PeersWorld({ latencyMs: 20, seed, ...(process.env['TR'] ? {} : { trace: undefined }) });
  const helpers: Peers[] = [];
  for (const i of [10, 11, 12]) {
    const host = w.net.host({ name: `helper${i}` });
    // Some firewalls let nothing but 443 out.
    helpers.push(await w.open(i, host, { serveRelay: i === 10, bind: `${host.ip}:${i === 10 ? 443 : 4000 + i}` }));
  }
  const behind = (kind: NatKind, i: number): VirtualHost =>
    place?.(w, kind, i) ?? w.net.host({ behind: w.net.nat(kind, nat), link });
  const alice = await w.open(0, behind(a, 0), peers);
  const bob = await w.open(1, behind(b, 1), peers);
  // Nobody knows where these two are.
  w.directory.addrs.delete(alice.id);
  w.directory.addrs.delete(bob.id);
  for (const node of [alice, bob]) {
    node.serve(({ payload }) => payload);
    for (const helper of helpers) node.maintain(helper.id);
  }
  const hasPlace = ({ reservations }: Peers): boolean => reservations.some(({ state }) => state === 'reserved');
  for (let ms = 0; ms < 60_000 && !(hasPlace(alice) && hasPlace(bob)); ms += 1000) await w.advance(1000);
  await w.advance(2000);
  return { w, alice, bob, helpers };
}

/** What came of a pair. */
export interface Outcome {
  /** From the ask to its answer. */
  readonly firstMs: number;
  /** From the ask to a direct path; `undefined` when there was none. */
  readonly directMs: number | undefined;
  readonly path: PathInfo | undefined;
  readonly text: string;
}

/** Asks once, and waits for the best path. */
export async function outcomeOf({ w, alice, bob }: Meeting, waitMs: number): Promise<Outcome> {
  const atMs = w.realm.nowMs();
  let directMs: number | undefined;
  const seen = watch(alice);
  const look = (change: PeerChange): void => {
    if (change.type !== 'connected' && change.type !== 'path') return;
    if (change.id === bob.id && change.path !== undefined && change.path.kind !== 'relay') {
      directMs ??= w.realm.nowMs() - atMs;
    }
  };
  await w.run(alice.ask(bob.id, PAYLOAD, { timeoutMs: 30_000 }));
  const firstMs = w.realm.nowMs() - atMs;
  const pathNow = (): PathInfo | undefined => alice.list().find(({ id }) => id === bob.id)?.path;
  // A path on which a packet was lost is in doubt, and the relay is used for a moment.
  for (let waited = 0; waited < waitMs && (directMs === undefined || pathNow()?.kind === 'relay'); waited += 100) {
    for (const change of seen.splice(0)) look(change);
    if (directMs === undefined || pathNow()?.kind === 'relay') await w.advance(100);
  }
  return { firstMs, directMs, path: pathNow(), text: alice.explain(bob.id).text };
}

/** All kinds of NATs. */
export const KINDS: readonly NatKind[] = [
  'open',
  'full',
  'address',
  'port',
  'sequential',
  'random',
  'udp-blocked',
  '443-only',
];

/** Whether theory knows a way without a relay. */
export function canBeDirect(a: NatKind, b: NatKind): boolean {
  const has = (...kinds: readonly NatKind[]): boolean => kinds.includes(a) || kinds.includes(b);
  // Nothing leaves but connections to port 443, and neither has such a port.
  if (has('443-only')) return false;
  // TCP is left, whose ports nobody guesses, and the filter of this kind is by port.
  if (has('udp-blocked')) return !has('random');
  // Random ports on one side are found, when those of the other do not depend on the destination.
  const hard = (kind: NatKind): boolean => kind === 'random' || kind === 'sequential';
  return !(has('random') && hard(a) && hard(b));
}
