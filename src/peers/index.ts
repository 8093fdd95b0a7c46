/**
 * `shoal/peers`: reaches peers by PeerID. It finds them, dials them over the best transport there is, keeps one connection with
 * each, and tells what happened. On it everything else stacks: it is an authenticated swarm with asks.
 *
 * @example
 * ```ts
 * await using peers = await openPeers({ privateKey, networkName: 'my-app', sources });
 * peers.serve(({ payload }) => payload);
 * const answer = await peers.ask(bobId, request);
 * ```
 */

export { type AttackSignal } from './attack-observations.ts';
export {
  type AttackEvent,
  type AttackSignalsOptions,
  type AttackThreshold,
  type BanDecision,
  banPolicy,
  type BanPolicyOptions,
} from './attack-signals.ts';
export {
  type BanEntry,
  type BanOptions,
  type ListChange,
  type ListEntry,
  type ListsOptions,
  type ListsData,
  type ListSubject,
  type ListsSnapshot,
  type ListVerdict,
  type PeerLists,
} from './lists.ts';
export { type PeerAddr } from './address.ts';
export { type PathInfo, type PeerChange, type PeerChanges } from './changes.ts';
export { checkConfig, ConfigError, type ConfigFault, type LanConfig, parseConfig, type PeersConfig } from './config.ts';
export { openPeersFromFile, type PeersFileOptions } from './from-file.ts';
export { openPeers } from './open-peers.ts';
export { type ConfigReader } from './watch-config.ts';
export { type PeersOptions, type PeersDhtOptions, type PeersRelayOptions, type TurnServer } from './options.ts';
export { type MeasuredPath, type PeerConnection, type PeerExplanation, type PeerInfo, type Peers } from './peers.ts';
export { type PeerKind } from '../protocols/peers/hello.ts';
export { type ExplainedCandidate, type ReachExplanation } from '../protocols/peers/reach/explain.ts';
export { type NetworkReport, type ReachReport, type ReportedAttempt } from '../protocols/peers/reach/report.ts';
export {
  type AddressScope,
  type AttemptRecord,
  type FailureReason,
  type ReachKind,
  type ReachPath,
  type ReachPolicy,
  type ReachRule,
  type RefusedCandidate,
} from '../protocols/peers/reach/types.ts';
export { type PeerStream } from './session-streams.ts';
export { type PeersTrackerOptions } from './trackers.ts';
export { type TransportOptions } from './transport.ts';
