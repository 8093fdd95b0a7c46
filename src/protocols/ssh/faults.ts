/** What can be wrong with the bytes of a peer, and how a connection has ended. */

/** Violations of the protocol. Each ends the connection. */
export type SshFault =
  /** A line or packet that cannot be read. */
  | 'malformed'
  /** A packet larger than this side takes. */
  | 'oversize'
  /** The peer speaks another version of SSH. */
  | 'wrong_version'
  /** There is no algorithm that both sides have. */
  | 'no_algorithm'
  /** A packet that was not sealed with the keys of this connection, or not in this place. */
  | 'undecryptable'
  /** A message that is not allowed here. */
  | 'unexpected'
  /** A signature of the exchange that is not the peer's. */
  | 'bad_signature'
  /** Too many attempts to authenticate. */
  | 'auth_storm'
  /** Too many exchanges of keys. */
  | 'rekey_flood';

/** How a connection has ended. */
export interface SshClosed {
  readonly by: 'peer' | 'local' | 'fault' | 'timeout';
  /** The reason code of the disconnect (RFC 4250 §4.2.2). */
  readonly code: number;
  /** Text of the peer, at most 256 characters, or of this side. */
  readonly reason: string;
  readonly fault?: SshFault | undefined;
}
