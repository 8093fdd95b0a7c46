/** Beacon machines, and all that they put out. */

import type { Bytes } from '../../src/base/bytes.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import type { Signer } from '../../src/identity/key-algorithm.ts';
import {
  Beacon,
  type BeaconDrop,
  type BeaconEvent,
  type BeaconOptions,
  type BeaconTransmit,
} from '../../src/protocols/beacon/beacon.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** The wall clock at the beginning. */
export const WALL_MS = 1_800_000_000_000;
/** The interface of all. */
export const eth0 = 'eth0';
/** Interfaces of these names. */
export const on = (...names: readonly string[]): { name: string; networks: string }[] =>
  names.map((name) => ({ name, networks: name }));

/** Random bytes from a seed. */
export function randomOf(seed: number): (length: number) => Bytes {
  const random = createSeededRandom(seed);
  return (length) => random.bytes(length);
}

/** A machine, and all that it has put out. */
export class BeaconNode {
  readonly machine: Beacon;
  readonly signer: Signer;
  readonly id: PeerId;
  readonly drops: Map<BeaconDrop, number> = new Map();
  readonly events: BeaconEvent[] = [];
  now: number = 0;

  constructor(seed: number, options: Partial<BeaconOptions> = {}) {
    this.signer = options.signer ?? testKey(seed);
    this.id = peerIdOfKey(this.signer.publicKey);
    this.machine = new Beacon(0, {
      signer: this.signer,
      networkName: 'test',
      random: randomOf(seed),
      addrsOn: () => [`${this.id}@192.0.2.${seed % 250}:5000`],
      admitAddr: (addr) => addr,
      ...options,
    });
  }

  get wallMs(): number {
    return WALL_MS + this.now;
  }

  /** Asks on one interface. */
  ask(): Bytes {
    this.machine.setInterfaces(this.now, this.wallMs, on(eth0));
    return this.take()[0]!.bytes;
  }

  hear(bytes: Uint8Array, ip = '192.0.2.77', port = 4000): BeaconTransmit[] {
    this.machine.handleDatagram(this.now, this.wallMs, { ip, port, interfaceName: eth0 }, bytes);
    return this.settle();
  }

  /** Lets pass time, in which nothing is heard. */
  advance(ms: number): BeaconTransmit[] {
    this.now += ms;
    this.machine.handleTimeout(this.now);
    return this.take();
  }

  /** Lets pass the turns of this instant. */
  settle(): BeaconTransmit[] {
    const sent = this.take();
    for (let turn = 0; turn < 100 && this.machine.waiting > 0; turn++) {
      this.machine.handleTimeout(this.now);
      sent.push(...this.take());
    }
    return sent;
  }

  take(): BeaconTransmit[] {
    const sent: BeaconTransmit[] = [];
    for (let next = this.machine.poll(); next.type !== 'wait'; next = this.machine.poll()) {
      if (next.type === 'transmit') sent.push(next.transmit);
      else if (next.event.type === 'dropped') {
        this.drops.set(next.event.reason, (this.drops.get(next.event.reason) ?? 0) + 1);
      } else this.events.push(next.event);
    }
    return sent;
  }

  get ids(): PeerId[] {
    return this.machine.peers(this.now).map(({ id }) => id);
  }
}

/** A source on eth0. */
export const source = (ip: string): { ip: string; port: number; interfaceName: string } => ({
  ip,
  port: 4000,
  interfaceName: eth0,
});
