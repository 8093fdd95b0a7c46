/** `shoal`: the vocabulary that everything else speaks. */

export {
  type Addr,
  type AddrOf,
  type IpAddr,
  type NestedAddr,
  expandUnspecified,
  filterAddrs,
  ipOf,
  isGlobal,
  isLinkLocal,
  isLoopback,
  isPrivate,
  isUnspecified,
  mapAddr,
  peerIdOf,
  portOf,
  unwrapAddr,
  withIp,
} from './core/addr.ts';
export { type AskOptions, type AskSwarm, type Asks, DEFAULT_ASK_TIMEOUT_MS, canAsk } from './core/ask.ts';
export { type AskManyOptions, type AskResult, askMany } from './runtime/ask-many.ts';
export {
  type Bytes,
  EMPTY_BYTES,
  compareBytes,
  concatBytes,
  copyBytes,
  decodeText,
  encodeText,
  equalBytes,
  fromHex,
  toHex,
} from './base/bytes.ts';
export { type CoreDrop, type Counters, type DropReason } from './core/counters.ts';
export { type Inspection, inspect } from './core/inspect.ts';
export {
  type ErrorSide,
  type P2PErrorCode,
  type P2PErrorOptions,
  P2PError,
  P2P_ERROR_CODES,
  Refusal,
} from './core/errors.ts';
export { type AddrMap, type Common, type Like } from './core/keep.ts';
export { type Endpoint, canonicalIp, formatEndpoint, ipVersion, parseEndpoint } from './base/ip.ts';
export { type AskHandler, type Message, type Request, type TellHandler } from './core/message.ts';
export { type MessageIterator, type MessagesOptions, type Overflow, messages } from './runtime/messages.ts';
export {
  type PeerId,
  PEER_ID_BYTES,
  PEER_ID_CHARACTERS,
  comparePeerIds,
  decodePeerId,
  encodePeerId,
  isPeerId,
  parsePeerId,
} from './core/peer-id.ts';
export { type Priority, DEFAULT_PRIORITY, comparePriority } from './core/priority.ts';
export {
  type Clock,
  type ClockedRealm,
  type Realm,
  type Timer,
  type TimerOptions,
  type TraceEvent,
} from './core/realm.ts';
export { type PublicKey, type Secure, type SecureAskSwarm, type SecureSwarm, isSecure } from './core/secure.ts';
export { type CallOptions, type Closed, type Swarm } from './core/swarm.ts';
export {
  type Varint,
  MAX_VARINT_BYTES,
  encodeVarint,
  encodeVarint64,
  readVarint,
  readVarint64,
  varintLength,
  writeVarint,
} from './base/varint.ts';
export {
  type Backoff,
  type ExponentialBackoffOptions,
  type RetryOptions,
  constantBackoff,
  exponentialBackoff,
  linearBackoff,
  maxBackoff,
  minBackoff,
  retry,
} from './runtime/retry.ts';
export { discardAsks, discardTells, receiveOne } from './runtime/receive.ts';
export { systemRealm, withTrace } from './runtime/system-realm.ts';
