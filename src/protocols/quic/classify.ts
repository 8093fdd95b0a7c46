/** Telling QUIC from what else may come over the same socket. */

/** Set in all version 1 packets (RFC 9000 §17.2, §17.3); shoal's endpoints never grease it. */
const FIXED_BIT = 0x40;
/** Set in long headers. */
const LONG_HEADER = 0x80;

/**
 * Whether a datagram may be QUIC. STUN, TURN channels, DTLS and ZRTP are not (RFC 9443 §3), nor is anything that begins
 * with a byte below 64.
 */
export function isQuicDatagram(datagram: Uint8Array): boolean {
  const first = datagram[0];
  if (first === undefined) return false;
  if ((first & FIXED_BIT) !== 0) return true;
  // Version Negotiation may leave the fixed bit out (RFC 9000 §17.2.1); its version is 0.
  return (
    (first & LONG_HEADER) !== 0 &&
    datagram.length >= 7 &&
    (datagram[1]! | datagram[2]! | datagram[3]! | datagram[4]!) === 0
  );
}
