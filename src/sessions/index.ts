/**
 * `shoal/sessions`: the parts for writing a swarm over authenticated connections. A transport makes the connections;
 * {@link ConnectionTable} stores them by peer, and {@link sessionSwarm} makes the swarm. The TCP and QUIC swarms of
 * this package are built from the same parts.
 */

export { type Recheckable } from '../core/accept.ts';
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
  type PeerConnection,
  SURPLUS_IDLE_MS,
  type SurplusReason,
} from './connection-table.ts';
export { connectionsOf, type PeerConnections } from './connections.ts';
export { Deliveries, type DeliveriesOwner, type DeliveringMachine } from './deliveries.ts';
export { type Dial, DialTable, type DialWaiter } from './dials.ts';
export { DropTrace } from './drop-trace.ts';
export { KnownPeers } from './known-peers.ts';
export { type HolderHooks, MemoryBudget, MemoryHolder } from './memory-budget.ts';
export { splitPeerAddr } from './peer-addr.ts';
export { type KeyedAddr, type PeerSession, type PeerSessions, type SessionsHooks } from './peer-sessions.ts';
export { sessionSwarm, type SessionSwarmParts } from './session-swarm.ts';
