/**
 * `shoal/node`: a TCP node. Everything it does with connections is a hook that you enable: handshake, reading, writing,
 * onConnect, onDisconnect.
 *
 * @example
 * ```ts
 * await using node = createNode({ bind: '127.0.0.1:0' });
 * const out = node.enable(writing({ codec: lengthDelimited() }));
 * node.enable(reading({ codec: lengthDelimited(), onMessage: (peer, bytes) => void out.send(peer, bytes) }));
 * await node.listen();
 * ```
 */

export { lengthDelimited, type LengthDelimitedOptions } from './codecs/length-delimited.ts';
export { lines, type LinesOptions } from './codecs/lines.ts';
export { varintDelimited, type VarintDelimitedOptions } from './codecs/varint-delimited.ts';
export { type Codec, type CodecMap, type Decoder, type Encoder, type FrameWriter, mapCodec } from './codec.ts';
export { connectNodes } from './connect-nodes.ts';
export { topology, type Topology } from '../base/topology.ts';
export { type Connection, type Disconnect, type DisconnectOrigin, type LocalRole } from './connection.ts';
export { handshake, type HandshakeContext, type HandshakeOptions, type HandshakeStream } from './handshake.ts';
export { type Hook, type HookHandle, type HookKind } from './hook.ts';
export { type ConnectionLimits } from './limits.ts';
export { type DialOptions, type Link, type Listener, type ListenOptions, type Network } from '../net/network.ts';
export { createMemoryNetwork, type MemoryNetwork, type MemoryNetworkOptions } from '../net/memory-network.ts';
export { type BanOptions, type ConnectOptions, createNode, type DisconnectOptions, type Node } from './node.ts';
export { noise, noiseHandshake, type NoiseOptions } from './noise.ts';
export { type NoiseBinding, type NoiseIdentity } from './noise-identity.ts';
export { onConnect, type OnConnectContext, type OnConnectOptions } from './on-connect.ts';
export { onDisconnect, type OnDisconnectContext, type OnDisconnectOptions } from './on-disconnect.ts';
export { type NodeOptions } from './options.ts';
export { type RateLimit } from './rate.ts';
export { reading, type ReadingHandle, type ReadingOptions } from './reading.ts';
export {
  type ConnectionStats,
  type DisconnectReason,
  type Heuristics,
  type NodeStats,
  type RefusalReason,
  type Traffic,
} from './stats.ts';
export { tls, type TlsOptions } from './tls.ts';
export { type Pipe, type PipeSink } from '../net/pipe.ts';
export { type HandshakeResult, type Transform, type Transport } from './transport.ts';
export { type SendOptions, writing, type WritingHandle, type WritingOptions } from './writing.ts';
