/** Numbers of P2PKE. Source of each: docs/wire/p2pke.md, which takes those marked (go-p2p) from the original. */

/** Noise protocol name (go-p2p). */
export const PROTOCOL_NAME = 'Noise_NN_25519_ChaChaPoly_BLAKE2b';

/** Counters of the four handshake messages (go-p2p). */
export const INIT_HELLO = 0;
export const RESP_HELLO = 1;
export const INIT_DONE = 2;
export const RESP_DONE = 3;

/** First counter of data in either direction (go-p2p). 4 to 15 are never sent, and dropped when they come. */
export const FIRST_DATA_COUNTER = 16;

/** Counters from here on are never used (go-p2p `MaxNonce`): the last usable one is 2^32 − 3. */
export const MAX_COUNTER = 0xffff_fffe;

/**
 * Counter of messages that only this library sends: cookie reply, time reply, acknowledgement of the confirm; told apart by length.
 * The original ignores it: it is not below `MAX_COUNTER`.
 */
export const EXTENSION = 0xffff_ffff;

/** An empty message whose counter is a multiple of this is a keep-alive. */
export const KEEP_ALIVE_STRIDE = 4096;

export const HEADER_BYTES = 4;
export const TAG_BYTES = 16;
/** What a message costs on the wire beside itself (go-p2p): header and tag. */
export const OVERHEAD_BYTES: number = HEADER_BYTES + TAG_BYTES;
/** The longest message (go-p2p): what fits into a UDP datagram. */
export const MAX_MESSAGE_BYTES: number = 65535 - OVERHEAD_BYTES;

/** Size of the first message of a handshake with Ed25519 keys: the inner MTU must be at least this. */
export const INIT_HELLO_BYTES = 166;
/** The same with a cookie in it, which a peer under load asks for. */
export const INIT_HELLO_WITH_COOKIE_BYTES = 184;

/** Width of the replay window in counters (go-p2p, as WireGuard: 127 words of 64 bits). */
export const REPLAY_WINDOW = 8128;

/** Purposes of signatures (go-p2p). */
export const PURPOSE_TIMESTAMP = 'p2pke/timestamp';
export const PURPOSE_CHANNEL_BINDING = 'p2pke/channel-binding';

/** The version in InitHello (go-p2p writes it and does not read it; here any other is dropped). */
export const VERSION = 1;

/** Bytes of a TAI64N timestamp. */
export const TIMESTAMP_BYTES = 12;

/** Bytes of a cookie, and of the session id that a cookie reply echoes. */
export const COOKIE_BYTES = 16;
