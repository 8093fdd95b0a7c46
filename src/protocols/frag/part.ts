/**
 * The header of a part: three uvarints, message id ‖ part ‖ total, then the part's bytes. docs/wire/frag.md §1; the same
 * bytes as go-p2p's fragswarm.
 */

import { type Bytes, allocMessage, copyInto, viewFrom } from '../../base/bytes.ts';
import { type MessagePart } from '../reassembly.ts';
import { MAX_VARINT_BYTES, varintLength, writeVarint } from '../../base/varint.ts';

/** What go-p2p takes off the inner MTU for the header; its longest one. */
export const FRAG_OVERHEAD_BYTES = 15;

/** The most parts a go-p2p receiver understands: it keeps part and total in 8 bits. */
export const GO_P2P_MAX_PARTS = 255;

/** The most parts of a message, shoal to shoal. */
export const MAX_PARTS = 65_535;

/** Ids are 32 bits wide, and begin again at 0 when they run out. */
export const ID_COUNT = 4_294_967_296;

/** A part as the wire has it. */
export interface FragPart extends MessagePart {
  /** 0 to 2^32 − 1. */
  readonly id: number;
  /** A view into the packet. */
  readonly data: Bytes;
}

/** A packet: header and data in a buffer of its own. */
export function encodePart(id: number, part: number, total: number, data: Uint8Array): Bytes {
  const headerBytes = varintLength(id) + varintLength(part) + varintLength(total);
  const packet = allocMessage(headerBytes + data.length);
  const end = writeVarint(packet, writeVarint(packet, writeVarint(packet, 0, id), part), total);
  copyInto(packet, end, data);
  return packet;
}

/** The part in a packet; `undefined` when it is cut off, its id too wide, or its part not below its total. */
export function decodePart(packet: Bytes): FragPart | undefined {
  // By hand: three varints a packet would be three objects.
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
