/** A QUIC endpoint on a memory swarm without the manners of `shoal/quic`: for peers of another make, and for bad ones. */

import type { MemoryAddr, MemoryRealm } from '../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { Driver } from '../../src/runtime/driver.ts';
import { type PrivateKey, peerIdOfKey } from '../../src/identity/keys.ts';
import { AddressTable } from '../../src/protocols/quic/address-table.ts';
import type { QuicConnection } from '../../src/protocols/quic/connection.ts';
import type { QuicEndpointOptions } from '../../src/protocols/quic/endpoint-options.ts';
import { QuicEndpoint } from '../../src/protocols/quic/endpoint.ts';
import type { OutboundDatagrams } from '../../src/protocols/quic/engine.ts';
import type { QuicEvent } from '../../src/protocols/quic/events.ts';
import type { QuicStream } from '../../src/protocols/quic/stream.ts';
import { type QuicAddr, quicAddr } from '../../src/swarms/quic/address.ts';
import { identityOf } from '../../src/identity/quic-identity.ts';
import { quicEngine } from '../../src/quic/load-engine.ts';

export class RawQuicPeer {
  readonly addr: QuicAddr<MemoryAddr>;
  readonly endpoint: QuicEndpoint;
  /** Everything that has happened, in order. */
  readonly events: QuicEvent[] = [];
  /** What it does about it. */
  on: (event: QuicEvent) => void = () => {};
  readonly #realm: MemoryRealm<VirtualClock>;
  readonly #driver: Driver<OutboundDatagrams, QuicEvent>;
  readonly #addresses = new AddressTable<MemoryAddr>();

  constructor(realm: MemoryRealm<VirtualClock>, key: PrivateKey, options: Partial<QuicEndpointOptions> = {}) {
    this.#realm = realm;
    const inner = realm.swarm();
    const [local] = inner.localAddrs();
    this.addr = quicAddr(peerIdOfKey(key.publicKey), local!);
    this.endpoint = new QuicEndpoint(
      {
        engines: quicEngine(),
        random: (length) => realm.random(length),
        judge: () => undefined,
        identity: identityOf(key, realm),
        alpn: ['p2p'],
        maxMtuBytes: 1500,
        addresses: this.#addresses,
        ...options,
      },
      realm.nowMs(),
    );
    this.#driver = new Driver(this.endpoint, {
      realm,
      transmit: ({ address, bytes, segmentBytes }) => {
        const to = this.#addresses.get(address);
        for (let at = 0; at < bytes.length && to !== undefined; at += segmentBytes) {
          void inner.tell(to, bytes.subarray(at, at + segmentBytes));
        }
      },
      event: (event) => {
        this.events.push(event);
        this.on(event);
      },
      failed: (bug) => {
        throw bug;
      },
      background: true,
    });
    // Each datagram by itself, as most implementations read them: an end in the next one has not come yet.
    inner.listen(({ src, payload }) => {
      const address = this.#addresses.numberOf(src.text, () => src);
      this.endpoint.handleDatagrams(realm.nowMs(), [{ address, bytes: payload }]);
      this.flush();
    });
  }

  /** Sends what its calls have left to send. */
  flush(): void {
    this.#driver.poll();
  }

  connect(to: MemoryAddr): QuicConnection {
    const connection = this.endpoint.connect(
      this.#realm.nowMs(),
      this.#addresses.numberOf(to.text, () => to),
    );
    this.flush();
    return connection;
  }

  /** Connects, and waits until that is done. */
  async connected(to: MemoryAddr): Promise<QuicConnection> {
    const connection = this.connect(to);
    for (let i = 0; i < 100 && connection.state === 'handshake'; i++) await this.#realm.clock.advance(10);
    if (connection.state !== 'open') throw new Error(`the raw peer was not let in: ${connection.closed?.reason}`);
    return connection;
  }

  close(): void {
    this.endpoint.close(this.#realm.nowMs());
    this.flush();
    this.#driver.stop();
  }
}

/** A frame of an ask as go-p2p has it. */
export function frame(payload: Uint8Array, announced: number = payload.length): Uint8Array {
  const bytes = new Uint8Array(4 + payload.length);
  new DataView(bytes.buffer).setUint32(0, announced);
  bytes.set(payload, 4);
  return bytes;
}

/** Reads everything that is there now. */
export function readAll(stream: QuicStream): Uint8Array {
  const parts: number[] = [];
  for (let bytes; (bytes = stream.read()) !== undefined;) parts.push(...bytes);
  return Uint8Array.from(parts);
}

/**
 * Makes a raw peer answer asks as go-p2p's quicswarm does: it reads exactly the frame and never looks again, so that a
 * stream whose end comes later is never free; it allows a hundred streams.
 */
export function serveAsGoP2p(peer: RawQuicPeer, answer: (request: Uint8Array) => Uint8Array | undefined): void {
  const requests = new Map<QuicStream, number[]>();
  peer.on = (event) => {
    if (event.type !== 'stream' && event.type !== 'readable') return;
    const { stream } = event;
    if (stream.kind !== 'bidi' || stream.opened === 'here') return;
    if (event.type === 'stream') requests.set(stream, []);
    const got = requests.get(stream);
    if (got === undefined) return;
    const wanted = (): number =>
      got.length < 4 ? 4 - got.length : 4 + new DataView(Uint8Array.from(got).buffer).getUint32(0) - got.length;
    while (wanted() > 0) {
      const bytes = stream.read(wanted());
      if (bytes === undefined) return;
      got.push(...bytes);
    }
    requests.delete(stream);
    // quic-go knows an end that came with the last bytes, and only that one.
    stream.read(1);
    const response = answer(Uint8Array.from(got.slice(4)));
    if (response === undefined) stream.finish();
    else stream.write(frame(response), true);
  };
}
