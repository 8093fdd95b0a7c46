/**
 * Answers Binding requests (RFC 8489 §6.3.1, RFC 5780 §6): tells a host under which address it is seen. No state is kept for a
 * question, and an answer has at most three times its bytes.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import { encodeAddress, encodeError, encodeTypes, encodeXorAddress } from './attributes.ts';
import {
  CHANGE_IP,
  CHANGE_PORT,
  CLASSIC_TRANSACTION_ID_BYTES,
  STUN_ATTRIBUTE,
  STUN_BINDING,
  STUN_HEADER_BYTES,
} from './constants.ts';
import { decodeStun, encodeStun, type StunAttribute } from './message.ts';

/** Where a server has its sockets. */
export interface StunServerAddresses {
  /** The socket that the request came to. */
  readonly here: SocketAddress;
  /** Another IP and another port, where the server has both (RFC 5780 §6.1). */
  readonly other?: SocketAddress | undefined;
}

/** What to send to the asker. */
export interface StunReply {
  readonly bytes: Bytes;
  /** From which socket: with the other IP, with the other port. Only where the server has {@link StunServerAddresses.other}. */
  readonly otherIp: boolean;
  readonly otherPort: boolean;
}

/** How many times the bytes of a request an answer may have: so forged sources are of no use to an attacker. */
const MAX_AMPLIFICATION = 3;

/** Attributes that a Binding request may have and that have to be understood. Credentials are not asked for, so they do no harm. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  STUN_ATTRIBUTE.CHANGE_REQUEST,
  STUN_ATTRIBUTE.USERNAME,
  STUN_ATTRIBUTE.REALM,
  STUN_ATTRIBUTE.NONCE,
  STUN_ATTRIBUTE.PADDING,
  // Of classic STUN: RESPONSE-ADDRESS, which is ignored, since it would send answers to others (RFC 5389 §12.2).
  0x0002,
]);

/** The first type that a receiver may ignore. */
const OPTIONAL_FROM = 0x8000;

/**
 * The answer to a datagram; `undefined` when it is no Binding request, or asks for what this server has not.
 *
 * @param source - where the request came from, and where the answer goes.
 */
export function answerStun(
  request: Uint8Array,
  source: SocketAddress,
  { here, other }: StunServerAddresses,
): StunReply | undefined {
  const message = decodeStun(request, true);
  if (message === undefined || message.class !== 'request' || message.method !== STUN_BINDING) return undefined;
  const { transactionId, hasFingerprint } = message;
  const isClassic = transactionId.length === CLASSIC_TRANSACTION_ID_BYTES;
  const answer = (kind: 'success' | 'error', attributes: readonly StunAttribute[]): Bytes => {
    const attributesThatFit: StunAttribute[] = [];
    let length = STUN_HEADER_BYTES + (hasFingerprint ? 8 : 0);
    for (const one of attributes) {
      length += 4 + ((one.value.length + 3) & ~3);
      if (length > MAX_AMPLIFICATION * request.length) break;
      attributesThatFit.push(one);
    }
    const method = STUN_BINDING;
    return encodeStun(
      { class: kind, method, transactionId, attributes: attributesThatFit },
      { fingerprint: hasFingerprint },
    );
  };
  const unknown = message.attributes.filter(({ type }) => type < OPTIONAL_FROM && !UNDERSTOOD.has(type));
  if (unknown.length > 0) {
    const bytes = answer('error', [
      { type: STUN_ATTRIBUTE.ERROR_CODE, value: encodeError({ code: 420, reason: 'Unknown Attribute' }) },
      { type: STUN_ATTRIBUTE.UNKNOWN_ATTRIBUTES, value: encodeTypes(unknown.map(({ type }) => type)) },
    ]);
    return { bytes, otherIp: false, otherPort: false };
  }
  const change = message.attributes.find(({ type }) => type === STUN_ATTRIBUTE.CHANGE_REQUEST)?.value[3] ?? 0;
  const [otherIp, otherPort] = [(change & CHANGE_IP) !== 0, (change & CHANGE_PORT) !== 0];
  // What cannot be answered from the other address is not answered at all: an answer from here would say the wrong thing.
  if ((otherIp || otherPort) && other === undefined) return undefined;
  const { MAPPED_ADDRESS, XOR_MAPPED_ADDRESS, SOURCE_ADDRESS, CHANGED_ADDRESS, RESPONSE_ORIGIN, OTHER_ADDRESS } =
    STUN_ATTRIBUTE;
  const origin = { ip: otherIp ? other!.ip : here.ip, port: otherPort ? other!.port : here.port };
  const attributes: StunAttribute[] = [
    isClassic
      ? { type: MAPPED_ADDRESS, value: encodeAddress(source) }
      : { type: XOR_MAPPED_ADDRESS, value: encodeXorAddress(source, transactionId) },
  ];
  if (other !== undefined) {
    attributes.push(
      { type: isClassic ? SOURCE_ADDRESS : RESPONSE_ORIGIN, value: encodeAddress(origin) },
      { type: isClassic ? CHANGED_ADDRESS : OTHER_ADDRESS, value: encodeAddress(other) },
    );
  }
  return { bytes: answer('success', attributes), otherIp, otherPort };
}
