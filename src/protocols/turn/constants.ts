/** Numbers of TURN. Source: RFC 8656 §17 and §18. */

/** Methods beside Binding. */
export const TURN_METHOD = {
  ALLOCATE: 3,
  REFRESH: 4,
  SEND: 6,
  DATA: 7,
  CREATE_PERMISSION: 8,
  CHANNEL_BIND: 9,
} as const;

/** Attributes beside those of STUN. */
export const TURN_ATTRIBUTE = {
  CHANNEL_NUMBER: 0x000c,
  LIFETIME: 0x000d,
  XOR_PEER_ADDRESS: 0x0012,
  DATA: 0x0013,
  XOR_RELAYED_ADDRESS: 0x0016,
  REQUESTED_ADDRESS_FAMILY: 0x0017,
  REQUESTED_TRANSPORT: 0x0019,
} as const;

/** Numbers of channels, and how many there are (§12). */
export const FIRST_CHANNEL = 0x4000;
export const LAST_CHANNEL = 0x4fff;
/** Bytes before the data of a channel: number and length. */
export const CHANNEL_HEADER_BYTES = 4;
/** The number of UDP in REQUESTED-TRANSPORT. */
export const UDP_PROTOCOL = 17;

/** How long an allocation lasts by default (§3.2). */
export const ALLOCATION_S = 600;
/** How long a permission lasts (§9). */
export const PERMISSION_MS = 300_000;
