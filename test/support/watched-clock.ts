/** A virtual clock that says how many of its timers are armed, those of the background too. */

import { createVirtualClock, type VirtualClock } from '../../src/runtime/virtual-clock.ts';

export interface WatchedClock extends VirtualClock {
  /** Timers that have neither fired nor been cancelled. */
  readonly armed: number;
  /** Those of them that somebody waits for: no housekeeping. */
  readonly awaited: number;
}

/** @param clock - whose timers are not counted, only those that are armed through the result. */
export function watchedClock(clock: VirtualClock = createVirtualClock()): WatchedClock {
  const armed = new Map<object, boolean>();
  return {
    get armed() {
      return armed.size;
    },
    get awaited() {
      return [...armed.values()].filter((background) => !background).length;
    },
    get waits() {
      return clock.waits;
    },
    nowMs: () => clock.nowMs(),
    setTimer(atMs, callback, options) {
      const mark = {};
      const timer = clock.setTimer(
        atMs,
        () => {
          armed.delete(mark);
          callback();
        },
        options,
      );
      armed.set(mark, options?.background ?? false);
      return {
        cancel() {
          armed.delete(mark);
          timer.cancel();
        },
      };
    },
    noteWait: (what) => clock.noteWait!(what),
    advance: (ms) => clock.advance(ms),
    run: (promise, options) => clock.run(promise, options),
    hold: (promise) => clock.hold(promise),
  };
}
