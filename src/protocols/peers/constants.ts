/** The constants of docs/wire/peers.md. */

/** The versions that are spoken here. */
export const OLDEST_VERSION = 1;
export const NEWEST_VERSION = 2;
/** The version that has datagrams and abilities. */
export const DATAGRAM_VERSION = 2;

/** First bytes of packets. */
export const PACKET = {
  HELLO: 0,
  WELCOME: 1,
  DENIED: 2,
  BYE: 3,
  ACK: 4,
  PING: 5,
  PONG: 6,
  SELECT: 7,
  NOTICE: 8,
  DATAGRAM: 9,
  BUNDLE: 30,
  PART: 31,
} as const;

/** Types of numbered messages. */
export const MESSAGE = {
  TELL: 16,
  REQUEST: 17,
  ANSWER: 18,
  REFUSAL: 19,
  CANCEL: 20,
  STREAM: 21,
  FIN: 22,
  RESET: 23,
  WINDOW: 24,
  CREDIT: 25,
  SERVICE: 26,
} as const;

/** Whether a message asks for an answer. */
export function isRequest(type: MessageType): boolean {
  return type === MESSAGE.REQUEST || type === MESSAGE.SERVICE;
}

/** Numbers of services: what connection managers ask each other beside the program. */
export const SERVICE = { EXCHANGE: 1, TO_RELAY: 2, FROM_RELAY: 3, PUNCH: 4, REPORT: 5, DHT: 6 } as const;

/** What a node does for others: bits in its hello. */
export const ABILITY = { RELAY: 1, COORDINATE: 2 } as const;

/** Datagrams are dropped while so many bytes wait for the transport of their path. */
export const MAX_DATAGRAM_BACKLOG_BYTES = 262_144;
/** What a datagram adds to its payload, at most: type, tag, service. */
export const DATAGRAM_HEAD_BYTES = 7;

/** The type of a numbered message. */
export type MessageType = (typeof MESSAGE)[keyof typeof MESSAGE];

/** Codes of `denied`. */
export const DENIED = {
  WRONG_NETWORK: 1,
  NOT_ALLOWED: 2,
  VERSION: 3,
  SELF: 4,
  BUSY: 5,
  NO_BOOTSTRAP: 6,
  CLOSING: 7,
  KEY_IN_USE: 8,
} as const;

/** Codes of `notice`. */
export const NOTICE = { KEY_IN_USE: 1 } as const;

/** Codes of `bye`. */
export const BYE = { CLOSED: 0, IDLE: 1, DROPPED: 2, FAULT: 3, NOT_ALLOWED: 4, OVERLOADED: 5 } as const;

/** Refusal codes with a meaning of their own; 1 to 254 are the handler's. */
export const REFUSAL_TOO_LARGE = 0;
export const REFUSAL_PLAIN = 255;

/** The largest payload of a refusal. */
export const MAX_REFUSAL_BYTES = 32_768;
/** The largest reason of a bye and a denial. */
export const MAX_REASON_BYTES = 256;
/** The largest address text, and the number of addresses in a hello. */
export const MAX_ADDRESS_BYTES = 255;
export const MAX_ADDRESSES = 8;

/** What a tell and a request cost on top of their payload. */
export const MESSAGE_COST_BYTES = 64;
/** Numbers that may be out at a time. */
export const MAX_OUT_NUMBERS = 4096;
/** Bytes that may be out at a time; one message of any size is always allowed. */
export const MAX_OUT_BYTES = 16_777_216;
/** Messages that may be incomplete at a time. */
export const MAX_INCOMPLETE = 16;
/** Messages above this size go in parts of this size on every path, so that what has come is not lost with a path. */
export const MAX_WHOLE_BYTES = 1_049_600;
export const PART_BYTES = 262_144;
/** The bytes before the fields of a numbered message are at most this many: type, tag, two varints. */
export const MAX_HEAD_BYTES: number = 1 + 4 + 8 + 8;

/** Messages up to this size go together in one packet, of at most so many bytes and messages. */
export const BUNDLED_BYTES = 4096;
export const BUNDLE_BYTES = 65_536;
export const MAX_BUNDLED = 1024;
/** Ranges in one acknowledgement. */
export const MAX_RANGES = 16;
/** An acknowledgement of its own goes out after this time, or this much. */
export const ACK_DELAY_MS = 20;
export const ACK_MESSAGES = 32;
export const ACK_BYTES = 262_144;

/** Streams that one side may have open. */
export const MAX_STREAMS = 256;
/** The code of a stream that is over the limit. */
export const STREAM_REFUSED = 1;

/** Session ids, path tokens and network tags, in bytes. */
export const ID_BYTES = 8;
export const NETWORK_BYTES = 32;

/** When a path is asked, when it is dead, and how often an idle one is asked. */
export const PROBE_MS = 500;
export const PROBE_ROUND_TRIPS = 3;
export const DEAD_MS = 2000;
export const DEAD_ROUND_TRIPS = 6;
export const HEARTBEAT_MS = 15_000;
/** Heartbeats that are due go out together at multiples of this. */
export const HEARTBEAT_GRID_MS = 1000;
/** When messages on a living path are sent again, by whether its transport promises to deliver. */
export const RESEND_RELIABLE_MS = 3000;
export const RESEND_RELIABLE_ROUND_TRIPS = 4;
export const RESEND_LOSSY_MS = 500;
export const RESEND_LOSSY_ROUND_TRIPS = 2;
/** The round trip before one was measured. */
export const INITIAL_RTT_MS = 100;
/** No path is given up sooner than this round trip needs, before its own was measured: by satellite, or after a loss. */
export const LONGEST_RTT_MS = 1000;
/** Other paths stay this long after another one was chosen. */
export const SPARE_MS = 1000;
