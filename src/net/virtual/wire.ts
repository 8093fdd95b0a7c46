/** What all parts of one virtual network share: time, chance, packets on their way, and who is told of them. */

import type { SeededRandom } from '../../base/seeded-random.ts';
import type { DropReason } from '../../core/counters.ts';
import type { Clock, Realm } from '../../core/realm.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import type { CounterSet } from '../../swarm-kit/counter-set.ts';
import type { PacketEvent } from '../packet-event.ts';
import { type Packet, PacketAddrs } from './packet.ts';

/** Where packets arrive. */
export interface PacketTarget {
  readonly name: string;
  readonly counters: CounterSet;
  arrive(packet: Packet): void;
}

/** What arrives at one instant: targets and packets in turns. */
interface Batch {
  readonly atMs: number;
  readonly entries: (PacketTarget | Packet)[];
}

/** What a network is made with. */
export interface WireOptions {
  readonly realm: Realm;
  readonly random: SeededRandom;
  /** Packets that may be on their way; what comes on top is lost. */
  readonly maxPackets: number;
  readonly trace: ((line: string) => void) | undefined;
  /** Told of each packet, if present. */
  readonly onPacket: ((event: PacketEvent) => void) | undefined;
}

/** Carries packets of one network through time. */
export class Wire {
  readonly realm: Realm;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly addrs: PacketAddrs = new PacketAddrs();
  readonly #maxPackets: number;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #onPacket: ((event: PacketEvent) => void) | undefined;
  /** Bounded by `maxPackets`, all batches together. */
  readonly #batches = new Map<number, Batch>();
  #last: Batch | undefined;
  #packets = 0;

  constructor(options: WireOptions) {
    this.realm = options.realm;
    this.clock = clockOf(options.realm);
    this.random = options.random;
    this.#maxPackets = options.maxPackets;
    this.#trace = options.trace;
    this.#onPacket = options.onPacket;
  }

  /** Lets a packet arrive at an instant; packets of one instant arrive in the order in which they were sent. */
  carry(packet: Packet, target: PacketTarget, atMs: number): void {
    if (this.#packets >= this.#maxPackets) {
      this.drop(target, packet, 'queue_full');
      return;
    }
    this.#packets++;
    let batch = this.#last?.atMs === atMs ? this.#last : this.#batches.get(atMs);
    if (batch === undefined) {
      const made: Batch = { atMs, entries: [] };
      batch = made;
      this.#batches.set(atMs, made);
      this.clock.setTimer(atMs, () => this.#arrive(made));
    }
    this.#last = batch;
    batch.entries.push(target, packet);
  }

  /** Counts a packet that goes no farther, where it ended. */
  drop(where: { readonly name: string; readonly counters: CounterSet }, packet: Packet, reason: DropReason): void {
    where.counters.countDrop(reason);
    if (this.#trace !== undefined) this.note(where, packet, `dropped, ${reason}`);
    this.#tell(packet, reason);
  }

  /** A host has sent a packet. */
  sent(where: { readonly name: string }, packet: Packet): void {
    if (this.#trace !== undefined) this.note(where, packet, 'sent');
    this.#tell(packet);
  }

  /** Whether there is a trace for {@link Wire.note}. */
  get isTraced(): boolean {
    return this.#trace !== undefined;
  }

  /** Adds a line to the packet trace. */
  note(where: { readonly name: string }, packet: Packet, what: string): void {
    this.#trace?.(`${this.clock.nowMs().toFixed(3)} ${where.name}: ${packet.toString()} ${what}`);
  }

  #tell({ src, dst, payload }: Packet, lost?: DropReason): void {
    this.#onPacket?.({ atMs: this.clock.nowMs(), from: src.text, to: dst.text, payload, lost });
  }

  #arrive(batch: Batch): void {
    // What is sent from now on for this instant comes in the next turn.
    this.#batches.delete(batch.atMs);
    if (this.#last === batch) this.#last = undefined;
    const { entries } = batch;
    this.#packets -= entries.length / 2;
    for (let i = 0; i < entries.length; i += 2) (entries[i] as PacketTarget).arrive(entries[i + 1] as Packet);
  }
}
