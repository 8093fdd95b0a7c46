/** Why a datagram was dropped. A closed set: a minor release may add to it. */
export type P2pkeDrop =
  /** No room for a header and a tag. */
  | 'too_short'
  /** A handshake message that is not what its counter says, or a counter that is not used. */
  | 'malformed'
  /** An InitHello of another version of the protocol. */
  | 'bad_version'
  /** A key of an algorithm that the registry does not know, or no usable key. */
  | 'unknown_key'
  /** A handshake signature that is not by the key in the message. */
  | 'bad_signature'
  /** An ephemeral key of low order. */
  | 'low_order'
  /** Received before, or older than the window. */
  | 'replayed'
  /** A claim not newer than the last handshake with this key. */
  | 'stale_hello'
  /** Data before its session was complete. */
  | 'early_data'
  /** Data that no session here can open: forged, or of a session that is gone. */
  | 'unknown_session'
  /** A handshake message that is not expected. */
  | 'unexpected'
  /** A key that is not accepted here. */
  | 'not_accepted'
  /** A key that is not the one this channel is for. */
  | 'identity_mismatch'
  /** More handshakes than the limits allow. */
  | 'overloaded';
