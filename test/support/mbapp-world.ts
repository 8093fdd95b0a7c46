import type { AskSwarm } from '../../src/core/ask.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import type { MessageHeader } from '../../src/protocols/mbapp/header.ts';
import { type MbappOptions, mbapp } from '../../src/wrappers/mbapp/index.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import {
  type MemoryAddr,
  type MemoryRealm,
  type MemoryRealmOptions,
  createMemoryRealm,
  memoryAddr,
} from '../../src/swarms/memory/index.ts';

/** Two swarms that ask each other, and one that sends raw packets. */
export interface MbappWorld {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly alice: AskSwarm<MemoryAddr>;
  readonly bob: AskSwarm<MemoryAddr>;
  readonly mallory: Swarm<MemoryAddr>;
  /** Bob's address. */
  readonly dst: MemoryAddr;
  /** Hexadecimal, all that was sent. */
  readonly packets: readonly string[];
  /** Sends packets to Bob from Mallory. */
  readonly raw: (...hex: string[]) => Promise<void>;
  /** Bob's. */
  readonly drops: () => Readonly<Record<string, number>>;
}

/** Alice asks, Bob serves, Mallory sends raw packets from another address. */
export function world(options: MbappOptions = {}, realmOptions: MemoryRealmOptions = {}): MbappWorld {
  const packets: string[] = [];
  const realm = createMemoryRealm({
    ...realmOptions,
    clock: 'virtual',
    transform: (message) => {
      packets.push(toHex(message.payload));
      return message;
    },
  });
  const [a, b, mallory] = [realm.swarm(), realm.swarm(), realm.swarm()];
  const [alice, bob] = [mbapp(a, options), mbapp(b, options)];
  const dst = memoryAddr(1);
  const raw = async (...hex: string[]): Promise<void> => {
    for (const packet of hex) void mallory.tell(dst, fromHex(packet));
    await realm.clock.advance(0);
  };
  return { realm, alice, bob, mallory, dst, packets, raw, drops: () => Object.fromEntries(bob.counters.drops) };
}

/** A request of no bytes; `fields` say what is different. */
export const header = (fields: Partial<MessageHeader>): MessageHeader => ({
  kind: 'request',
  code: 0,
  origin: 5,
  counter: 1,
  sizeBytes: 0,
  parts: 1,
  timeoutMs: 1000,
  ...fields,
});
