/**
 * `shoal/node`: a TCP node. Hooks determine what it does with connections: reading, writing, onConnect, onDisconnect;
 * `security` encrypts and authenticates them.
 *
 * @example
 * ```ts
 * const privateKey = generateKey();
 * await using node = createNode({ security: tls({ privateKey }), codec: lengthDelimited() });
 * node.enable(writing());
 * node.enable(reading({ onMessage: (connection, bytes) => void connection.send(bytes) }));
 * await node.listen();
 * ```
 */

export { lengthDelimited, type LengthDelimitedOptions } from './codecs/length-delimited.ts';
export { lines, type LinesOptions } from './codecs/lines.ts';
export { varintDelimited, type VarintDelimitedOptions } from './codecs/varint-delimited.ts';
export {
  type Codec,
  type CodecMap,
  type Decoder,
  type DecoderOptions,
  type Encoder,
  type FrameWriter,
  mapCodec,
} from './codec.ts';
export { connectNodes } from './connect-nodes.ts';
export {
  type Disconnect,
  type DisconnectOptions,
  type DisconnectOrigin,
  type SendOptions,
  type TcpConnection,
} from './connection.ts';
export { createNode } from './create-node.ts';
export { type Handshake, handshake, type HandshakeContext, type HandshakeOptions } from './handshake.ts';
export { type HandshakeStream } from './handshake-stream.ts';
export { type Hook, type HookKind } from './hook.ts';
export { type ConnectionLimits } from './limits.ts';
export { type BanOptions, type ConnectOptions, type Node } from './node.ts';
export { noise, noiseHandshake, type NoiseOptions } from './noise.ts';
export { type NoiseBinding, type NoiseIdentity } from './noise-identity.ts';
export { onConnect, type OnConnectContext, type OnConnectOptions } from './on-connect.ts';
export { onDisconnect, type OnDisconnectContext, type OnDisconnectOptions } from './on-disconnect.ts';
export { type NodeAccept, type NodeAcceptPeer, type NodeOptions } from './options.ts';
export { type RateLimit } from './rate.ts';
export { reading, type ReadingOptions } from './reading.ts';
export {
  type ConnectionStats,
  type DisconnectReason,
  type Heuristics,
  type NodeStats,
  type RefusalReason,
  type Traffic,
  type WireBytes,
} from './stats.ts';
export { tls, tlsHandshake, type TlsOptions } from './tls.ts';
export { type Pipe, type PipeSink, type PipeSpace } from '../net/pipe.ts';
export { systemNetwork } from '../net/system-network.ts';
export { type HandshakeResult, type Transform } from './transform.ts';
export { writing, type WritingOptions } from './writing.ts';
