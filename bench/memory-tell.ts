/**
 * What does a message through the memory swarm cost beyond the copy that it has to make?
 *
 * Baseline: a function call that copies the same bytes and hands them to a handler. Control: without the copy that call is
 * at least twice as fast, so the copy is what is measured.
 */

import { createMemoryRealm } from '../src/swarms/memory/index.ts';
import { type Bench, counted, median } from './harness/bench.ts';

const BYTES = 65_536;
/** Messages on their way at once; the realm takes more. */
const BATCH = 64;

export const memoryTell: Bench = {
  name: 'memory-tell',
  question: 'tell and receive 64 KiB in one process, against a function call with the same copy',
  prepare: () => {
    const realm = createMemoryRealm();
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    const [dst] = bob.localAddrs();
    const payload = new Uint8Array(BYTES).fill(7);
    let received = 0;
    let isWhole = true;
    let onBatch: (() => void) | undefined;
    const take = (bytes: Uint8Array): void => {
      received += bytes.length / BYTES;
    };
    bob.listen((message) => {
      take(message.payload);
      if (received % BATCH === 0) onBatch?.();
    });

    const tells = async (count: number): Promise<number> => {
      received = 0;
      const startedAt = performance.now();
      for (let at = 0; at < count; at += BATCH) {
        const arrived = new Promise<void>((resolve) => (onBatch = resolve));
        for (let i = 0; i < BATCH; i++) void alice.tell(dst!, payload);
        await arrived;
      }
      isWhole &&= received === count;
      return performance.now() - startedAt;
    };
    const calls = (copy: (bytes: Uint8Array) => Uint8Array) => (count: number) => {
      const startedAt = performance.now();
      for (let i = 0; i < count; i++) take(copy(payload));
      return performance.now() - startedAt;
    };
    const [own, copying, bare] = [
      'memory swarm, tell + receive',
      'function call with copy',
      'function call without copy',
    ] as const;
    return {
      measures: [
        { name: own, unit: 'messages/s', round: counted(tells, 10_000, 1, BATCH) },
        {
          name: copying,
          unit: 'calls/s',
          round: counted(
            calls((bytes) => bytes.slice()),
            10_000,
          ),
        },
        {
          name: bare,
          unit: 'calls/s',
          round: counted(
            calls((bytes) => bytes),
            1_000_000,
          ),
        },
      ],
      claims: [{ subject: own, baseline: copying }],
      controls: [
        {
          what: 'a call without the copy is at least twice as fast as one with it',
          needs: [copying, bare],
          holds: (figures) => median(figures.get(bare)!) > 2 * median(figures.get(copying)!),
        },
        { what: 'every message arrived', needs: [own], holds: () => isWhole },
      ],
      [Symbol.asyncDispose]: async () => {
        await Promise.all([alice.close(), bob.close()]);
      },
    };
  },
};
