/**
 * `shoal/kademlia`: a distributed hash table over any swarm that authenticates and can ask, and the parts of go-p2p's
 * package of the same name: distances and the bucket cache.
 *
 * @example
 * ```ts
 * await using dht = await openDht(swarm, { networkName: 'my-app', privateKey, bootstrap: [seed] });
 * await dht.ready;
 * await dht.put(encodeText('color'), encodeText('blue'));
 * const { value } = await dht.get(encodeText('color'));
 * ```
 */

export {
  compareDistances,
  distance,
  distanceLeadingZeros,
  hasBitPrefix,
  isCloser,
  isFarther,
  leadingZeros,
  xorBytes,
} from '../../protocols/kademlia/distance.ts';
export { BucketCache, type CacheChange, type CacheEntry } from '../../protocols/kademlia/bucket-cache.ts';
export { openDht } from './open-dht.ts';
export { type DhtKind, type DhtOptions } from './options.ts';
export { type DhtPeer, type LookupExplanation } from './explain.ts';
export {
  type Dht,
  type DhtContact,
  type DhtFound,
  type DhtInspection,
  type DhtJoined,
  type DhtRecordsFound,
  type DhtStored,
  type DhtStoreOptions,
  type DhtValue,
} from './dht.ts';
export { type LookupEnd } from '../../protocols/kademlia/lookup.ts';
export { RECORD_VERDICTS, type RecordVerdict } from '../../protocols/kademlia/messages.ts';
