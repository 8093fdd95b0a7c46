/** The SSH swarm as a user's compiler sees it. Checked by `tsc`; there is nothing to run. */

import { describe, it } from 'node:test';

import { type AddrOf, peerIdOf } from '../../src/core/addr.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { generateKey } from '../../src/identity/keys.ts';
import { openSshSwarm, type SshAddr, type SshSwarm } from '../../src/swarms/ssh/index.ts';
import type { TcpAddr } from '../../src/swarms/tcp/index.ts';
import { frag } from '../../src/wrappers/frag.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;
declare const elsewhere: TcpAddr;

/** Compiled, never called. */
export async function inference(): Promise<void> {
  const privateKey = generateKey();
  await using swarm = await openSshSwarm({ privateKey, accept: ({ addr }) => addr.fingerprint !== '', user: 'root' });
  yes<Equal<typeof swarm, SshSwarm>>();
  yes<Equal<AddrOf<typeof swarm>, SshAddr>>();
  const plain: SecureAskSwarm<SshAddr> = swarm;
  const [addr] = plain.localAddrs();
  void swarm.tell(addr!, new Uint8Array(1), { priority: 1, timeoutMs: 5 });
  void (await swarm.ask(addr!, new Uint8Array(1), { maxResponseBytes: 9 }));
  void peerIdOf(addr!);
  void frag(swarm).ask(addr!.text, new Uint8Array(1));
  // @ts-expect-error an address of another swarm
  void swarm.tell(elsewhere, new Uint8Array(1));
  // @ts-expect-error a key is needed
  void openSshSwarm({ bind: '127.0.0.1:0' });
  // @ts-expect-error SSH is the security
  void openSshSwarm({ privateKey, security: 'noise' });
}

describe('types of ssh', () => {
  it('compile as they should', () => {});
});
