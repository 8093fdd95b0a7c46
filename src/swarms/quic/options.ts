/** How a QUIC swarm is made. */

import type { Accept } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import { assertFunction, describeOption, describeValue, wholeNumber } from '../../base/checks.ts';
import type { Message } from '../../core/message.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { PublicKey } from '../../core/secure.ts';
import { type Fingerprint, fingerprints, peerIdOfKey } from '../../identity/fingerprints.ts';
import type { PrivateKey } from '../../identity/private-key.ts';
import { PendingBudget, type PendingLimits } from '../../swarm-kit/pending-budget.ts';
import type { QuicTransportOptions } from '../../protocols/quic/settings.ts';
import type { QuicAddr } from './address.ts';

/** What `quic(inner, …)` needs and takes. */
export interface QuicSwarmOptions<I extends Addr> extends PendingLimits, QuicTransportOptions {
  /** This node's key. The swarm makes a certificate for it. */
  readonly privateKey: PrivateKey;
  /**
   * Whether a peer may talk, dialled or dialling: asked once for each connection, after the peer has proven its key and before
   * anything of it is delivered. Until the yes the peer can open no stream, so its first message takes a round trip more. A promise is
   * waited for, up to 5 s. Anything but `true` is a no, counted as
   * `quic.not_accepted`, and a fault of the predicate as `handler_error` too. The handshake is over on the initiator's side before
   * the responder judges. `recheck()` asks again. @default every peer
   */
  readonly accept?: Accept<QuicAddr<I>> | undefined;
  /** The largest tell, request and answer that is sent and taken. @default 1 MiB */
  readonly maxMessageBytes?: number | undefined;
  /**
   * What all peers together may make the swarm hold, in bytes: receive windows beyond 8 KiB for each, unfinished messages, and
   * messages in handlers, of which each peer may have one in any case. At three times as much the connection is closed that holds most of unfinished messages. @default 16 MiB
   */
  readonly maxSwarmBytes?: number | undefined;
  /** How keys become PeerIDs. @default fingerprints.shake256, as everywhere in shoal */
  readonly fingerprint?: Fingerprint | undefined;
  /** `go-p2p`: the fingerprint of go-p2p's quicswarm (SHA3-256). The wire is the same. @default none */
  readonly preset?: 'go-p2p' | undefined;
  /**
   * Sends tells that fit as QUIC datagrams: one packet less to wait for, and no retransmission of lost ones.
   * For peers that are shoal too: go-p2p drops datagrams. They are always taken. @default false
   */
  readonly datagramTells?: boolean | undefined;
  /** Gets what comes on the swarm below and is not QUIC: STUN, hole punching. @default counted as `quic.not_quic` */
  readonly onOther?: ((message: Message<I>) => void) | undefined;
  /** Gets TLS secrets as lines in NSS key log format. @default none are made */
  readonly onKeyLog?: ((line: string) => void) | undefined;
  /** Connections at a time. @default 4096 */
  readonly maxConnections?: number | undefined;
  /** When a client must prove its address first. @default 'under_load' */
  readonly addressValidation?: 'never' | 'under_load' | 'always' | undefined;
  /** How long a dial may take. @default 10_000 */
  readonly handshakeTimeoutMs?: number | undefined;
  /** Leaves the swarm below open when this one closes. @default false */
  readonly keepInner?: boolean | undefined;
}

/** Options with nothing left open, as far as the swarm needs them. */
export interface ResolvedOptions<I extends Addr> {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  readonly peerIdOf: (key: PublicKey) => PeerId;
  readonly accept: QuicSwarmOptions<I>['accept'];
  readonly maxMessageBytes: number;
  readonly maxSwarmBytes: number;
  readonly pending: { readonly maxPendingMessages: number; readonly maxPendingBytes: number };
  readonly onOther: QuicSwarmOptions<I>['onOther'];
  readonly onKeyLog: QuicSwarmOptions<I>['onKeyLog'];
  readonly keepInner: boolean;
  readonly datagramTells: boolean;
  /** For `inspect`. */
  readonly limits: Readonly<Record<string, number>>;
}

/** As go-p2p's quicswarm by default. */
const MAX_MESSAGE_BYTES = 1_048_576;
const MAX_SWARM_BYTES = 16 * 2 ** 20;

/** @throws {TypeError | RangeError} for what is out of bounds. */
export function resolveOptions<I extends Addr>(options: QuicSwarmOptions<I>): ResolvedOptions<I> {
  const { privateKey, preset } = options;
  if (typeof privateKey !== 'object' || privateKey === null || !('publicKey' in privateKey)) {
    throw new TypeError(
      `Cannot take privateKey: expected a key (see generateKey), got ${describeOption('privateKey', privateKey)}`,
    );
  }
  if (preset !== undefined && preset !== 'go-p2p') {
    throw new TypeError(`Cannot take preset: expected 'go-p2p', got ${describeValue(preset)}`);
  }
  for (const name of ['accept', 'onOther', 'onKeyLog', 'fingerprint'] as const) {
    if (options[name] !== undefined) assertFunction(options[name], name);
  }
  const fingerprint = options.fingerprint ?? (preset === undefined ? fingerprints.shake256 : fingerprints.sha3);
  const { publicKey } = privateKey;
  // Also checks them.
  const { maxMessages: maxPendingMessages, maxBytes: maxPendingBytes } = new PendingBudget(options);
  const maxSwarmBytes = wholeNumber(options.maxSwarmBytes, 'maxSwarmBytes', MAX_SWARM_BYTES, 1, 2 ** 40);
  const pending = { maxPendingMessages, maxPendingBytes };
  return {
    id: peerIdOfKey(publicKey, fingerprint),
    publicKey,
    peerIdOf: (key) => peerIdOfKey(key, fingerprint),
    accept: options.accept,
    maxMessageBytes: wholeNumber(options.maxMessageBytes, 'maxMessageBytes', MAX_MESSAGE_BYTES, 1, 2 ** 30),
    maxSwarmBytes,
    pending,
    onOther: options.onOther,
    onKeyLog: options.onKeyLog,
    keepInner: options.keepInner ?? false,
    datagramTells: options.datagramTells ?? false,
    limits: { ...pending, maxSwarmBytes },
  };
}
