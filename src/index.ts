/** `shoal`: the interface that all swarms implement, and functions that work with any swarm. */

export { type Accept, type AcceptPeer, type Side } from './core/accept.ts';
export { type Addr, type AddrOf, peerIdOf } from './core/addr.ts';
export { type AskOptions, type AskSwarm, canAsk } from './core/ask.ts';
export { type Candidate, type CandidateSource } from './core/candidate.ts';
export { type Counters, type DropReason } from './core/counters.ts';
export {
  type ErrorSide,
  type P2PErrorCode,
  type P2PErrorOptions,
  P2PError,
  P2P_ERROR_CODES,
  Refusal,
} from './core/errors.ts';
export { type Inspection, inspect } from './core/inspect.ts';
export { type AskHandler, type Message, type Request, type TellHandler } from './core/message.ts';
export { type PeerId, parsePeerId } from './core/peer-id.ts';
export { type Realm, type TraceEvent } from './core/realm.ts';
export { type PublicKey, type SecureAskSwarm, type SecureSwarm, isSecure } from './core/secure.ts';
export { type CallOptions, type Closed, type Swarm } from './core/swarm.ts';
export { type Bytes } from './base/bytes.ts';
export { type AskManyOptions, type AskResult, askMany } from './runtime/ask-many.ts';
export { type MessageIterator, type MessagesOptions, type Overflow, messages } from './runtime/messages.ts';
export { receiveOne } from './runtime/receive.ts';
export {
  type Backoff,
  type ExponentialBackoffOptions,
  type RetryOptions,
  constantBackoff,
  exponentialBackoff,
  retry,
} from './runtime/retry.ts';
export { systemRealm, withTrace } from './runtime/system-realm.ts';
