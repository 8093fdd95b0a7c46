/** Signals of attacks: from the traces of the transports, and from sessions. */

import { type Addr, ipOf } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { ClockedRealm, Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { AttackSignal } from './attack-observations.ts';
import { type AttackEvent, AttackSignals } from './attack-signals.ts';
import type { ResolvedOptions } from './options.ts';

export class Signals {
  /** The realm of the transports, whose traces are looked at. */
  readonly realm: ClockedRealm;
  /** Called for each event. */
  onAttack: (event: AttackEvent) => void = () => undefined;
  readonly #signals: AttackSignals;
  readonly #realm: Realm;

  constructor({ realm, attackThresholds }: ResolvedOptions) {
    this.#realm = realm;
    this.#signals = new AttackSignals({ onAttack: (event) => this.onAttack(event), thresholds: attackThresholds });
    this.realm = {
      clock: clockOf(realm),
      nowMs: () => realm.nowMs(),
      wallMs: () => realm.wallMs(),
      random: (length) => realm.random(length),
      trace: (event) => {
        this.#signals.trace(event);
        realm.trace?.(event);
      },
    };
  }

  /** A peer whose key is proven did something. */
  note(src: Addr | undefined, id: PeerId | undefined, signal: AttackSignal, sample?: string, times?: number): void {
    const ip = src === undefined ? undefined : ipOf(src);
    this.#signals.note(this.#realm.nowMs(), { id, ip, signal, isProven: true, sample, times });
  }
}
