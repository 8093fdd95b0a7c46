/** Numbers of STUN. Sources: RFC 8489 §5, §14, §18; RFC 5780 §9 for the discovery of NAT behaviour. */

/** Bytes of the header: type, length, cookie, transaction id. */
export const STUN_HEADER_BYTES = 20;

/** The magic cookie in bytes 4 to 7. */
export const STUN_COOKIE = 0x2112_a442;

/** Bytes of a transaction id. */
export const STUN_TRANSACTION_ID_BYTES = 12;

/** Bytes of a transaction id of classic STUN (RFC 3489 §11.1), which has no cookie. */
export const CLASSIC_TRANSACTION_ID_BYTES = 16;

/** The Binding method, the only one that STUN itself has. */
export const STUN_BINDING = 1;

/** Attribute types. A receiver must understand those below 0x8000. */
export const STUN_ATTRIBUTE = {
  MAPPED_ADDRESS: 0x0001,
  CHANGE_REQUEST: 0x0003,
  /** Of classic STUN (RFC 3489 §11.2), as is the next. */
  SOURCE_ADDRESS: 0x0004,
  CHANGED_ADDRESS: 0x0005,
  USERNAME: 0x0006,
  MESSAGE_INTEGRITY: 0x0008,
  ERROR_CODE: 0x0009,
  UNKNOWN_ATTRIBUTES: 0x000a,
  REALM: 0x0014,
  NONCE: 0x0015,
  MESSAGE_INTEGRITY_SHA256: 0x001c,
  XOR_MAPPED_ADDRESS: 0x0020,
  PADDING: 0x0026,
  SOFTWARE: 0x8022,
  FINGERPRINT: 0x8028,
  RESPONSE_ORIGIN: 0x802b,
  OTHER_ADDRESS: 0x802c,
} as const;

/** Flags of CHANGE-REQUEST (RFC 5780 §7.2): answer from the other IP, from the other port. */
export const CHANGE_IP = 4;
export const CHANGE_PORT = 2;

/** A message with more attributes is malformed; the most that STUN, ICE and TURN together use is about 20. */
export const MAX_STUN_ATTRIBUTES = 64;

/** The largest message that is read: more than a TURN Data indication with the largest UDP payload needs. */
export const MAX_STUN_BYTES = 65_535;
