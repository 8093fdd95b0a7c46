/** A virtual clock that says how many of its timers are armed, those of the background too. */

import { createVirtualClock, type VirtualClock } from '../../src/drive/virtual-clock.ts';

export interface WatchedClock extends VirtualClock {
  /** Timers that have neither fired nor been cancelled. */
  readonly armed: number;
}

export function watchedClock(): WatchedClock {
  const clock = createVirtualClock();
  const armed = new Set<object>();
  return {
    get armed() {
      return armed.size;
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
      armed.add(mark);
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
