/**
 * The header of a part: three uvarints, message id ‖ part ‖ total, then the part's bytes. docs/wire/frag.md §1; the same
 * bytes as go-p2p's fragswarm.
 */

import { type Bytes, allocMessage, copyInto, viewFrom } from '../../base/bytes.ts';
import type { MessagePart } from '../reassembly.ts';
import { MAX_VARINT_BYTES, varintLength, writeVarint } from '../../base/varint.ts';

/** The bytes that go-p2p subtracts from the inner MTU for the header: its maximum. */
export const FRAG_OVERHEAD_BYTES = 15;

/** The maximum parts for a go-p2p receiver: it stores part and total in 8 bits. */
export const GO_P2P_MAX_PARTS = 255;

/** The maximum parts of a message between shoal peers. */
export const MAX_PARTS = 65_535;

/** Ids have 32 bits, and wrap to 0. */
export const ID_COUNT = 4_294_967_296;

/** A decoded part. */
export interface FragPart extends MessagePart {
  /** 0 to 2^32 − 1. */
  readonly id: number;
  /** A view into the packet. */
  readonly data: Bytes;
}

/** A packet: header and data in a new buffer. */
export function encodePart(id: number, part: number, total: number, data: Uint8Array): Bytes {
  const headerBytes = varintLength(id) + varintLength(part) + varintLength(total);
  const packet = allocMessage(headerBytes + data.length);
  const end = writeVarint(packet, writeVarint(packet, writeVarint(packet, 0, id), part), total);
  copyInto(packet, end, data);
  return packet;
}

/** Decodes a packet; `undefined` when it is truncated, its id too large, or its part not below its total. */
export function decodePart(packet: Bytes): FragPart | undefined {
  // Inlined: decoding three varints per packet would create three objects.
  let at = 0;
  let id = 0;
  let part = 0;
  for (let field = 0; ; field++) {
    let value = 0;
    let weight = 1;
    for (let length = 1; ; length++) {
      const byte = packet[at++];
      if (byte === undefined || length > MAX_VARINT_BYTES) return undefined;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) break;
      weight *= 0x80;
    }
    if (value >= ID_COUNT) return undefined;
    if (field === 0) id = value;
    else if (field === 1) part = value;
    else if (value > MAX_PARTS || part >= value) return undefined;
    else return { id, part, total: value, data: viewFrom(packet, at) };
  }
}
