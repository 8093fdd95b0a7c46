/** The TCP swarm and Noise as a user's compiler sees them. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';

import { type AddrOf, peerIdOf } from '../../src/core/addr.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { generateKey } from '../../src/identity/keys.ts';
import { createNode, noise } from '../../src/node/index.ts';
import type { NoiseResult } from '../../src/protocols/noise/index.ts';
import { frag } from '../../src/wrappers/frag.ts';
import { openTcpSwarm, type TcpAddr, type TcpSwarm } from '../../src/swarms/tcp/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;
declare const result: NoiseResult;

/** Compiled, never called. */
export async function inference(): Promise<void> {
  const privateKey = generateKey();
  await using swarm = await openTcpSwarm({ privateKey, accept: ({ addr }) => addr.inner.port > 1024 });
  yes<Equal<typeof swarm, TcpSwarm>>();
  yes<Equal<AddrOf<typeof swarm>, TcpAddr>>();
  const plain: SecureAskSwarm<TcpAddr> = swarm;
  const [addr] = plain.localAddrs();
  void swarm.tell(addr!, new Uint8Array(1), { priority: 1, timeoutMs: 5 });
  void (await swarm.ask(addr!, new Uint8Array(1), { priority: -0.5, maxResponseBytes: 9 }));
  void peerIdOf(addr!);
  // Wrappers keep what it can do.
  void frag(swarm).ask(addr!, new Uint8Array(1));
  // @ts-expect-error a key is needed
  void openTcpSwarm({ bind: '127.0.0.1:0' });
  void swarm.tell(addr!.text, new Uint8Array(1));
  void swarm.ask(swarm.addr, new Uint8Array(1));
  yes<Equal<ReturnType<typeof swarm.tryParseAddr>, TcpAddr | undefined>>();
  // @ts-expect-error there is no other
  void openTcpSwarm({ privateKey, security: 'plain' });

  void createNode({ security: noise({ pattern: 'XX', privateKey }), accept: ({ addr, side }) => addr.text !== side });
  // @ts-expect-error NN authenticates nobody
  noise({ pattern: 'NN' });
  // @ts-expect-error bytes only after a look at ok
  void result.bytes;
  if (result.ok) void result.bytes.length;
  else yes<Equal<typeof result.fault extends string ? true : false, true>>();
}

describe('types of tcp and noise', () => {
  it('compile as they should', () => {});
});
