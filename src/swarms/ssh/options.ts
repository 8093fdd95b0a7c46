/** The options of an SSH swarm. */

import { assertString } from '../../base/checks.ts';
import { OIDS } from '../../identity/oid.ts';
import { decodeSpki } from '../../identity/spki.ts';
import { fingerprints, peerIdOfKey } from '../../identity/fingerprints.ts';
import { sshFingerprintBytes } from '../../identity/ssh-key.ts';
import { MAX_PACKET_BYTES, MAX_REQUEST_BYTES } from '../../protocols/ssh/constants.ts';
import { resolveSshLimits } from '../../protocols/ssh/transport-options.ts';
import { type ResolvedOptions, resolveStreamOptions, type TcpSwarmOptions } from '../tcp/options.ts';
import type { Accept } from '../../core/accept.ts';
import type { SshAddr } from './address.ts';

/** What `openSshSwarm` needs and takes. */
export interface SshSwarmOptions extends Omit<TcpSwarmOptions, 'accept' | 'security' | 'mask'> {
  /**
   * Decides whether a peer, dialled or dialling, is admitted: called once for each connection, after the peer has
   * proven its key and before anything from it is delivered. `id` is the PeerID that the key has everywhere, by `fingerprint`, and not that
   * of the address. For a peer that dialled, the port in its address is not the one it listens on. A refused peer gets `refused`;
   * `recheck()` asks again.
   * @default every peer
   */
  readonly accept?: Accept<SshAddr> | undefined;
  /**
   * The largest tell, request and answer that is sent and accepted. Peers that are not of this project take 131 072 bytes at most, in one
   * packet.
   * @default 131_072 (128 KiB), as go-p2p
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * The largest packet that is sent and accepted, 35 000 to 262 144 bytes. Every SSH takes 35 000; go-p2p and OpenSSH take 262 144. A peer
   * that is not of this project gets a message in one packet, so this limits messages: 35 000 bytes carry 32 762.
   * @default 262_144 (256 KiB)
   */
  readonly maxPacketBytes?: number | undefined;
  /**
   * A connection without messages for this time is closed; the next message dials again. Infinity: never. Longer than that of TCP: go-p2p
   * never dials an address again whose connection was closed. @default 600_000
   */
  readonly idleTimeoutMs?: number | undefined;
  /** The time limit from the first byte to the authenticated peer; the connection then counts as refused. @default 5000 */
  readonly handshakeTimeoutMs?: number | undefined;
  /** The user name given to peers that are dialled; those that dial may give any. @default '' as go-p2p */
  readonly user?: string | undefined;
  /** Keys are exchanged again after this many bytes on a connection. At least 1024. @default 1_073_741_824 (1 GiB) */
  readonly rekeyBytes?: number | undefined;
  /** Keys are exchanged again after this time. At least 1000. @default 3_600_000 (1 h) */
  readonly rekeyAfterMs?: number | undefined;
}

/** Options with defaults filled in. */
export interface ResolvedSshOptions extends ResolvedOptions<SshAddr> {
  readonly maxPacketBytes: number;
  readonly rekeyBytes: number;
  readonly rekeyAfterMs: number;
  readonly user: string;
}

/** Ten minutes: see `idleTimeoutMs`. */
const IDLE_TIMEOUT_MS = 600_000;

/** @throws {TypeError | RangeError} for invalid options. */
export function resolveSshOptions(options: SshSwarmOptions): ResolvedSshOptions {
  const defaults = { maxMessageBytes: MAX_REQUEST_BYTES, idleTimeoutMs: IDLE_TIMEOUT_MS };
  const { accept, fingerprint = fingerprints.shake256, maxPacketBytes, user = '' } = Object(options) as SshSwarmOptions;
  const resolved = resolveStreamOptions(options, defaults);
  const { publicKey } = resolved;
  if (decodeSpki(publicKey.spki)?.algorithm.oid !== OIDS.ed25519) {
    throw new TypeError(`Cannot take privateKey: SSH needs an ed25519 key, got ${publicKey.algorithm}`);
  }
  assertString(user, 'user');
  return {
    ...resolved,
    ...resolveSshLimits({ ...options, maxPacketBytes: maxPacketBytes ?? MAX_PACKET_BYTES }),
    id: peerIdOfKey(publicKey, sshFingerprintBytes),
    peerIdOf: (key) => peerIdOfKey(key, sshFingerprintBytes),
    accept: accept && ((peer) => accept({ ...peer, id: peerIdOfKey(peer.publicKey, fingerprint) })),
    user,
  };
}
