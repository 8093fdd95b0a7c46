/** Finds what is still running: handles, timers and listeners that a closed swarm should have released. */

import { nextTurn } from '../runtime/system-clock.ts';

/** The result. Empty lists mean that nothing is left. */
export interface Leaks {
  /** Kinds of handles and timers that are active now and were not before: `UDPWRAP`, `Timeout` … */
  readonly resources: readonly string[];
  /** The number of abort listeners of the given signal. */
  readonly abortListeners: number;
}

/** Compares what keeps the process alive now with an earlier state. */
export interface LeakCheck {
  /** What is left since {@link watchLeaks}, after a few turns of the event loop: Node closes handles late. */
  leaks(signal?: AbortSignal): Promise<Leaks>;
}

/**
 * Records what is active now. Node only; the module can be loaded on other platforms.
 *
 * @example
 * ```ts
 * const watch = watchLeaks();
 * const swarm = await openUdpSwarm();
 * await swarm.close();
 * assert.deepEqual((await watch.leaks()).resources, []);
 * ```
 */
export function watchLeaks(): LeakCheck {
  const before = countResources();
  return {
    leaks: async (signal) => {
      let resources = surplus(before);
      for (let turns = 0; turns < MAX_TURNS && resources.length > 0; turns++) {
        await new Promise<void>((resolve) => nextTurn(resolve));
        resources = surplus(before);
      }
      return { resources, abortListeners: signal === undefined ? 0 : listenersOf(signal) };
    },
  };
}

function listenersOf(signal: AbortSignal): number {
  // Not imported: the suites next to this must load on platforms without node:events.
  return process.getBuiltinModule('node:events').getEventListeners(signal, 'abort').length;
}

/** The number of turns that closing may take: libuv takes two, a child of the test runner a few more. */
const MAX_TURNS = 20;

/** What is active now and was not before, by kind. */
function surplus(before: ReadonlyMap<string, number>): string[] {
  const kinds: string[] = [];
  for (const [kind, count] of countResources()) {
    for (let i = before.get(kind) ?? 0; i < count; i++) kinds.push(kind);
  }
  return kinds;
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
