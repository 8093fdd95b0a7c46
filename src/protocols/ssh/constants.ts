/** Constants of SSH-2 as the SSH swarm speaks it. Source of all: docs/wire/ssh.md. */

/** Message numbers (RFC 4250 §4.1.2, RFC 8308 §2.3, RFC 5656 §7.1). */
export const MSG = {
  DISCONNECT: 1,
  IGNORE: 2,
  UNIMPLEMENTED: 3,
  DEBUG: 4,
  SERVICE_REQUEST: 5,
  SERVICE_ACCEPT: 6,
  EXT_INFO: 7,
  KEXINIT: 20,
  NEWKEYS: 21,
  KEX_ECDH_INIT: 30,
  KEX_ECDH_REPLY: 31,
  USERAUTH_REQUEST: 50,
  USERAUTH_FAILURE: 51,
  USERAUTH_SUCCESS: 52,
  USERAUTH_BANNER: 53,
  USERAUTH_PK_OK: 60,
  GLOBAL_REQUEST: 80,
  REQUEST_SUCCESS: 81,
  REQUEST_FAILURE: 82,
  CHANNEL_OPEN: 90,
  CHANNEL_OPEN_FAILURE: 92,
  /** §6: frames between peers of this project. 192 and 193 are taken by `ping@openssh.com`. */
  FRAMES: 224,
} as const;

/** Reasons of a disconnect (RFC 4250 §4.2.2). */
export const DISCONNECT = {
  PROTOCOL_ERROR: 2,
  KEY_EXCHANGE_FAILED: 3,
  HOST_KEY_NOT_VERIFIABLE: 9,
  BY_APPLICATION: 11,
  TOO_MANY_CONNECTIONS: 12,
  NO_MORE_AUTH_METHODS: 14,
} as const;

/** §2: what every implementation can take (RFC 4253 §6.1), and the payload within it. */
export const GUARANTEED_PACKET_BYTES = 35_000;
export const GUARANTEED_PAYLOAD_BYTES = 32_768;
/** §2: what go-p2p takes. */
export const MAX_PACKET_BYTES = 262_144;

/** §5: the largest message of go-p2p. */
export const MAX_REQUEST_BYTES = 131_072;
/** §5: message number, empty name, and whether an answer is wanted. */
export const REQUEST_HEADER_BYTES = 6;

/** §1: a line of the version exchange, with its end, and all lines before the version (RFC 4253 §4.2). */
export const MAX_LINE_BYTES = 255;
export const MAX_PREAMBLE_BYTES = 8192;

/** §4: authentication requests of one connection. */
export const MAX_AUTH_REQUESTS = 16;

/** §3: when keys are exchanged again (RFC 4253 §9). */
export const REKEY_BYTES = 1_073_741_824;
export const REKEY_AFTER_MS = 3_600_000;
export const MIN_REKEY_BYTES = 1024;
export const MIN_REKEY_AFTER_MS = 1000;
/** §3: how long an exchange that this side began may take. */
export const REKEY_TIMEOUT_MS = 30_000;
/** §3: exchanges that the peer may begin at once, and in a second on average. */
export const PEER_REKEYS_AT_ONCE = 100;
export const PEER_REKEYS_PER_SECOND = 20;

/** §6: the extension by which peers of this project know each other, and its value. */
export const FRAMES_EXTENSION = 'frames@shoal';
export const FRAMES_VERSION = '1';

/** §5: how long a handler may take before a request without a deadline of its own is refused. */
export const SERVE_TIMEOUT_MS = 30_000;
