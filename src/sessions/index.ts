/**
 * `shoal/sessions`: what one needs to write a swarm over connections with peers that have proven their keys. A transport makes
 * the connections; {@link ConnectionTable} keeps them by peer, and {@link sessionSwarm} makes the swarm over them. Our own swarms
 * over TCP and QUIC use nothing else.
 */

export {
  ACCEPT_TIMEOUT_MS,
  AcceptGate,
  type AcceptGateOptions,
  askUntilAborted,
  type PendingVerdict,
} from './accept-gate.ts';
export {
  ConnectionTable,
  type ConnectionTableOptions,
  MAX_CONNECTIONS_AT_ONCE,
  MAX_CONNECTIONS_PER_PEER,
  type PeerConnection,
  prefersNew,
  SIMULTANEOUS_MS,
  SURPLUS_IDLE_MS,
  type SurplusReason,
} from './connection-table.ts';
export { type Dial, DialTable, type DialWaiter, MAX_DIAL_WAITERS } from './dials.ts';
export { KnownPeers, MAX_KNOWN_PEERS } from './known-peers.ts';
export { type HolderHooks, MemoryBudget, MemoryHolder } from './memory-budget.ts';
export { splitPeerAddr } from './peer-addr.ts';
export { type KeyedAddr, type PeerSession, type PeerSessions, type SessionsHooks } from './peer-sessions.ts';
export { sessionSwarm, type SessionSwarmParts } from './session-swarm.ts';
