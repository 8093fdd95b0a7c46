/** QUIC endpoints joined in memory: virtual time as plain numbers, a seed for everything that is left to chance. */

import type { QuicIdentity } from '../../../src/identity/quic-identity.ts';
import { readFileSync } from 'node:fs';
import { createSeededRandom, type SeededRandom } from '../../../src/base/seeded-random.ts';
import type { EngineFactory } from '../../../src/protocols/quic/engine.ts';
import type { QuicConnection } from '../../../src/protocols/quic/connection.ts';
import type { QuicEndpointOptions } from '../../../src/protocols/quic/endpoint-options.ts';
import { QuicEndpoint } from '../../../src/protocols/quic/endpoint.ts';
import type { QuicEvent } from '../../../src/protocols/quic/events.ts';
import type { QuicStream } from '../../../src/protocols/quic/stream.ts';
import { quicEngine } from '../../../src/quic/load-engine.ts';

/** Certificates made by OpenSSL 3: self-signed ones by key type, and `leaf` under a CA. */
const identities: Record<string, { chain: string[]; privateKey: string }> = JSON.parse(
  readFileSync(new URL('../../vectors/quic-identities.json', import.meta.url), 'utf8'),
);

export type Name = 'alice' | 'bob' | 'p256' | 'p384' | 'rsa' | 'leaf';

export function identity(name: Name): QuicIdentity {
  const { chain, privateKey } = identities[name]!;
  return { chain: chain.map((der) => fromBase64(der)), privateKey: fromBase64(privateKey) };
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'));
}

export const engines: EngineFactory = quicEngine();

/** What the network does to datagrams. */
export interface Link {
  readonly latencyMs: number;
  /** Up to so much more, so that datagrams overtake each other. */
  readonly jitterMs: number;
  /** Probabilities for each datagram. */
  readonly loss: number;
  readonly duplicate: number;
  readonly flip: number;
  readonly truncate: number;
  /** Larger datagrams vanish. */
  readonly maxBytes: number;
}

const PERFECT: Link = { latencyMs: 5, jitterMs: 0, loss: 0, duplicate: 0, flip: 0, truncate: 0, maxBytes: 65_535 };

interface Flight {
  readonly at: number;
  readonly order: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

/** An endpoint on the network, with everything it told. */
export class Node {
  readonly name: string;
  readonly endpoint: QuicEndpoint;
  /** Where its datagrams come from; change it to move. */
  address: number;
  readonly events: QuicEvent[] = [];
  /** Told at once; the place to act. */
  react: (event: QuicEvent) => void = () => {};

  constructor(name: string, endpoint: QuicEndpoint, address: number) {
    this.name = name;
    this.endpoint = endpoint;
    this.address = address;
  }

  all<T extends QuicEvent['type']>(type: T): Extract<QuicEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<QuicEvent, { type: T }> => event.type === type);
  }

  saw<T extends QuicEvent['type']>(type: T): Extract<QuicEvent, { type: T }> | undefined {
    return this.all(type)[0];
  }
}

export class Network {
  readonly random: SeededRandom;
  link: Link;
  now = 1000;
  /** Every datagram that was sent, in order. */
  readonly sent: Flight[] = [];
  /** Sees, and may replace, what is sent. */
  tap: (flight: Flight) => Flight | undefined = (flight) => flight;
  readonly #nodes: Node[] = [];
  #flights: Flight[] = [];
  #order = 0;

  constructor(seed: number, link: Partial<Link> = {}) {
    this.random = createSeededRandom(seed);
    this.link = { ...PERFECT, ...link };
  }

  add(name: Name, options: Partial<QuicEndpointOptions> = {}): Node {
    const endpoint = new QuicEndpoint(
      {
        engines,
        random: (length) => this.random.bytes(length),
        judge: () => undefined,
        identity: identity(name),
        alpn: ['test'],
        ...options,
      },
      this.now,
    );
    return this.attach(new Node(name, endpoint, 100 + this.#nodes.length));
  }

  attach(node: Node): Node {
    this.#nodes.push(node);
    return node;
  }

  /** The node is gone: what is sent to it vanishes. */
  detach(node: Node): void {
    this.#nodes.splice(this.#nodes.indexOf(node), 1);
  }

  /** Puts a datagram on its way. */
  send(from: number, to: number, bytes: Uint8Array): void {
    const flight = this.tap({ at: this.now, order: this.#order++, from, to, bytes });
    if (flight === undefined) return;
    this.sent.push(flight);
    const { link } = this;
    const chance = (p: number): boolean => p > 0 && this.random.next() < p;
    if (flight.bytes.length > link.maxBytes || chance(link.loss)) return;
    for (let copies = chance(link.duplicate) ? 2 : 1; copies > 0; copies--) {
      let copy = flight.bytes.slice();
      if (chance(link.flip)) {
        const at = Math.floor(this.random.next() * copy.length);
        copy[at] = copy[at]! ^ (1 << Math.floor(this.random.next() * 8));
      }
      if (chance(link.truncate)) copy = copy.slice(0, Math.floor(this.random.next() * copy.length));
      const at = this.now + link.latencyMs + (link.jitterMs > 0 ? this.random.next() * link.jitterMs : 0);
      this.#flights.push({ ...flight, at, order: this.#order++, bytes: copy });
    }
  }

  /** Takes everything that the endpoints want to do now; answers when the next of them wants to be woken. */
  settle(): number {
    let next = Infinity;
    for (let quiet = false; !quiet;) {
      quiet = true;
      next = Infinity;
      for (const node of this.#nodes) {
        const until = this.#drain(node, () => {
          quiet = false;
        });
        next = Math.min(next, until);
      }
    }
    return next;
  }

  #drain(node: Node, busy: () => void): number {
    for (;;) {
      const output = node.endpoint.poll();
      if (output.type === 'wait') return output.until ?? Infinity;
      busy();
      if (output.type === 'event') {
        node.events.push(output.event);
        node.react(output.event);
      } else {
        const { address, bytes, segmentBytes } = output.transmit;
        for (let at = 0; at < bytes.length; at += segmentBytes) {
          this.send(node.address, address, bytes.subarray(at, at + segmentBytes));
        }
      }
    }
  }

  /** Runs until `done`, at most `ms` long; answers whether it came. */
  run(done: () => boolean, ms = 60_000): boolean {
    const end = this.now + ms;
    for (;;) {
      const wake = this.settle();
      if (done()) return true;
      const arrival = this.#flights.reduce((first, flight) => Math.min(first, flight.at), Infinity);
      const at = Math.max(this.now, Math.min(wake, arrival));
      if (at > end) {
        this.now = end;
        return done();
      }
      this.now = at;
      const due = this.#flights
        .filter((flight) => flight.at <= at)
        .toSorted((a, b) => a.at - b.at || a.order - b.order);
      this.#flights = this.#flights.filter((flight) => flight.at > at);
      for (const node of this.#nodes) {
        const datagrams = due.filter((flight) => flight.to === node.address);
        if (datagrams.length > 0) {
          node.endpoint.handleDatagrams(
            at,
            datagrams.map(({ from, bytes }) => ({ address: from, bytes })),
          );
        }
        if (wake <= at) node.endpoint.handleTimeout(at);
      }
    }
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.run(() => false, ms);
  }
}

export interface Joined {
  readonly net: Network;
  readonly alice: Node;
  readonly bob: Node;
  /** Alice's connection to Bob. */
  readonly there: QuicConnection;
  /** The same, as Bob has it. */
  readonly back: QuicConnection;
}

/** Alice has dialled Bob, and both are connected. */
export function join(
  options: { seed?: number; link?: Partial<Link> } & {
    both?: Partial<QuicEndpointOptions>;
    alice?: Partial<QuicEndpointOptions>;
    bob?: Partial<QuicEndpointOptions>;
  } = {},
): Joined {
  const net = new Network(options.seed ?? 1, options.link);
  const alice = net.add('alice', { ...options.both, ...options.alice });
  const bob = net.add('bob', { ...options.both, ...options.bob });
  const there = alice.endpoint.connect(net.now, bob.address);
  const connected = net.run(() => there.state === 'open' && bob.saw('connected') !== undefined);
  if (!connected) throw new Error(`not connected: ${JSON.stringify(there.closed)}`);
  return { net, alice, bob, there, back: bob.saw('connected')!.connection };
}

/** Collects what comes on a stream, as it comes. */
export class Reader {
  readonly parts: Uint8Array[] = [];
  #length = 0;

  take(stream: QuicStream): void {
    for (let bytes = stream.read(); bytes !== undefined; bytes = stream.read()) {
      this.parts.push(bytes);
      this.#length += bytes.length;
    }
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }
}

/** Has a node read everything that comes, on all streams. */
export function readAll(node: Node): Map<QuicStream, Reader> {
  const readers = new Map<QuicStream, Reader>();
  const before = node.react;
  node.react = (event) => {
    before(event);
    if (event.type !== 'stream' && event.type !== 'readable') return;
    let reader = readers.get(event.stream);
    if (reader === undefined) readers.set(event.stream, (reader = new Reader()));
    reader.take(event.stream);
  };
  return readers;
}

/** Has a node write `bytes` and the end, as fast as the stream takes them. */
export function writeAll(node: Node, stream: QuicStream, bytes: Uint8Array): void {
  let at = stream.write(bytes, true);
  const before = node.react;
  node.react = (event) => {
    before(event);
    if (event.type !== 'writable' || event.stream !== stream) return;
    at += stream.write(bytes.subarray(at), true);
  };
}

/** `length` bytes that no shift or swap leaves the same. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 2_654_435_761) >>> 24);
}

export const text = (s: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(s);
