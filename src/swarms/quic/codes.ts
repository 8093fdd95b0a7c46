/** Application codes of the QUIC swarm, in resets and closes. go-p2p knows 0 and 1 for closes and resets nothing. */

export const CODE = {
  /** Close: the swarm was closed, or the connection is not needed any more. */
  NONE: 0,
  /** Reset of an answer: the handler refused, threw, or is not there. */
  REFUSED: 1,
  /** A message was larger than this side takes. */
  OVERSIZE: 2,
  /** The asker has given up, or the answer failed. */
  CANCELLED: 3,
  /** A malformed frame. */
  MALFORMED: 4,
  /** Close: `accept` refused the peer. */
  NOT_ACCEPTED: 5,
} as const;
