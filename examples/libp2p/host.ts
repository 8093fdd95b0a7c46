/**
 * A small libp2p host on the TCP node: multistream-select, Noise with identities that are verified, yamux, ping and identify.
 * It speaks with js-libp2p, go-libp2p and rust-libp2p. For one's own network a swarm of shoal does all this in one round trip.
 */

import type { Bytes, PublicKey } from 'shoal';
import { concatBytes, equalBytes, encodeText, encodeVarint, readVarint } from 'shoal/bytes';
import type { PrivateKey } from 'shoal/keys';
import {
  type Codec,
  createNode,
  handshake,
  type HandshakeContext,
  type HandshakeResult,
  type Node,
  noiseHandshake,
  onConnect,
  onDisconnect,
  reading,
  type TcpConnection,
  writing,
} from 'shoal/node';
import { encodeLibp2pKey, libp2pIdentity, libp2pPeerId } from './keys.ts';
import { Negotiation } from './multistream.ts';
import { field } from './protobuf.ts';
import { Yamux, type YamuxEvent, type YamuxStream } from './yamux.ts';

export const PING = '/ipfs/ping/1.0.0';
export const IDENTIFY = '/ipfs/id/1.0.0';
const NOISE = '/noise';
const YAMUX = '/yamux/1.0.0';
const PING_BYTES = 32;
const MAX_BUFFERED_BYTES = 1_048_576;

/** Bytes as they are: yamux cuts them. */
const RAW: Codec<Bytes, Uint8Array> = {
  decoder: () => {
    let chunk: Bytes | undefined;
    return {
      push: (bytes) => void (chunk = bytes),
      next: () => {
        const next = chunk;
        chunk = undefined;
        return next;
      },
      get bufferedBytes() {
        return chunk?.length ?? 0;
      },
    };
  },
  encoder: () => ({ encode: (bytes, out) => out.bytes(bytes) }),
};

/** A stream on which a protocol was agreed, or is being agreed on. */
export class Libp2pStream {
  readonly #peer: Libp2pPeer;
  readonly #stream: YamuxStream;
  #buffer: Bytes[] = []; // Bounded by MAX_BUFFERED_BYTES.
  #bytes = 0;
  #hasEnded = false;
  #wake: (() => void) | undefined;

  constructor(peer: Libp2pPeer, stream: YamuxStream) {
    this.#peer = peer;
    this.#stream = stream;
  }

  write(bytes: Uint8Array): void {
    this.#stream.write(bytes);
    this.#peer.flush();
  }

  end(): void {
    this.#stream.end();
    this.#peer.flush();
  }

  /** Exactly `length` bytes; `undefined` when the stream ends before. One at a time. */
  async read(length: number): Promise<Bytes | undefined> {
    while (this.#bytes < length) {
      if (this.#hasEnded) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const all = concatBytes(...this.#buffer);
    this.#buffer = [all.subarray(length)];
    this.#bytes -= length;
    return all.slice(0, length);
  }

  /** A message behind its length. */
  async readDelimited(): Promise<Bytes | undefined> {
    let head: Bytes = new Uint8Array(0);
    for (let length = readVarint(head); ; length = readVarint(head)) {
      if (length !== undefined) return length.value > MAX_BUFFERED_BYTES ? undefined : this.read(length.value);
      const next = head.length < 3 ? await this.read(1) : undefined;
      if (next === undefined) return undefined;
      head = concatBytes(head, next);
    }
  }

  take(bytes: Bytes): void {
    this.#buffer.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_BUFFERED_BYTES) this.finish();
    this.#wake?.();
  }

  finish(): void {
    this.#hasEnded = true;
    this.#wake?.();
  }
}

/** What is done with streams of a protocol that others open. */
export type Libp2pHandler = (stream: Libp2pStream, peer: Libp2pPeer) => void;

interface OpenStream {
  readonly stream: Libp2pStream;
  negotiation: Negotiation | undefined;
  readonly agreed: (protocol: string | undefined) => void;
}

/** A peer: a connection whose other end has proven its key. */
export class Libp2pPeer {
  readonly connection: TcpConnection<Uint8Array>;
  readonly id: string;
  readonly #host: Libp2pHost;
  readonly #streams = new Map<YamuxStream, OpenStream>(); // Bounded by yamux.
  readonly #muxer = new Negotiation('initiator', [YAMUX]);
  readonly #muxerAsked = new Negotiation('responder', [YAMUX]);
  readonly #yamux: Yamux;
  #isMuxed = false;
  readonly ready: Promise<void>;
  #becomesReady = (): void => {};

  constructor(host: Libp2pHost, connection: TcpConnection<Uint8Array>) {
    this.#host = host;
    this.connection = connection;
    this.id = libp2pPeerId(connection.publicKey!);
    this.ready = new Promise((resolve) => (this.#becomesReady = resolve));
    this.#yamux = new Yamux(connection.side === 'responder' ? 'initiator' : 'responder');
    host.send(connection, this.#negotiation.start());
  }

  get #negotiation(): Negotiation {
    return this.connection.side === 'responder' ? this.#muxer : this.#muxerAsked;
  }

  handleBytes(bytes: Bytes): void {
    let rest = bytes;
    if (!this.#isMuxed) {
      const { send, protocol, rest: behind } = this.#negotiation.push(bytes);
      if (send.length > 0) this.#host.send(this.connection, send);
      if (protocol === undefined) return;
      if (protocol === 'failed') {
        this.close();
        return;
      }
      this.#isMuxed = true;
      this.#becomesReady();
      rest = behind;
    }
    for (const event of this.#yamux.push(rest)) this.#handle(event);
    this.flush();
  }

  handleEnd(): void {
    for (const { stream, agreed } of this.#streams.values()) {
      stream.finish();
      agreed(undefined);
    }
  }

  /** Opens a stream for a protocol. @throws {Error} when the peer does not have it. */
  async open(protocol: string, style: 'window' | 'data' = 'window'): Promise<Libp2pStream> {
    await this.ready;
    const yamux = this.#yamux.open(style);
    const stream = new Libp2pStream(this, yamux);
    const negotiation = new Negotiation('initiator', [protocol]);
    const agreed = await new Promise<string | undefined>((resolve) => {
      this.#streams.set(yamux, { stream, negotiation, agreed: resolve });
      stream.write(negotiation.start());
    });
    if (agreed !== protocol) throw new Error(`${this.id} does not have ${protocol}`);
    return stream;
  }

  flush(): void {
    const bytes = this.#yamux.take();
    if (bytes.length > 0) this.#host.send(this.connection, bytes);
  }

  close(): void {
    void this.connection.disconnect();
  }

  #handle(event: YamuxEvent): void {
    if (event.type === 'closed') {
      this.close();
      return;
    }
    if (event.type === 'opened') {
      const stream = new Libp2pStream(this, event.stream);
      const negotiation = new Negotiation('responder', this.#host.protocols);
      const agreed = (protocol: string | undefined): void => {
        if (protocol !== undefined) this.#host.handler(protocol)?.(stream, this);
      };
      this.#streams.set(event.stream, { stream, negotiation, agreed });
      stream.write(negotiation.start());
      return;
    }
    const open = this.#streams.get(event.stream);
    if (open === undefined) return;
    if (event.type === 'data') this.#take(open, event.bytes);
    else {
      open.stream.finish();
      open.agreed(undefined);
      this.#streams.delete(event.stream);
    }
  }

  #take(open: OpenStream, bytes: Bytes): void {
    if (open.negotiation === undefined) {
      open.stream.take(bytes);
      return;
    }
    const { send, protocol, rest } = open.negotiation.push(bytes);
    if (send.length > 0) open.stream.write(send);
    if (protocol === undefined) return;
    open.negotiation = undefined;
    if (rest.length > 0) open.stream.take(rest);
    open.agreed(protocol === 'failed' ? undefined : protocol);
  }
}

/** What a host tells about itself, by identify. */
export interface Identified {
  readonly agent: string | undefined;
  readonly protocols: readonly string[];
}

/** A host. */
export class Libp2pHost implements AsyncDisposable {
  readonly node: Node<Bytes, Uint8Array>;
  readonly id: string;
  readonly #publicKey: PublicKey;
  readonly #peers = new Map<number, Libp2pPeer>(); // Bounded by the node's connections.
  readonly #handlers: ReadonlyMap<string, Libp2pHandler>;

  /** @param more - further protocols. */
  constructor(privateKey: PrivateKey, more: Readonly<Record<string, Libp2pHandler>> = {}) {
    this.#publicKey = privateKey.publicKey;
    this.id = libp2pPeerId(privateKey.publicKey);
    this.#handlers = new Map([
      [PING, (stream) => void echoPings(stream)],
      [IDENTIFY, (stream, peer) => this.#tellIdentity(stream, peer)],
      ...Object.entries(more),
    ]);
    const secure = noiseHandshake({ pattern: 'XX', hash: 'SHA256', identity: libp2pIdentity(privateKey) });
    const security = handshake((context) => upgrade(context, secure));
    this.node = createNode({ security, codec: RAW, bind: '127.0.0.1:0' });
    this.node.enable(writing());
    this.node.enable(reading({ onMessage: (connection, bytes) => this.#peers.get(connection.id)?.handleBytes(bytes) }));
    this.node.enable(onConnect((connection) => void this.#peers.set(connection.id, new Libp2pPeer(this, connection))));
    this.node.enable(
      onDisconnect(({ id }) => {
        this.#peers.get(id)?.handleEnd();
        this.#peers.delete(id);
      }),
    );
  }

  get protocols(): readonly string[] {
    return [...this.#handlers.keys()];
  }

  handler(protocol: string): Libp2pHandler | undefined {
    return this.#handlers.get(protocol);
  }

  send(connection: TcpConnection<Uint8Array>, bytes: Uint8Array): void {
    if (connection.state === 'open') connection.send(bytes);
  }

  /** Connects, and waits until streams can be opened. @throws {Error} when somebody else than `id` is there. */
  async dial(addr: string, id?: string): Promise<Libp2pPeer> {
    const connection = await this.node.connect(addr);
    await Promise.resolve(); // onConnect runs in a turn of its own
    const peer = this.#peers.get(connection.id)!;
    if (id !== undefined && peer.id !== id) {
      peer.close();
      throw new Error(`At ${addr} is ${peer.id}, not ${id}`);
    }
    await peer.ready;
    return peer;
  }

  /** Round-trip time in ms. @throws {Error} when something else comes back. */
  async ping(peer: Libp2pPeer, style?: 'window' | 'data'): Promise<number> {
    const stream = await peer.open(PING, style);
    const sent = this.node.realm.random(PING_BYTES);
    const startMs = this.node.realm.nowMs();
    stream.write(sent);
    const back = await stream.read(PING_BYTES);
    stream.end();
    if (back === undefined || !equalBytes(sent, back)) throw new Error(`${peer.id} has not sent the ping back`);
    return this.node.realm.nowMs() - startMs;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.node.close();
  }

  /** Source: libp2p's spec of identify. */
  #tellIdentity(stream: Libp2pStream, peer: Libp2pPeer): void {
    const message = concatBytes(
      field(1, encodeLibp2pKey(this.#publicKey)),
      field(2, multiaddrOf(this.node.listeningAddr ?? this.node.connections()[0]!.localAddr)),
      ...this.protocols.map((protocol) => field(3, encodeText(protocol))),
      field(4, multiaddrOf(peer.connection.addr)),
      field(5, encodeText('ipfs/0.1.0')),
      field(6, encodeText('shoal-example/0.1.0')),
    );
    stream.write(concatBytes(encodeVarint(message.length), message));
    stream.end();
  }
}

async function echoPings(stream: Libp2pStream): Promise<void> {
  for (let ping; (ping = await stream.read(PING_BYTES)) !== undefined;) stream.write(ping);
  stream.end();
}

/** `/ip4/…/tcp/…` in binary. */
function multiaddrOf(addr: string): Bytes {
  const [ip, port] = addr.split(':');
  return Uint8Array.of(4, ...ip!.split('.').map(Number), 6, Number(port) >>> 8, Number(port) & 0xff);
}

/** Agrees on Noise in the clear, then does it. */
async function upgrade(
  context: HandshakeContext,
  secure: (context: HandshakeContext) => Promise<HandshakeResult>,
): Promise<HandshakeResult> {
  const { stream, connection } = context;
  const negotiation = new Negotiation(connection.side === 'responder' ? 'initiator' : 'responder', [NOISE]);
  await stream.write(negotiation.start());
  for (;;) {
    // A byte at a time, so that nothing of what follows is taken.
    const { send, protocol } = negotiation.push(await stream.read(1));
    if (send.length > 0) await stream.write(send);
    if (protocol === 'failed') throw new Error('no Noise in common');
    if (protocol !== undefined) return secure(context);
  }
}
