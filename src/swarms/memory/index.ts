/**
 * `shoal/memory`: swarms in one process, and whole networks of them in virtual time.
 *
 * @example
 * ```ts
 * const realm = createMemoryRealm({ clock: 'virtual', seed: 1, netem: 'cellular' });
 * const [alice, bob] = [realm.swarm(), realm.swarm()];
 * bob.listen(({ payload }) => console.log(payload));
 * await alice.tell(bob.addr, Uint8Array.of(1, 2, 3));
 * await realm.clock.advance(100);
 * ```
 */

export { type MemoryAddr, memoryAddr } from '../../net/memory/address.ts';
export { type AddressedRealm, addressedRealm } from './addressed.ts';
export { dropFirstPairwise, dropFirstTuple } from './transforms.ts';
export { type MessageTransform } from '../../net/memory/router.ts';
export { type PacketEvent } from '../../net/packet-event.ts';
export { type LinkConfig } from '../../net/memory/links.ts';
export { type MemoryRealm, type MemoryRealmOptions, createMemoryRealm } from './realm.ts';
