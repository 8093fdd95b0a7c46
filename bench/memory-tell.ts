/**
 * What does a message through the memory swarm cost beyond the copy that it has to make?
 *
 * Baseline: a function call that copies the same bytes and hands them to a handler. Control: without the copy that call is
 * at least twice as fast, so the copy is what is measured.
 */

import { createMemoryRealm } from '../src/swarms/memory/index.ts';
import { type Bench, median } from './harness/bench.ts';

const BYTES = 65_536;
/** Messages on their way at once; the realm takes more. */
const BATCH = 64;

export const memoryTell: Bench = {
  name: 'memory-tell',
  question: 'tell and receive 64 KiB in one process, against a function call with the same copy',
  prepare: (quick) => {
    const batches = quick ? 40 : 200;
    const realm = createMemoryRealm();
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    const [dst] = bob.localAddrs();
    const payload = new Uint8Array(BYTES).fill(7);
    let received = 0;
    let onBatch: (() => void) | undefined;
    const take = (bytes: Uint8Array): void => {
      received += bytes.length / BYTES;
    };
    bob.listen((message) => {
      take(message.payload);
      if (received % BATCH === 0) onBatch?.();
    });

    const rate = (ms: number): number => (batches * BATCH * 1000) / ms;
    const tells = async (): Promise<number> => {
      received = 0;
      const startedAt = performance.now();
      for (let batch = 0; batch < batches; batch++) {
        const arrived = new Promise<void>((resolve) => (onBatch = resolve));
        for (let i = 0; i < BATCH; i++) void alice.tell(dst!, payload);
        await arrived;
      }
      return rate(performance.now() - startedAt);
    };
    const calls = (copy: (bytes: Uint8Array) => Uint8Array): number => {
      received = 0;
      const startedAt = performance.now();
      for (let i = 0; i < batches * BATCH; i++) take(copy(payload));
      return rate(performance.now() - startedAt);
    };
    return {
      measures: [
        { name: 'memory swarm, tell + receive', unit: 'messages/s', round: tells },
        { name: 'function call with copy', unit: 'calls/s', round: () => calls((bytes) => bytes.slice()) },
        { name: 'function call without copy', unit: 'calls/s', round: () => calls((bytes) => bytes) },
      ],
      claims: [{ subject: 'memory swarm, tell + receive', baseline: 'function call with copy' }],
      controls: (figures) => [
        {
          what: 'a call without the copy is at least twice as fast as one with it',
          ok: median(figures.get('function call without copy')!) > 2 * median(figures.get('function call with copy')!),
        },
        { what: 'every message arrived', ok: received === batches * BATCH },
      ],
      [Symbol.asyncDispose]: async () => {
        await Promise.all([alice.close(), bob.close()]);
      },
    };
  },
};
