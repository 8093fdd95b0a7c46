/** Routes packets between the nodes of a network in memory. */

import type { Bytes } from '../../base/bytes.ts';
import type { ClockedRealm } from '../../core/realm.ts';
import type { DropReason } from '../../core/counters.ts';
import type { Message } from '../../core/message.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { SeededRandom } from '../../base/seeded-random.ts';
import { mangle } from '../../protocols/netem/netem.ts';
import { type MemoryAddr, memoryAddr } from './address.ts';
import type { PacketEvent } from '../packet-event.ts';
import { type LinkConfig, Links } from './links.ts';

/** Changes a tell in transit: returns another message, the same one, or none. */
export type MessageTransform = (message: Message<MemoryAddr>) => Message<MemoryAddr> | undefined;

/** A node of the network: a memory swarm. */
export interface MemoryNode {
  /** Its address, also after it is closed. */
  readonly own: MemoryAddr;
  /** Packets in transit to this node. */
  incoming: number;
  /** Packets in transit from this node. */
  outgoing: number;
  /** A packet of this node has been delivered or dropped. */
  left(): void;
  countLost(reason: DropReason): void;
  close(): Promise<void>;
}

/** Options of a router. */
export interface MemoryRouterOptions {
  readonly realm: ClockedRealm;
  readonly netem: LinkConfig | undefined;
  readonly random: SeededRandom;
  readonly mtu: number;
  readonly maxQueued: number;
  readonly transform: MessageTransform | undefined;
  /** Told of each packet, if present. */
  readonly onPacket: ((event: PacketEvent) => void) | undefined;
}

/** A packet in transit: its delivery, and the callback for failure. */
export interface Packet<N extends MemoryNode> {
  readonly from: N;
  readonly to: MemoryAddr;
  readonly payload: Bytes;
  /** Called at the receiver on arrival; may be called twice. */
  readonly arrive: (receiver: N, payload: Bytes) => void;
  /** Called when no node has the address on arrival. */
  readonly gone?: (() => void) | undefined;
}

/** The number of closed swarms whose keys are remembered, for handlers that still hold their messages. */
const MAX_DEPARTED_KEYS = 4096;

/** Knows the nodes by address and delivers packets to them. */
export class MemoryRouter<N extends MemoryNode> {
  readonly realm: ClockedRealm;
  readonly links: Links;
  readonly mtu: number;
  readonly transform: MessageTransform | undefined;
  /** Bounded by the open swarms and {@link MAX_DEPARTED_KEYS}. */
  readonly keys: Map<string, PublicKey> = new Map();
  readonly #maxQueued: number;
  readonly #onPacket: ((event: PacketEvent) => void) | undefined;
  readonly #swarms = new Map<number, N>(); // Bounded by the application that creates them.
  readonly #departed: string[] = []; // Bounded by MAX_DEPARTED_KEYS.
  #next = 0;
  /** Packets that arrive at this instant, in order; one timer for all. Bounded by `maxQueued` per swarm. */
  #soon: Packet<N>[] = [];

  constructor(options: MemoryRouterOptions) {
    this.realm = options.realm;
    this.links = new Links(options.netem, options.random);
    this.mtu = options.mtu;
    this.transform = options.transform;
    this.#maxQueued = options.maxQueued;
    this.#onPacket = options.onPacket;
  }

  get size(): number {
    return this.#swarms.size;
  }

  nextAddr(): MemoryAddr {
    while (this.#swarms.has(this.#next)) this.#next++;
    return memoryAddr(this.#next++);
  }

  has(addr: MemoryAddr): boolean {
    return this.#swarms.has(addr.n);
  }

  add(swarm: N): void {
    this.#swarms.set(swarm.own.n, swarm);
  }

  remove(swarm: N): void {
    if (!this.#swarms.delete(swarm.own.n) || !this.keys.has(swarm.own.text)) return;
    this.#departed.push(swarm.own.text);
    if (this.#departed.length <= MAX_DEPARTED_KEYS) return;
    const forgotten = this.#departed.shift()!;
    if (!this.#swarms.has(Number(forgotten))) this.keys.delete(forgotten);
  }

  drop(addr: MemoryAddr): void {
    void this.#swarms.get(addr.n)?.close();
  }

  /** Accepts a packet, which arrives asynchronously once, twice or never. */
  route(packet: Packet<N>): void {
    const way = this.links.way(packet.from.own, packet.to);
    if (way.type === 'straight') {
      this.#note(packet);
      this.#depart(packet, undefined);
    } else if (way.type === 'cut') this.#lose(packet, packet.from, 'memory.cut');
    else {
      const fate = way.netem.handlePacket(this.realm.nowMs(), packet.payload.length);
      if (fate.type === 'lost') this.#lose(packet, packet.from, `memory.${fate.reason}`);
      else {
        this.#note(packet);
        for (const [i, { atMs, mangling }] of fate.arrivals.entries()) {
          const payload = i === 0 && mangling === undefined ? packet.payload : mangle(packet.payload.slice(), mangling);
          this.#depart({ ...packet, payload }, atMs);
        }
      }
    }
  }

  #depart(packet: Packet<N>, atMs: number | undefined): void {
    const receiver = this.#swarms.get(packet.to.n);
    if (receiver !== undefined && receiver.incoming >= this.#maxQueued) {
      this.#lose(packet, receiver, 'queue_full');
      return;
    }
    if (receiver !== undefined) receiver.incoming++;
    packet.from.outgoing++;
    const { clock } = this.realm;
    if (atMs !== undefined && atMs > clock.nowMs()) {
      clock.setTimer(atMs, () => this.#land(packet, receiver, this.#swarms.get(packet.to.n)));
      return;
    }
    if (this.#soon.push(packet) === 1) clock.setTimer(clock.nowMs(), () => this.#flush());
  }

  #flush(): void {
    const due = this.#soon;
    this.#soon = [];
    for (const packet of due) {
      const receiver = this.#swarms.get(packet.to.n);
      this.#land(packet, receiver, receiver);
    }
  }

  /**
   * @param expected - the node that had the address when the packet was sent.
   * @param receiver - the node that has it now.
   */
  #land(packet: Packet<N>, expected: N | undefined, receiver: N | undefined): void {
    if (expected !== undefined) expected.incoming--;
    packet.from.left();
    if (receiver !== undefined) packet.arrive(receiver, packet.payload);
    else {
      this.#lose(packet, packet.from, 'memory.unreachable');
      packet.gone?.();
    }
  }

  #lose(packet: Packet<N>, where: N, reason: DropReason): void {
    where.countLost(reason);
    this.#note(packet, reason);
  }

  #note({ from, to, payload }: Packet<N>, lost?: DropReason): void {
    this.#onPacket?.({ atMs: this.realm.nowMs(), from: from.own.text, to: to.text, payload, lost });
  }
}
