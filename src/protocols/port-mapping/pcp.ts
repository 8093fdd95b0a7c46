/** The bytes of PCP, the Port Control Protocol (RFC 6887): ANNOUNCE and MAP, without options. */

import { type Bytes, copyBytes } from '../../base/bytes.ts';
import { ipBytes, ipOfBytes, type SocketAddress } from '../../base/ip.ts';

/** The port of PCP and NAT-PMP servers (RFC 6887 §19.1). */
export const MAPPING_SERVER_PORT = 5351;
/** The port to which routers announce (RFC 6887 §14.1.1). */
export const MAPPING_CLIENT_PORT = 5350;
export const PCP_VERSION = 2;
/** RFC 6887 §11.1. */
export const PCP_NONCE_BYTES = 12;

const HEADER_BYTES = 24;
const MAP_BYTES = 36;
/** RFC 6887 §7: no message is longer. */
const MAX_BYTES = 1100;
const RESPONSE = 0x80;
const OPCODE = { announce: 0, map: 1 } as const;
/** IANA's numbers of the protocols. */
export const IP_PROTOCOL = { udp: 17, tcp: 6 } as const;

/** RFC 6887 §7.4. */
export const PCP_RESULT = {
  success: 0,
  unsupportedVersion: 1,
  notAuthorized: 2,
  malformedRequest: 3,
  unsupportedOpcode: 4,
  networkFailure: 7,
  noResources: 8,
  unsupportedProtocol: 9,
  userExceededQuota: 10,
  cannotProvideExternal: 11,
  addressMismatch: 12,
} as const;

/** A request to map a port. */
export interface PcpMapRequest {
  /** The address to map, from which the request is sent. */
  readonly own: string;
  /** Seconds; 0 removes the mapping. */
  readonly lifetime: number;
  readonly nonce: Uint8Array;
  readonly protocol: 'udp' | 'tcp';
  readonly internalPort: number;
  /** What is suggested; the unspecified address and port 0 leave it to the router. */
  readonly external: SocketAddress;
}

/** What a router answers, or announces. */
export type PcpResponse = {
  readonly result: number;
  /** Seconds: of the mapping, or how long an error holds. */
  readonly lifetime: number;
  /** Seconds since the router's tables were empty. */
  readonly epoch: number;
} & (
  | { readonly opcode: 'announce' }
  | {
      readonly opcode: 'map';
      readonly nonce: Bytes;
      readonly protocol: number;
      readonly internalPort: number;
      readonly external: SocketAddress;
    }
);

/** Asks whether there is a server, and for its epoch (RFC 6887 §14.1). @param own - from where it is sent. */
export function encodePcpAnnounce(own: string): Bytes {
  return header(new Uint8Array(HEADER_BYTES), OPCODE.announce, 0, own);
}

/** RFC 6887 §11.1. */
export function encodePcpMap({ own, lifetime, nonce, protocol, internalPort, external }: PcpMapRequest): Bytes {
  const bytes = header(new Uint8Array(HEADER_BYTES + MAP_BYTES), OPCODE.map, lifetime, own);
  const view = new DataView(bytes.buffer);
  bytes.set(nonce, 24);
  bytes[36] = IP_PROTOCOL[protocol];
  view.setUint16(40, internalPort);
  view.setUint16(42, external.port);
  bytes.set(ip16(external.ip), 44);
  return bytes;
}

function header(bytes: Bytes, opcode: number, lifetime: number, own: string): Bytes {
  bytes[0] = PCP_VERSION;
  bytes[1] = opcode;
  new DataView(bytes.buffer).setUint32(4, lifetime);
  bytes.set(ip16(own), 8);
  return bytes;
}

/** An IP in 16 bytes: IPv4 as `::ffff:a.b.c.d` (RFC 6887 §5). */
function ip16(ip: string): Uint8Array {
  const bytes = ipBytes(ip)!;
  if (bytes.length === 16) return bytes;
  const mapped = new Uint8Array(16).fill(0xff, 10, 12);
  mapped.set(bytes, 12);
  return mapped;
}

/** Reads an answer or an announcement; `undefined` for everything else. Never throws. */
export function decodePcpResponse(bytes: Uint8Array): PcpResponse | undefined {
  const [version, code, , result] = bytes;
  // RFC 6887 §8.3: shorter than a header, longer than 1100 bytes or no multiple of 4 is no answer.
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_BYTES || bytes.length % 4 !== 0) return undefined;
  if (version !== PCP_VERSION) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shared = { result: result!, lifetime: view.getUint32(4), epoch: view.getUint32(8) };
  if (code === (RESPONSE | OPCODE.announce)) return { opcode: 'announce', ...shared };
  if (code !== (RESPONSE | OPCODE.map) || bytes.length < HEADER_BYTES + MAP_BYTES) return undefined;
  return {
    opcode: 'map',
    ...shared,
    nonce: copyBytes(bytes.subarray(24, 36)),
    protocol: bytes[36]!,
    internalPort: view.getUint16(40),
    external: { ip: ipOfBytes(bytes.subarray(44, 60))!, port: view.getUint16(42) },
  };
}
