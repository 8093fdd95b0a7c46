/** The secure half of a memory swarm: all keys of a realm are known to all swarms. */

import { P2PError, closedError } from '../../core/errors.ts';
import { assertBytes, assertString, describeOption } from '../../base/checks.ts';
import type { AddrSecure } from '../../core/keep.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { CallOptions } from '../../core/swarm.ts';
import { rejection } from '../../runtime/promises.ts';
import { checkCall } from '../../runtime/waits.ts';
import { type MemoryAddr, assertMemoryAddr } from '../../net/memory/address.ts';
import type { MemoryRouter } from '../../net/memory/router.ts';
import type { MemorySwarm } from './swarm.ts';

/** @throws {TypeError} when `value` is not a public key. */
export function assertPublicKey(value: unknown): asserts value is PublicKey {
  if (typeof value !== 'object' || value === null || !('algorithm' in value) || !('spki' in value)) {
    throw new TypeError(
      `Cannot take publicKey: expected { algorithm, spki }, got ${describeOption('publicKey', value)}`,
    );
  }
  assertString(value.algorithm, 'publicKey.algorithm');
  assertBytes(value.spki, 'publicKey.spki');
}

/** Looks keys up in the realm. */
export class MemorySecure implements AddrSecure<MemoryAddr> {
  readonly publicKey: PublicKey;
  readonly #router: MemoryRouter<MemorySwarm>;
  readonly #swarm: MemorySwarm;

  constructor(router: MemoryRouter<MemorySwarm>, swarm: MemorySwarm, publicKey: PublicKey) {
    this.publicKey = publicKey;
    this.#router = router;
    this.#swarm = swarm;
    router.keys.set(swarm.own.text, publicKey);
  }

  readonly knownPublicKey = (addr: MemoryAddr): PublicKey | undefined => {
    assertMemoryAddr(addr);
    return this.#router.keys.get(addr.text);
  };

  readonly lookupPublicKey = (dst: MemoryAddr, options?: CallOptions): Promise<PublicKey> => {
    assertMemoryAddr(dst);
    checkCall(options);
    const what = `look up the key of ${dst.text}`;
    if (this.#swarm.localAddrs().length === 0) return rejection(closedError(what));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    if (!this.#router.has(dst)) {
      return rejection(
        new P2PError('unreachable', 'path', `Cannot ${what}: no swarm has that address`, { sent: 'no' }),
      );
    }
    const key = this.#router.keys.get(dst.text);
    if (key !== undefined) return Promise.resolve(key);
    return rejection(new P2PError('not_found', 'remote', `Cannot ${what}: that swarm has no key`, { sent: 'no' }));
  };
}
