/** How a P2PKE swarm is made. */

import type { Accept } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import { assertFunction, describeOption, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { ImportAeadKey } from '../../crypto/suite.ts';
import type { KeyRegistry, Signer } from '../../identity/key-algorithm.ts';
import { type Fingerprint, fingerprints, peerIdOfKey } from '../../identity/fingerprints.ts';
import { type PendingLimits, assertPendingLimits } from '../../swarm-kit/pending-budget.ts';
import type { WrapOptions } from '../../swarm-kit/swarm-over.ts';
import {
  type ChannelLimits,
  type ResolvedChannelLimits,
  resolveChannelLimits,
} from '../../protocols/p2pke/channel-options.ts';
import { HANDSHAKE_GATE_LIMITS, type HandshakeGateLimits } from '../../protocols/p2pke/handshake-gate.ts';
import { type P2pkeIdentity, createP2pkeIdentity } from '../../protocols/p2pke/identity.ts';
import type { P2pkeAddr } from './address.ts';

/** Times, budgets and bounds. */
export interface P2pkeLimits extends ChannelLimits, HandshakeGateLimits {
  /**
   * Peers with whom there are sessions or handshakes, each in 6 KB. An eighth is a reserve for peers that are called from
   * here, or have been. A new one takes the place of the oldest of a source (/24, /64) that holds more than its share, or of
   * one that has been idle for 15 s. @default 4096, as many as QUIC swarms have connections
   */
  readonly maxChannels?: number | undefined;
  /** Keys at one inner address: of a peer that returned with another key, or of forged hellos. @default 4 */
  readonly maxChannelsPerAddr?: number | undefined;
  /** Peers that have sent a hello and not proven their key; a new one replaces the oldest. @default 1024 */
  readonly maxHalfOpen?: number | undefined;
  /** Tells to one peer that wait for its handshake. @default 1024 */
  readonly maxWaitingMessagesPerPeer?: number | undefined;
  /** Bytes of those. @default 4 194 304 (4 MiB) */
  readonly maxWaitingBytesPerPeer?: number | undefined;
  /**
   * Tells to all peers that wait for handshakes. Those to peers that have only called us get half of it, and an eighth for each
   * source (/24, /64). @default 16 384
   */
  readonly maxWaitingMessages?: number | undefined;
  /** Bytes of those, with the same shares. @default 16 777 216 (16 MiB) */
  readonly maxWaitingBytes?: number | undefined;
  /** Peers whose key and last hello are remembered when their sessions have ended, each in 300 bytes. @default 8192 */
  readonly maxRememberedPeers?: number | undefined;
}

/** What `p2pke(inner, …)` needs and takes. Pending handlers are bounded by `maxPendingMessages` and `maxPendingBytes`. */
export interface P2pkeOptions<I extends Addr> extends WrapOptions, PendingLimits {
  /** This node's key: of `generateKey` or `importKey`, or another signer such as a hardware key. */
  readonly privateKey: Signer;
  /**
   * Whether a peer may talk, dialled or dialling; see {@link Accept}. Asked once for each session, at a hello whose signature is right (the
   * peer is the initiator) or at a reply that has proven its key (the responder). The key of an initiator has signed a time,
   * but not yet this handshake: the hello may be a replay of a recorded one, so do not count it as a visit of
   * its owner. Copies cannot complete a handshake. The protocol has no message for a refusal: a refused peer sees `timeout`; a tell
   * of this side to a peer that it refuses itself rejects with `refused`. @default every peer
   */
  readonly accept?: Accept<P2pkeAddr<I>> | undefined;
  /** How keys become PeerIDs. @default fingerprints.shake256, as everywhere in shoal and in go-p2p's p2pkeswarm */
  readonly fingerprint?: Fingerprint | undefined;
  /** How long in ms a tell or a look-up waits for the peer's handshake. @default 10000 */
  readonly timeoutMs?: number | undefined;
  readonly limits?: P2pkeLimits | undefined;
  /** Algorithms of keys that peers may have. @default Ed25519 only, as in go-p2p */
  readonly registry?: KeyRegistry | undefined;
  /**
   * The cipher: `loadWasmAead()` of `shoal/wasm-aead` loads one that is faster for small messages and needs nothing installed,
   * `loadSodiumAead()` of `shoal/sodium` one that is faster for large ones, too. @default the built-in ChaCha20-Poly1305
   */
  readonly aead?: ImportAeadKey | undefined;
}

/** The limits that are counts, with their defaults. */
const COUNTS = {
  maxChannels: 4096,
  maxChannelsPerAddr: 4,
  maxHalfOpen: 1024,
  maxWaitingMessagesPerPeer: 1024,
  maxWaitingBytesPerPeer: 4_194_304,
  maxWaitingMessages: 16_384,
  maxWaitingBytes: 16_777_216,
  maxRememberedPeers: 8192,
} as const;

type Count = keyof typeof COUNTS;

/** {@link P2pkeOptions} with nothing left open. */
export interface ResolvedP2pke<I extends Addr> {
  readonly identity: P2pkeIdentity;
  readonly id: PeerId;
  readonly idOf: (key: PublicKey) => PeerId;
  readonly accept: P2pkeOptions<I>['accept'];
  readonly timeoutMs: number;
  readonly pending: { readonly maxPendingMessages: number; readonly maxPendingBytes: number };
  readonly channel: ResolvedChannelLimits;
  readonly gate: HandshakeGateLimits;
  readonly counts: Readonly<Record<Count, number>>;
  /** All numbers, for `inspect`. */
  readonly limits: Readonly<Record<string, number>>;
}

/** @throws {TypeError | RangeError} for wrong options. */
export function resolveP2pke<I extends Addr>(realm: Realm, options: P2pkeOptions<I>): ResolvedP2pke<I> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected { privateKey, … }, got ${describeOption('options', options)}`);
  }
  const { accept, fingerprint = fingerprints.shake256, limits = {} } = options;
  if (accept !== undefined) assertFunction(accept, 'accept');
  assertFunction(fingerprint, 'fingerprint');
  if (typeof limits !== 'object' || limits === null) {
    throw new TypeError(`Cannot take limits: expected an object, got ${describeValue(limits)}`);
  }
  const identity = createP2pkeIdentity({
    privateKey: options.privateKey,
    random: (length) => realm.random(length),
    registry: options.registry,
    aead: options.aead,
  });
  const count = (name: Count): number => wholeNumber(limits[name], name, COUNTS[name], 1, Number.MAX_SAFE_INTEGER);
  const counts: Record<Count, number> = { ...COUNTS };
  for (const name of Object.keys(COUNTS) as Count[]) counts[name] = count(name);
  const timeoutMs = quantity(options.timeoutMs, 'timeoutMs', 10_000, 0, Infinity);
  const channel = resolveChannelLimits(limits);
  const pending = assertPendingLimits(options);
  const gate = {
    hellosPerSecond: limits.hellosPerSecond ?? HANDSHAKE_GATE_LIMITS.hellosPerSecond,
    provenHellosPerSecond: limits.provenHellosPerSecond ?? HANDSHAKE_GATE_LIMITS.provenHellosPerSecond,
    hellosPerSourcePerSecond: limits.hellosPerSourcePerSecond ?? HANDSHAKE_GATE_LIMITS.hellosPerSourcePerSecond,
    maxSources: limits.maxSources ?? HANDSHAKE_GATE_LIMITS.maxSources,
  };
  return {
    identity,
    id: peerIdOfKey(identity.publicKey, fingerprint),
    idOf: (key) => peerIdOfKey(key, fingerprint),
    accept,
    timeoutMs,
    pending,
    channel,
    gate,
    counts,
    limits: { timeoutMs, ...pending, ...channel, ...gate, ...counts },
  };
}
