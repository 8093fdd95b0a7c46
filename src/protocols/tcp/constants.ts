/** Constants of the TCP swarm's protocol. Source of all: docs/wire/tcp.md. */

/** §3 */
export const TCP_VERSION = 1;
export const MIN_WINDOW_BYTES = 1024;
export const HELLO_TIMEOUT_MS = { initiator: 5000, responder: 10_000 } as const;

/** §2: type and fields of a frame. */
export const MAX_FRAME_BYTES = 65_600;

/** §4: the payload sent in one frame, and in one chunk; received chunks may be larger. */
export const CHUNK_BYTES = 32_768;
export const MAX_UNFINISHED = 512;

/** Frames handled without yielding: a chunk of 64 KiB can contain 32 768. */
export const MAX_FRAMES_PER_TURN = 1024;

/**
 * Requests handled before their answers are sent, when there are more. Measured: with 64 asks in flight the rate grows by 1.4; parts of
 * 16 take more CPU time than they gain.
 */
export const PART_REQUESTS = 32;

/** The memory of a message in addition to its bytes, so that many small messages are counted correctly. */
export const HELD_MESSAGE_BYTES = 512;

/** §5: the cost of a message in addition to its size. */
export const MESSAGE_COST_BYTES = 64;

/** §6 */
export const REFUSAL_TOO_LARGE = 0;
export const REFUSAL_PLAIN = 255;
export const MAX_REFUSAL_BYTES = 32_768;

/** §7 */
export const PING_AFTER_MS = 15_000;
export const PING_TIMEOUT_MS = 15_000;
export const MAX_PING_BYTES = 8;

/** §8 */
export const BYE_TIMEOUT_MS = 10_000;
export const MAX_REASON_BYTES = 256;
export const BYE = { CLOSED: 0, IDLE: 1, REPLACED: 2, FAULT: 3, UNRESPONSIVE: 4, TOO_MANY: 5, OVERLOADED: 6 } as const;
