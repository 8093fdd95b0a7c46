/** Real time, for programs of others that tell nobody when they are ready. */

import { systemClock } from '../../src/runtime/system-clock.ts';

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => systemClock.setTimer(systemClock.nowMs() + ms, resolve));
}
