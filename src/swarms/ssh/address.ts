/** Addresses of SSH swarms: `SHA256:<base64>@127.0.0.1:5000`, with OpenSSH's fingerprint of the peer's key. */

import { type SocketAddress, formatSocketAddress } from '../../base/ip.ts';
import { describeValue } from '../../base/checks.ts';
import { type IpAddr, makeAddr, type NestedAddr } from '../../core/addr.ts';
import { decodePeerId, encodePeerId, PEER_ID_BYTES, type PeerId } from '../../core/peer-id.ts';
import type { PublicKey } from '../../core/secure.ts';
import { sshFingerprintBytes, sshFingerprintText } from '../../identity/ssh-key.ts';
import { parseIpSocketAddress } from '../../net/socket-address.ts';

/** An IP and a TCP port. */
export interface SshSocketAddr extends IpAddr {
  readonly net: 'tcp';
}

/** A peer's key and its listening address. */
export interface SshAddr extends NestedAddr<SshSocketAddr> {
  readonly net: 'ssh';
  /**
   * The SHA-256 of the key in the wire format of SSH, as a PeerID. An address has nothing else of the key, so this is not the PeerID that
   * the key has elsewhere: `peerIdOfKey(publicKey)` is.
   */
  readonly id: PeerId;
  /** The same 32 bytes as OpenSSH shows them: `SHA256:` and 43 characters of base64. */
  readonly fingerprint: string;
}

/** The id of a key in addresses. @throws {TypeError} when the key is neither Ed25519, P-256 nor RSA. */
export function sshIdOf(publicKey: PublicKey): PeerId {
  return encodePeerId(sshFingerprintBytes(publicKey));
}

/** The fingerprint with this id. */
export function sshNameOf(id: PeerId): string {
  return sshFingerprintText(decodePeerId(id)!);
}

/** @param address - its IP is canonical, and not IPv4-mapped. */
export function sshAddr(id: PeerId, { ip, port }: SocketAddress): SshAddr {
  const inner = makeAddr<SshSocketAddr>({ net: 'tcp', ip, port, text: formatSocketAddress(ip, port) });
  const fingerprint = sshNameOf(id);
  return makeAddr<SshAddr>({ net: 'ssh', id, fingerprint, inner, text: `${fingerprint}@${inner.text}` });
}

/** `SHA256:`, 43 characters of the standard alphabet, `+` among them, and no padding. */
const FINGERPRINT = /^SHA256:([A-Za-z0-9+/]{43})$/;

/** @throws {TypeError | RangeError} when `text` is not a fingerprint, an @, an IP and a port from 1 to 65535. */
export function parseSshAddr(text: string): SshAddr {
  if (typeof text !== 'string') throw new TypeError(`Cannot parse address: expected text, got ${describeValue(text)}`);
  const at = text.indexOf('@');
  const name = text.slice(0, Math.max(at, 0));
  const id = idOfName(name);
  if (id === undefined) {
    throw new TypeError(`Cannot parse address: expected SHA256:<base64>@<IP>:<port>, got ${describeValue(text)}`);
  }
  const address = parseIpSocketAddress(text.slice(at + 1), 'address');
  if (address.port === 0)
    throw new TypeError(`Cannot parse address: port 0 of ${describeValue(text)} cannot be dialled`);
  return sshAddr(id, address);
}

/** The id of a fingerprint in its only form: spare bits are zero. */
function idOfName(name: string): PeerId | undefined {
  const digits = FINGERPRINT.exec(name)?.[1];
  if (digits === undefined) return undefined;
  const bytes = Uint8Array.from(atob(`${digits}=`), (character) => character.charCodeAt(0));
  return bytes.length === PEER_ID_BYTES && sshFingerprintText(bytes) === name ? encodePeerId(bytes) : undefined;
}
