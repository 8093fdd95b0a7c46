/** A channel of ours on a UDP socket, for tests against the Go peer; with a link that can be told to misbehave. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Bytes } from '../src/base/bytes.ts';
import { generateKey, peerIdOfKey } from '../src/identity/keys.ts';
import { Driver } from '../src/runtime/driver.ts';
import { systemRealm } from '../src/runtime/system-realm.ts';
import { Channel, createP2pkeIdentity, type ChannelEvent, type ChannelLimits } from '../src/protocols/p2pke/index.ts';

const PATIENCE_MS = 15_000;

/** What happens to a datagram: how many copies arrive (1, or 0: lost), and how much later. */
export interface Verdict {
  readonly copies?: number;
  readonly delayMs?: number;
}

/** One end of ours. */
export class OurEnd implements AsyncDisposable {
  readonly received: string[] = [];
  readonly events: ChannelEvent[] = [];
  /** Counters of what was sent, in order. */
  readonly sent: number[] = [];
  /** What happens to the n-th datagram with a counter, in either direction. */
  link: (direction: 'in' | 'out', counter: number, index: number) => Verdict = () => ({});
  readonly #socket: Socket;
  readonly #accept: (peerId: string) => boolean;
  readonly #channel: Channel;
  readonly #driver: Driver<Bytes, ChannelEvent>;
  readonly #counts = new Map<string, number>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #remote: { readonly port: number; readonly address: string } | undefined;
  #waiting: string[] = [];
  #wakers: (() => void)[] = [];
  #id = '';

  private constructor(socket: Socket, accept: (peerId: string) => boolean, limits: ChannelLimits) {
    this.#socket = socket;
    const random = systemRealm.random.bind(systemRealm);
    const identity = createP2pkeIdentity({ privateKey: generateKey(), random });
    this.#id = peerIdOfKey(identity.publicKey);
    this.#accept = accept;
    this.#channel = new Channel({ identity, limits });
    this.#driver = new Driver(this.#channel, {
      realm: systemRealm,
      transmit: (datagram) => this.#transmit(datagram),
      event: (event) => this.#event(event),
      failed: (bug) => {
        throw bug;
      },
    });
    socket.on('message', (datagram, from) => {
      this.#remote ??= from;
      this.#judge('in', datagram, () => {
        const message = this.#channel.handleDatagram(systemRealm.nowMs(), systemRealm.wallMs(), datagram);
        if (message instanceof Uint8Array) this.received.push(new TextDecoder().decode(message));
        this.#wake();
        this.#driver.poll();
      });
    });
  }

  static async open(accept: (peerId: string) => boolean = () => true, limits: ChannelLimits = {}): Promise<OurEnd> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new OurEnd(socket, accept, limits);
  }

  get address(): string {
    return `${this.#id}@127.0.0.1:${this.#socket.address().port}`;
  }

  /** Where to send; `<PeerID>@127.0.0.1:port`. */
  connect(address: string): void {
    const [, host, port] = /@(.*):(\d+)$/.exec(address)!;
    this.#remote = { address: host!, port: Number(port) };
  }

  open(): void {
    this.#channel.open(systemRealm.nowMs(), systemRealm.wallMs());
    this.#driver.poll();
  }

  tell(text: string): void {
    const payload = new TextEncoder().encode(text);
    const datagram = this.#channel.seal(systemRealm.nowMs(), systemRealm.wallMs(), payload);
    if (datagram === undefined) this.#waiting.push(text);
    else this.#transmit(datagram);
    this.#driver.poll();
  }

  /** Waits until `condition` holds; looks again at everything that happens. */
  async until(condition: () => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    while (!condition()) {
      await new Promise<void>((resolve, reject) => {
        this.#wakers.push(resolve);
        deadline.addEventListener('abort', () =>
          reject(new Error(`waited too long; received ${JSON.stringify(this.received)}, sent ${this.sent.join()}`)),
        );
      });
    }
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  #event(event: ChannelEvent): void {
    this.events.push(event);
    if (event.type === 'accept') {
      const { publicKey } = event;
      const verdict = this.#accept(peerIdOfKey(publicKey)) ? 'accepted' : 'identity_mismatch';
      this.#channel.answer(systemRealm.nowMs(), systemRealm.wallMs(), publicKey, verdict);
    }
    if (event.type === 'ready') for (const text of this.#waiting.splice(0)) this.tell(text);
    this.#wake();
  }

  #judge(direction: 'in' | 'out', datagram: Uint8Array, pass: () => void): void {
    const counter = new DataView(datagram.buffer, datagram.byteOffset).getUint32(0);
    const key = `${direction}${counter}`;
    const index = this.#counts.get(key) ?? 0;
    this.#counts.set(key, index + 1);
    const { copies = 1, delayMs = 0 } = this.link(direction, counter, index);
    for (let i = 0; i < copies; i++) {
      if (delayMs === 0) {
        pass();
        continue;
      }
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        pass();
      }, delayMs);
      this.#timers.add(timer);
    }
  }

  #transmit(datagram: Uint8Array): void {
    this.sent.push(new DataView(datagram.buffer).getUint32(0));
    const { port, address } = this.#remote!;
    this.#judge('out', datagram, () => this.#socket.send(datagram, port, address));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#driver.stop();
    this.#channel.close();
    this.#socket.close();
    await once(this.#socket, 'close');
  }
}
