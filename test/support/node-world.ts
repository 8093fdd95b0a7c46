/** What tests of the node in virtual time share: hosts on a network in memory. */

import { type Bytes, decodeText, encodeText } from '../../src/base/bytes.ts';
import type { P2PErrorCode } from '../../src/core/errors.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import {
  type Codec,
  type TcpConnection,
  createNode,
  lengthDelimited,
  mapCodec,
  type Node,
  type NodeOptions,
  reading,
  type ReadingOptions,
  writing,
  type WritingOptions,
} from '../../src/node/index.ts';
import { codeOf } from './code-of.ts';
import { type FlatNetwork, flatNetwork } from './flat-network.ts';
import { createMemoryRealm, type MemoryRealm } from '../../src/swarms/memory/index.ts';

/** Texts in frames with four bytes of length. */
export const texts: Codec<string, string> = mapCodec(lengthDelimited({ maxFrameBytes: 1_000_000 }), {
  decode: (bytes: Bytes): string => decodeText(bytes)!,
  encode: (text: string) => encodeText(text),
});

/** A node that reads and writes texts, and listens. */
export interface Talker {
  readonly node: Node<string, string>;
  readonly heard: string[];
  readonly addr: string;
}

/** Options of a node without what a world gives it. */
type Given<In, Out> = Partial<NodeOptions<In, Out>>;

export class World {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly net: FlatNetwork;
  #hosts = 0;

  constructor(options: { readonly seed?: number; readonly latencyMs?: number; readonly windowBytes?: number } = {}) {
    const { seed = 1, latencyMs = 1, windowBytes } = options;
    this.realm = createMemoryRealm({ clock: 'virtual', seed });
    this.net = flatNetwork({ realm: this.realm, seed, latencyMs, windowBytes });
  }

  get clock(): VirtualClock {
    return this.realm.clock;
  }

  /** A node on a host of its own, or on the one with this IP. Its messages are texts unless it has another codec. */
  node<In, Out>(options: Given<In, Out> & { readonly codec: Codec<In, Out> }, ip?: string): Node<In, Out>;
  node(options?: Given<string, string>, ip?: string): Node<string, string>;
  node(options: Given<string, string> = {}, ip: string = this.#newIp()): Node<string, string> {
    const { realm } = this;
    const network = this.net.host(ip);
    return createNode({ security: 'none', codec: texts, realm, network, bind: `${ip}:0`, ...options });
  }

  #newIp(): string {
    this.#hosts++;
    return `10.0.${this.#hosts >> 8}.${this.#hosts & 255}`;
  }

  /** A node that reads and writes texts, and listens. */
  async talker(
    options: Given<string, string> = {},
    read: Partial<ReadingOptions<string, string>> = {},
    write: WritingOptions = {},
  ): Promise<Talker> {
    const node = this.node(options);
    const heard: string[] = [];
    node.enable(writing(write));
    node.enable(reading({ onMessage: (_, text) => void heard.push(text), ...read }));
    return { node, heard, addr: await node.listen() };
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise);
  }

  /** Connects, and gives the other end time to know. */
  async connect<Out>(from: Node<unknown, Out>, addr: string): Promise<TcpConnection<Out>> {
    const connection = await this.run(from.connect(addr));
    await this.clock.advance(10);
    return connection;
  }

  /** How a promise ends, once time has gone on. */
  codeOf(promise: Promise<unknown>): Promise<P2PErrorCode | 'resolved'> {
    return codeOf(this.run(promise));
  }

  async close(...nodes: readonly Node[]): Promise<void> {
    await this.run(Promise.all(nodes.map((node) => node.close())));
  }
}

/** A hook's wait for nothing, until its signal. */
export function never(signal?: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
}

/** Text as it is, without frames: for frames by hand. */
export const rawTexts: Codec<never, string> = {
  decoder: () => ({ push: () => undefined, next: () => undefined, bufferedBytes: 0 }),
  encoder: () => ({
    encode: (text: string, out: { bytes(bytes: Uint8Array): void }): void =>
      out.bytes(Uint8Array.from(text, (character) => character.codePointAt(0)!)),
  }),
};
