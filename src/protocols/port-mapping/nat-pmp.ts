/** The bytes of NAT-PMP, the NAT Port Mapping Protocol (RFC 6886). IPv4 only. */

import type { Bytes } from '../../base/bytes.ts';
import { ipOfBytes } from '../../base/ip.ts';

export const NAT_PMP_VERSION = 0;
const RESPONSE = 0x80;
const ADDRESS = 0;
const OPCODE = { udp: 1, tcp: 2 } as const;

/** RFC 6886 §3.5. */
export const NAT_PMP_RESULT = {
  success: 0,
  unsupportedVersion: 1,
  refused: 2,
  networkFailure: 3,
  noResources: 4,
  unsupportedOpcode: 5,
} as const;

/** A request to map a port. */
export interface NatPmpMapRequest {
  readonly protocol: 'udp' | 'tcp';
  readonly internalPort: number;
  /** What is suggested. */
  readonly externalPort: number;
  /** Seconds; 0, with external port 0, removes the mapping. */
  readonly lifetime: number;
}

/** What a router answers, or announces. */
export type NatPmpResponse = { readonly result: number } & (
  | { readonly opcode: 'address'; readonly epoch: number; readonly externalIp: string }
  | {
      readonly opcode: 'udp' | 'tcp';
      readonly epoch: number;
      readonly internalPort: number;
      readonly externalPort: number;
      /** Seconds. */
      readonly lifetime: number;
    }
  /** An error without more than its result; the answer to a message of another version is one. */
  | { readonly opcode: 'error' }
);

/** Asks for the address outside (RFC 6886 §3.2). */
export function encodeNatPmpAddress(): Bytes {
  return Uint8Array.of(NAT_PMP_VERSION, ADDRESS);
}

/** RFC 6886 §3.3. */
export function encodeNatPmpMap({ protocol, internalPort, externalPort, lifetime }: NatPmpMapRequest): Bytes {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[1] = OPCODE[protocol];
  view.setUint16(4, internalPort);
  view.setUint16(6, externalPort);
  view.setUint32(8, lifetime);
  return bytes;
}

/** Reads an answer or an announcement; `undefined` for everything else. Never throws. */
export function decodeNatPmpResponse(bytes: Uint8Array): NatPmpResponse | undefined {
  if (bytes.length < 8 || bytes[0] !== NAT_PMP_VERSION || (bytes[1]! & RESPONSE) === 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const opcode = bytes[1]! & ~RESPONSE;
  const shared = { result: view.getUint16(2), epoch: view.getUint32(4) };
  if (opcode === ADDRESS && bytes.length === 12) {
    return { opcode: 'address', ...shared, externalIp: ipOfBytes(bytes.subarray(8, 12))! };
  }
  if ((opcode === OPCODE.udp || opcode === OPCODE.tcp) && bytes.length === 16) {
    return {
      opcode: opcode === OPCODE.udp ? 'udp' : 'tcp',
      ...shared,
      internalPort: view.getUint16(8),
      externalPort: view.getUint16(10),
      lifetime: view.getUint32(12),
    };
  }
  return shared.result === NAT_PMP_RESULT.success ? undefined : { opcode: 'error', result: shared.result };
}
