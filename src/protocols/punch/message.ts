/** The messages of a punch: STUN indications with a proof that the sender knows both tokens. Source: docs/wire/punch.md §2. */

import { hash, hmac } from '#crypto';
import { type Bytes, concatBytes, copyBytes, encodeText, equalBytes, toHex } from '../../base/bytes.ts';
import type { Side } from '../../core/accept.ts';
import { STUN_BINDING } from '../stun/constants.ts';
import { decodeStun, encodeStun, isStun } from '../stun/message.ts';

/** What a message says. */
export type PunchKind = 'probe' | 'answer' | 'choose' | 'confirm';

/** A message as it was read; its tag is not checked yet. */
export interface PunchMessage {
  readonly kind: PunchKind;
  /** Which punch it says to belong to, in hex. */
  readonly punch: string;
  /** 12 bytes. */
  readonly id: Bytes;
  readonly tag: Bytes;
}

/** Bytes of every message. */
export const PUNCH_MESSAGE_BYTES = 56;
/** Bytes of an id. */
export const PUNCH_ID_BYTES = 12;

const KINDS: readonly PunchKind[] = ['probe', 'answer', 'choose', 'confirm'];
/** A private STUN attribute of those that may be ignored (RFC 8489 §18.3). */
const ATTRIBUTE = 0xdb02;
const NAME_BYTES = 4;
const TAG_BYTES = 16;
const VALUE_BYTES = 1 + NAME_BYTES + TAG_BYTES;
const CONTEXT: Bytes = encodeText('shoal punch 1');

/** Reads a message; `undefined` for anything else. Never throws. */
export function decodePunchMessage(bytes: Uint8Array): PunchMessage | undefined {
  if (bytes.length !== PUNCH_MESSAGE_BYTES || !isStun(bytes)) return undefined;
  const message = decodeStun(bytes);
  if (message === undefined || message.class !== 'indication' || message.method !== STUN_BINDING) return undefined;
  const [attribute] = message.attributes;
  if (!message.hasFingerprint || attribute?.type !== ATTRIBUTE || attribute.value.length !== VALUE_BYTES)
    return undefined;
  const { value } = attribute;
  const kind = KINDS[value[0]!];
  if (kind === undefined) return undefined;
  return {
    kind,
    punch: toHex(value.subarray(1, 1 + NAME_BYTES)),
    id: copyBytes(message.transactionId),
    tag: copyBytes(value.subarray(1 + NAME_BYTES)),
  };
}

/** Writes and checks the messages of one punch. */
export class PunchCodec {
  /** Which punch it is, in hex: the same on both sides. */
  readonly punch: string;
  readonly #name: Bytes;
  readonly #key: Bytes;
  readonly #side: Side;

  /** @param side - of this host. */
  constructor(ownToken: Uint8Array, theirToken: Uint8Array, side: Side) {
    const tokens = side === 'initiator' ? [ownToken, theirToken] : [theirToken, ownToken];
    this.#key = hash('sha256', concatBytes(CONTEXT, ...tokens));
    this.#name = hash('sha256', this.#key).slice(0, NAME_BYTES);
    this.punch = toHex(this.#name);
    this.#side = side;
  }

  encode(kind: PunchKind, id: Uint8Array): Bytes {
    const value = concatBytes(Uint8Array.of(KINDS.indexOf(kind)), this.#name, this.#tag(kind, this.#side, id));
    return encodeStun({
      class: 'indication',
      method: STUN_BINDING,
      transactionId: id,
      attributes: [{ type: ATTRIBUTE, value }],
    });
  }

  /** Whether the other side of this punch has written it. */
  isTheirs({ kind, punch, id, tag }: PunchMessage): boolean {
    if (punch !== this.punch) return false;
    return equalBytes(tag, this.#tag(kind, this.#side === 'initiator' ? 'responder' : 'initiator', id));
  }

  #tag(kind: PunchKind, side: Side, id: Uint8Array): Bytes {
    const head = Uint8Array.of(KINDS.indexOf(kind), side === 'initiator' ? 0 : 1);
    return hmac('sha256', this.#key, concatBytes(head, id)).slice(0, TAG_BYTES);
  }
}
