/** Recognises from its epochs that a router has restarted: those of RFC 6886 §3.6 and of RFC 6887 §8.5. */

import type { Millis } from '../../base/machine.ts';

/** Whether a router that said `before` and says `epoch` after `elapsed` has restarted. All are seconds. */
type Rule = (before: number, epoch: number, elapsed: number) => boolean;

/** RFC 6886 §3.6: its clock may run an eighth slower than ours, and two seconds may be lost in rounding. */
export const natPmpRestarted: Rule = (before, epoch, elapsed) => epoch < before + (elapsed * 7) / 8 - 2;

/** RFC 6887 §8.5: back by more than a second, or the clocks differ by more than a sixteenth and two seconds. */
export const pcpRestarted: Rule = (before, epoch, elapsed) => {
  const server = epoch - before;
  if (server < -1) return true;
  return elapsed + 2 < server - server / 16 || server + 2 < elapsed - elapsed / 16;
};

/** The epochs of one router. */
export class EpochWatch {
  readonly #rule: Rule;
  #last: { readonly atMs: Millis; readonly epoch: number } | undefined;

  constructor(rule: Rule) {
    this.#rule = rule;
  }

  /** @returns whether the router has restarted since the last epoch; false for the first one. */
  note(now: Millis, epoch: number): boolean {
    const last = this.#last;
    this.#last = { atMs: now, epoch };
    return last !== undefined && this.#rule(last.epoch, epoch, (now - last.atMs) / 1000);
  }
}
