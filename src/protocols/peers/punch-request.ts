/** What peers and coordinators say to each other before a hole punch. Source: docs/wire/peers.md §9. */

import { type Bytes, concatBytes, copyBytes, encodeText } from '../../base/bytes.ts';
import { FieldReader } from '../../base/field-reader.ts';
import { decodeReason } from '../../base/reason.ts';
import { encodeVarint } from '../../base/varint.ts';
import { isPeerId, PEER_ID_CHARACTERS, type PeerId } from '../../core/peer-id.ts';
import { cutText } from './hello.ts';

/** What one side offers to the other: by which transport, and the puncher's own bytes. */
export interface PunchBody {
  /** For whom it is; a signed one is worth nothing to others. */
  readonly to: PeerId;
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  readonly transport: string;
  readonly offer: Bytes;
}

/** A body whose author is proven, for the way through a coordinator. */
export interface SignedPunch {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Bytes;
  readonly signature: Bytes;
  /** An encoded {@link PunchBody}. */
  readonly body: Bytes;
}

/** A request. */
export type PunchRequest =
  /** From the peer itself. */
  | { readonly type: 'punch'; readonly body: PunchBody }
  /** To a coordinator, which hands it on to `to`. */
  | { readonly type: 'forward'; readonly to: PeerId; readonly signed: SignedPunch }
  /** From a coordinator. */
  | { readonly type: 'forwarded'; readonly signed: SignedPunch }
  /** To a coordinator: whether it is connected with the peer at this IP. */
  | { readonly type: 'observed'; readonly id: PeerId; readonly ip: string };

/** The answer: the offer of the other side, or why it makes no offer. */
export type PunchAnswer =
  | { readonly type: 'offer'; readonly bytes: Bytes }
  | { readonly type: 'refused'; readonly code: PunchRefusal; readonly reason: string };

/**
 * Why a peer does not punch: it is punching already, has no puncher for the transport, does not want third parties, its clock differs,
 * its lists refuse the asker, the coordinator does not know the peer, or its puncher failed.
 */
export type PunchRefusal = 'busy' | 'unsupported' | 'policy' | 'clock' | 'denied' | 'no_peer' | 'failed';

const TYPES = { punch: 1, forward: 2, forwarded: 3, observed: 4 } as const;
const REFUSALS: readonly PunchRefusal[] = ['busy', 'unsupported', 'policy', 'clock', 'denied', 'no_peer', 'failed'];
const MAX_OFFER_BYTES = 1024;
const MAX_NAME_BYTES = 32;
const MAX_IP_BYTES = 64;
/** The longest key and signature; RSA-4096 needs half of it. */
const MAX_KEY_BYTES = 1024;
const MAX_BODY_BYTES: number = PEER_ID_CHARACTERS + 9 + 1 + MAX_NAME_BYTES + MAX_OFFER_BYTES;
/** The context of the signature, for `signText`. */
export const PUNCH_CONTEXT = 'shoal punch 1';

const prefixed = (bytes: Uint8Array): Bytes => concatBytes(encodeVarint(bytes.length), bytes);

export function encodePunchBody({ to, wallMs, transport, offer }: PunchBody): Bytes {
  return concatBytes(encodeText(to), encodeVarint(wallMs), prefixed(encodeText(transport)), offer);
}

/** Reads a body; `undefined` when it is malformed. */
export function decodePunchBody(bytes: Bytes): PunchBody | undefined {
  const reader = new FieldReader(bytes);
  const to = readId(reader);
  const wallMs = reader.varint();
  const transport = decodeReason(reader.prefixed(MAX_NAME_BYTES));
  const offer = rest(reader, bytes, MAX_OFFER_BYTES);
  if (to === undefined || transport === undefined || offer === undefined) return undefined;
  return { to, wallMs, transport, offer };
}

export function encodePunchRequest(request: PunchRequest): Bytes {
  const type = Uint8Array.of(TYPES[request.type]);
  switch (request.type) {
    case 'punch':
      return concatBytes(type, encodePunchBody(request.body));
    case 'forward':
      return concatBytes(type, encodeText(request.to), encodeSignedPunch(request.signed));
    case 'forwarded':
      return concatBytes(type, encodeSignedPunch(request.signed));
    case 'observed':
      break;
  }
  return concatBytes(type, encodeText(request.id), encodeText(request.ip));
}

/** Reads a request; `undefined` when it is malformed. */
export function decodePunchRequest(bytes: Bytes): PunchRequest | undefined {
  const reader = new FieldReader(bytes);
  switch (reader.byte()) {
    case TYPES.punch: {
      const body = decodePunchBody(bytes.subarray(1));
      return body === undefined ? undefined : { type: 'punch', body };
    }
    case TYPES.forward: {
      const to = readId(reader);
      const signed = decodeSignedPunch(bytes.subarray(reader.at));
      return to === undefined || signed === undefined ? undefined : { type: 'forward', to, signed };
    }
    case TYPES.forwarded: {
      const signed = decodeSignedPunch(bytes.subarray(1));
      return signed === undefined ? undefined : { type: 'forwarded', signed };
    }
    case TYPES.observed: {
      const id = readId(reader);
      const text = rest(reader, bytes, MAX_IP_BYTES);
      const ip = text === undefined ? undefined : decodeReason(text);
      return id === undefined || ip === undefined ? undefined : { type: 'observed', id, ip };
    }
    default:
      return undefined;
  }
}

export function encodeSignedPunch({ spki, signature, body }: SignedPunch): Bytes {
  return concatBytes(prefixed(spki), prefixed(signature), body);
}

/** Reads a signed body, whose signature is still to be verified; `undefined` when it is malformed. */
export function decodeSignedPunch(bytes: Bytes): SignedPunch | undefined {
  const reader = new FieldReader(bytes);
  const [spki, signature] = [reader.prefixed(MAX_KEY_BYTES), reader.prefixed(MAX_KEY_BYTES)];
  const body = rest(reader, bytes, MAX_BODY_BYTES);
  return body === undefined ? undefined : { spki: copyBytes(spki), signature: copyBytes(signature), body };
}

export function encodePunchAnswer(answer: PunchAnswer): Bytes {
  if (answer.type === 'offer') return concatBytes(Uint8Array.of(0), answer.bytes);
  return concatBytes(Uint8Array.of(1 + REFUSALS.indexOf(answer.code)), cutText(answer.reason));
}

/** Reads an answer; `undefined` when it is malformed. */
export function decodePunchAnswer(bytes: Bytes): PunchAnswer | undefined {
  const [status] = bytes;
  if (status === undefined) return undefined;
  if (status === 0) return { type: 'offer', bytes: bytes.slice(1) };
  const code = REFUSALS[status - 1];
  const reason = decodeReason(bytes.subarray(1));
  return code === undefined || reason === undefined ? undefined : { type: 'refused', code, reason };
}

function readId(reader: FieldReader): PeerId | undefined {
  const text = decodeReason(reader.take(PEER_ID_CHARACTERS));
  return text !== undefined && isPeerId(text) ? text : undefined;
}

/** What is behind the fields that were read; `undefined` when one was missing, or there is too much. */
function rest(reader: FieldReader, bytes: Bytes, max: number): Bytes | undefined {
  if (reader.failed || bytes.length - reader.at > max) return undefined;
  return bytes.slice(reader.at);
}
