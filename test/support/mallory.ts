/** A hostile peer of connection managers, over TCP. */

import { createHash } from 'node:crypto';

import type { Bytes } from '../../src/base/bytes.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import type { Peers } from '../../src/peers/index.ts';
import { NEWEST_VERSION, PACKET } from '../../src/protocols/peers/constants.ts';
import { decodeDenied, decodeHello, encodeHello, type Hello } from '../../src/protocols/peers/hello.ts';
import { encodePing, tagOf } from '../../src/protocols/peers/packets.ts';
import { connectionsOf } from '../../src/sessions/index.ts';
import { openTcpSwarm, type TcpAddr, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import type { PeersWorld } from './peers-world.ts';

const NETWORK = new Uint8Array(createHash('sha256').update('shoal network\0shoal').digest());

/** A peer that speaks the wire format and follows no rule of it. */
export class Mallory {
  readonly #random: (length: number) => Bytes;
  readonly #swarm: TcpSwarm;
  readonly #to: TcpAddr;
  /** Packets of the victim, by type; only counted, but for the last welcome. */
  readonly heard: Map<number, number> = new Map();
  welcome: Hello | undefined;
  session: Bytes;
  /** Connections that others opened to it. */
  dialled = 0;
  answersPings = false;
  /** Connections that ended. */
  ended = 0;
  denied: number | undefined;

  private constructor(swarm: TcpSwarm, victim: Peers, key: number) {
    const random = createSeededRandom(key);
    this.#random = (length) => random.bytes(length);
    this.#swarm = swarm;
    this.#to = swarm.parseAddr(victim.addrs.find((addr) => addr.startsWith('tcp://'))!.slice('tcp://'.length));
    this.session = this.#random(8);
    swarm.listen(({ payload }) => this.#hear(payload));
    connectionsOf(swarm)!.onDisconnected(() => void this.ended++);
  }

  static async open(w: PeersWorld, key: number, victim: Peers, host: VirtualHost = w.net.host()): Promise<Mallory> {
    let mallory: Mallory | undefined;
    const { realm, network } = host;
    const accept = ({ side }: { readonly side: string }): boolean => {
      if (side === 'initiator') mallory!.dialled++;
      return true;
    };
    const swarm = await w.run(openTcpSwarm({ privateKey: testKey(key), realm, network, security: 'noise', accept }));
    mallory = new Mallory(swarm, victim, key);
    return mallory;
  }

  say(packet: Bytes): void {
    this.#swarm.tell(this.#to, packet).catch(() => undefined);
  }

  hello(over: Partial<Hello> = {}): Hello {
    return {
      oldest: 1,
      newest: NEWEST_VERSION,
      kind: 'node',
      intent: 'connect',
      token: this.#random(8),
      session: this.session,
      known: undefined,
      network: NETWORK,
      received: 0,
      partial: 0,
      maxMessageBytes: 2 ** 24,
      tellWindow: 2 ** 40,
      requestWindow: 2 ** 40,
      streamsWindow: 2 ** 20,
      streamWindow: 2 ** 18,
      wallMs: 0,
      seen: '',
      addrs: [`tcp://${this.#swarm.addr.text}`],
      abilities: 0,
      ...over,
    };
  }

  greet(over?: Partial<Hello>): void {
    this.say(encodeHello('hello', this.hello(over)));
  }

  /** A session id that was never used. */
  forget(): void {
    this.session = this.#random(8);
  }

  garbage(first: number, length: number): Bytes {
    const packet = this.#random(length);
    packet[0] = first;
    return packet;
  }

  get tag(): number {
    return tagOf(this.session);
  }

  close(): Promise<void> {
    return this.#swarm.close();
  }

  #hear(packet: Bytes): void {
    const type = packet[0]!;
    this.heard.set(type, (this.heard.get(type) ?? 0) + 1);
    if (type === PACKET.WELCOME) this.welcome = decodeHello(packet);
    else if (type === PACKET.DENIED) this.denied = decodeDenied(packet)?.code;
    else if (type === PACKET.PING && this.answersPings) {
      this.say(encodePing('pong', this.tag, tagOf(packet.subarray(5))));
    }
  }
}
