/** Endpoints in a memory realm, in virtual time. */

import assert from 'node:assert/strict';

import { P2PError } from '../../src/core/errors.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { encodeText } from '../../src/base/bytes.ts';
import {
  type QuicConnection,
  type Endpoint,
  endpoint,
  type EndpointOptions,
  type Qp2pMessage,
} from '../../src/endpoint/index.ts';
import type { NetemConfig, NetemPreset } from '../../src/protocols/netem/netem.ts';
import { createMemoryRealm, type MemoryAddr, type MemoryRealm } from '../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';

export type TestEndpoint = Endpoint<MemoryAddr>;
export type Qp2pTestEndpoint = Endpoint<MemoryAddr, Qp2pMessage>;
export type TestConnection = QuicConnection<MemoryAddr>;
export type TestOptions = EndpointOptions<MemoryAddr>;

export interface World {
  readonly realm: MemoryRealm<VirtualClock>;
  /** Another endpoint; its key is the one of its number. */
  readonly open: (options?: TestOptions) => TestEndpoint;
  /** The same as one of qp2p's. */
  readonly openQp2p: (options?: TestOptions) => Qp2pTestEndpoint;
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  readonly pass: (ms: number) => Promise<void>;
}

export function world(
  netem?: NetemConfig | NetemPreset,
  trace?: (event: TraceEvent) => void,
  clock?: VirtualClock,
): World {
  const options = { mtu: 1500, seed: 'endpoint', trace, ...(netem && { netem }) };
  const realm =
    clock === undefined
      ? createMemoryRealm({ ...options, clock: 'virtual' })
      : createMemoryRealm<VirtualClock>({ ...options, clock });
  let made = 0;
  return {
    realm,
    open: (options = {}) => {
      const key = testKey(made++);
      return endpoint(realm.swarm(), { privateKey: key, ...options });
    },
    openQp2p: (options = {}) => endpoint(realm.swarm(), { privateKey: testKey(made++), preset: 'qp2p', ...options }),
    run: (promise) => realm.clock.run(promise),
    pass: (ms) => realm.clock.advance(ms),
  };
}

export const bytes = (text: string): Uint8Array => encodeText(text);
export const drops = (of: Pick<TestEndpoint, 'counters'>, reason: string): number =>
  [...of.counters.drops].find(([name]) => name === reason)?.[1] ?? 0;

/** What a call rejected with, which must be a failure. */
export async function errorOf(promise: Promise<unknown>): Promise<P2PError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(P2PError.is(error), String(error));
  return error;
}

/** Two endpoints, and both ends of a connection between them. */
export async function pair(
  { open, run }: World,
  options: TestOptions = {},
  ofBob: TestOptions = options,
): Promise<{
  readonly alice: TestEndpoint;
  readonly bob: TestEndpoint;
  readonly there: TestConnection;
  readonly here: TestConnection;
}> {
  const alice = open(options);
  const bob = open(ofBob);
  const accepted = bob.connections();
  const here = await run(alice.connect(bob.addr));
  const there = (await run(accepted.next())).value!;
  await accepted.return();
  return { alice, bob, here, there };
}

/** Takes so many of what comes. */
export async function take<T>(feed: AsyncIterator<T, undefined>, count: number): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) {
    const { done, value } = await feed.next();
    if (done === true) break;
    all.push(value);
  }
  return all;
}

/** Answers every request with what it brought. */
export async function echo(of: TestEndpoint): Promise<void> {
  for await (const { payload, reply } of of.messages()) await reply?.finish(payload).catch(() => {});
}

/** The PeerID of the endpoint with this number, opened or not. */
export const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);

/** An address that nobody has any more. */
export function nowhere({ realm }: World): MemoryAddr {
  const gone = realm.swarm();
  const [addr] = gone.localAddrs();
  void gone.close();
  return addr!;
}
