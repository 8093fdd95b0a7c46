/**
 * `shoal/discovery`: finds peers. Contains signed address records, a bounded store of them, and the exchange by which
 * peers pass on the records of other peers.
 *
 * @example
 * ```ts
 * const exchange = peerExchange(channels.open('peers'), { privateKey });
 * await exchange.exchange(bootstrapAddr);
 * const everybody = exchange.records;
 * ```
 */

export {
  CANDIDATE_FAULTS,
  type CandidateFault,
  candidateFaultOf,
  type CandidateOptions,
  type Candidates,
  type CandidateTrust,
  type FailedCandidate,
  type ReachedCandidate,
  type ReachedProof,
} from '../core/candidate.ts';
export { type ProbeClaim, type ProbeLimits, type ProbeRefusal, ProbeTargets } from '../net/probe-targets.ts';
export {
  type AttemptOutcome,
  type BootstrapPeer,
  type BootstrapResult,
  type RefusedCandidate,
  type SourceOutcome,
  type SourceState,
} from '../protocols/bootstrap/bootstrap.ts';
export { bootstrap, type BootstrapFrom, type BootstrapOptions, type BootstrapRun } from './bootstrap.ts';
export {
  contacts,
  type ContactsOptions,
  type ContactSource,
  type ResolveName,
  type SkippedContact,
} from './contacts.ts';
export {
  openPeerCache,
  type PeerCache,
  type PeerCacheFault,
  type PeerCacheFaultCode,
  type PeerCacheOptions,
} from './peer-cache.ts';
export { type CacheFormatFault } from './cache-format.ts';
export { type PeerCacheStore } from './cache-store.ts';
export { type CachedAddr, type CachedPeer } from './peer-scores.ts';
export { type PeerBookOptions } from './peer-book.ts';
export { type PeerExchange, type PeerExchangeOptions } from './exchange-options.ts';
export { openLan } from './lan.ts';
export { type Lan, type LanOptions } from './lan-options.ts';
export { peerExchange } from './peer-exchange.ts';
export {
  MAX_LIFETIME_MS,
  MAX_RECORD_ADDRS,
  MAX_RECORD_BYTES,
  type PeerRecord,
  type PeerRecordFields,
  type RecordFault,
  signPeerRecord,
  verifyPeerRecord,
} from './peer-record.ts';
export { type LanPeer } from '../protocols/beacon/lan-peers.ts';
