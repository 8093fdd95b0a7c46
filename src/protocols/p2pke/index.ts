/**
 * `shoal/machines/p2pke`: the P2PKE protocol as machines without I/O, for programs that have datagrams and no swarm.
 *
 * @example
 * ```ts
 * const channel = new Channel({ identity: createP2pkeIdentity({ privateKey, random }) });
 * channel.handleDatagram(now, wallMs, datagram);
 * ```
 */

export {
  CHANNEL_LIMITS,
  type ChannelEvent,
  type ChannelLimits,
  type ChannelOptions,
  type ChannelTimer,
  type ChannelVerdict,
  type ResolvedChannelLimits,
} from './channel-options.ts';
export { Channel } from './channel.ts';
export { INIT_HELLO_BYTES, INIT_HELLO_WITH_COOKIE_BYTES, MAX_MESSAGE_BYTES, OVERHEAD_BYTES } from './constants.ts';
export { type Admission, HandshakeGate, HANDSHAKE_GATE_LIMITS, type HandshakeGateLimits } from './handshake-gate.ts';
export { type P2pkeDrop } from './drop-reason.ts';
export { type VerifiedHello, verifyInitHello } from './hello.ts';
export { createP2pkeIdentity, type P2pkeIdentity, type P2pkeIdentityOptions } from './identity.ts';
export { decodeInitHello, type InitHello, type InitHelloDatagram } from './messages.ts';
