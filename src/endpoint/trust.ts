/** Which peers an endpoint trusts: decided during the handshake, before any data of the peer is delivered. */

import { type Bytes, equalBytes } from '../base/bytes.ts';
import type { Side } from '../core/accept.ts';
import type { P2PErrorCode } from '../core/errors.ts';
import { assertString, describeValue } from '../base/checks.ts';
import { parsePeerId, type PeerId } from '../core/peer-id.ts';
import { type ChainFault, verifyChain } from '../identity/chain.ts';
import { type Certificate, parseCertificate } from '../identity/certificate.ts';
import { ALERT } from '../protocols/quic/endpoint-options.ts';
import { certificatesOf, type CertificateSource } from './identity.ts';

/** A peer that has proven that it holds the key of its first certificate. */
export interface PeerToTrust {
  readonly peerId: PeerId;
  /** DER, end entity first. */
  readonly certificates: readonly Bytes[];
  /** What the peer is. */
  readonly side: Side;
}

/**
 * Which peers an endpoint trusts:
 *
 * - `{ peerIds }`: these peers;
 * - `{ certificates }`: peers that present one of these certificates, byte for byte; dates are not checked;
 * - `{ ca, serverName }`: peers with a chain to one of these authorities. Signatures, dates, usage and, for peers that this
 *   endpoint dials, the name are checked (`serverName` here or of the call; without a name, any certificate of the authority is
 *   accepted). Revocation is not checked; chains with name constraints are refused. The certificate of an authority says that it is
 *   one (`basicConstraints`); any other certificate in the list is trusted itself and cannot sign others. Authorities sign with Ed25519,
 *   ECDSA on P-256 with SHA-256 or P-384 with SHA-384, or RSA with PKCS #1 v1.5, SHA-2 and 2048 to 8192 bits. Chains of more
 *   than 16 certificates or 192 KiB are refused;
 * - `'anyone'`: every peer, with or without a certificate. Connections are encrypted, but the peer is unknown: `authenticated` is false.
 */
export type Trust =
  | { readonly peerIds: Iterable<PeerId | string> }
  | { readonly certificates: readonly CertificateSource[] }
  | { readonly ca: CertificateSource | readonly CertificateSource[]; readonly serverName?: string | undefined }
  | 'anyone';

/** Why a peer is refused: the alert that it gets, and the error on this side. */
export interface Distrust {
  readonly alert: number;
  readonly code: P2PErrorCode;
  readonly why: string;
}

/** Trust, checked and ready to judge peers. */
export interface ResolvedTrust {
  /** Whether trusted peers have an identity. */
  readonly authenticates: boolean;
  /** The name that peers which are dialled must have. */
  readonly serverName: string | undefined;
  /** @returns why the peer is not trusted; `undefined` when it is */
  judge(peer: PeerToTrust, serverName: string | undefined, wallMs: number): Distrust | undefined;
}

const ALERT_OF_FAULT: Readonly<Record<ChainFault, number>> = {
  malformed: ALERT.BAD_CERTIFICATE,
  unknown_ca: ALERT.UNKNOWN_CA,
  unsupported: ALERT.UNSUPPORTED_CERTIFICATE,
  too_complex: ALERT.BAD_CERTIFICATE,
  expired: ALERT.CERTIFICATE_EXPIRED,
  not_yet_valid: ALERT.CERTIFICATE_EXPIRED,
  usage: ALERT.UNSUPPORTED_CERTIFICATE,
  name: ALERT.BAD_CERTIFICATE,
  constraints: ALERT.UNSUPPORTED_CERTIFICATE,
};

/** @throws {TypeError} for a value that is no trust. */
export function resolveTrust(trust: Trust | undefined): ResolvedTrust {
  const base = { authenticates: true, serverName: undefined };
  // A peer that proves a key is the peer with the PeerID of that key, and no other peer can prove it.
  if (trust === undefined) return { ...base, judge: () => undefined };
  if (trust === 'anyone') return { ...base, authenticates: false, judge: () => undefined };
  if (typeof trust === 'object' && trust !== null) {
    if ('peerIds' in trust) return { ...base, judge: judgePeerIds(trust.peerIds) };
    if ('certificates' in trust) return { ...base, judge: judgeCertificates(trust.certificates) };
    if ('ca' in trust) {
      const { serverName } = trust;
      if (serverName !== undefined) assertString(serverName, 'trust.serverName');
      return { ...base, serverName, judge: judgeChains(trust.ca) };
    }
  }
  throw new TypeError(
    `Cannot take trust: expected { peerIds }, { certificates }, { ca, serverName } or 'anyone' (a predicate is the option accept), got ${describeValue(trust)}`,
  );
}

function judgePeerIds(peerIds: Iterable<string>): ResolvedTrust['judge'] {
  if (typeof peerIds === 'string' || typeof peerIds !== 'object' || !(Symbol.iterator in peerIds)) {
    throw new TypeError(`Cannot take trust.peerIds: expected a list of PeerIDs, got ${describeValue(peerIds)}`);
  }
  const known = new Set([...peerIds].map((text) => parsePeerId(text)));
  const refused: Distrust = {
    alert: ALERT.ACCESS_DENIED,
    code: 'identity_mismatch',
    why: 'its PeerID is not in trust.peerIds',
  };
  return ({ peerId }) => (known.has(peerId) ? undefined : refused);
}

function judgeCertificates(sources: readonly CertificateSource[]): ResolvedTrust['judge'] {
  if (!Array.isArray(sources)) throw new TypeError('Cannot take trust.certificates: expected a list of certificates');
  const known = sources.flatMap((source: CertificateSource) => certificatesOf(source, 'trust.certificates'));
  const refused: Distrust = {
    alert: ALERT.BAD_CERTIFICATE,
    code: 'identity_mismatch',
    why: 'its certificate is not in trust.certificates',
  };
  return ({ certificates }) => (known.some((der) => equalBytes(der, certificates[0]!)) ? undefined : refused);
}

function judgeChains(source: CertificateSource | readonly CertificateSource[]): ResolvedTrust['judge'] {
  const sources: readonly CertificateSource[] = isList(source) ? source : [source];
  const anchors = sources.flatMap((one) => certificatesOf(one, 'trust.ca')).map((der) => parsed(der, 'trust.ca'));
  if (anchors.length === 0) throw new TypeError('Cannot take trust.ca: expected at least one certificate');
  return ({ certificates, side }, serverName, wallMs) => {
    const usage = side === 'responder' ? 'server' : 'client';
    const fault = verifyChain({ chain: certificates, anchors, wallMs, usage, serverName });
    if (fault === undefined) return undefined;
    const code = fault.fault === 'name' ? 'identity_mismatch' : 'refused';
    return { alert: ALERT_OF_FAULT[fault.fault], code, why: fault.why };
  };
}

function isList(source: CertificateSource | readonly CertificateSource[]): source is readonly CertificateSource[] {
  return Array.isArray(source);
}

function parsed(der: Bytes, label: string): Certificate {
  const certificate = parseCertificate(der);
  if (certificate === undefined) throw new TypeError(`Cannot take ${label}: expected an X.509 version 3 certificate`);
  return certificate;
}
