/**
 * Keeps asking observers under which address they see a swarm: in rounds, and at once when the interfaces change, which makes all that
 * was said before worthless.
 */

import { assertFunction, describeValue, quantity } from '../base/checks.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { IpAddr } from '../core/addr.ts';
import type { Timer } from '../core/realm.ts';
import { assertNetwork, type Network } from '../net/network.ts';
import { systemNetwork } from '../net/system-network.ts';
import {
  type AddressVerdict,
  type MappingVerdict,
  ObservedAddresses,
} from '../protocols/reachability/observed-addresses.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { ObservingSwarm } from './observing.ts';

/** How addresses are watched. */
export interface AddressWatchOptions<A extends IpAddr> {
  /** Whom to ask: peers and STUN servers. Called at each round; the first 8 are asked, so put them in an order of your choice. */
  readonly observers: () => readonly (A | string)[];
  /** Between two rounds. @default 300_000 (5 min), as Tailscale and iroh do */
  readonly everyMs?: number | undefined;
  /** Called when a verdict has changed: its address, a certainty, or that it is gone. */
  readonly onChange?: (() => void) | undefined;
  /** Whose interfaces. @default this system's */
  readonly network?: Network | undefined;
}

/** A watch that runs. */
export interface AddressWatch extends Disposable {
  /** The address of this family as others see it; `undefined` while no observer has answered, or while they disagree. */
  address(family: 4 | 6): AddressVerdict | undefined;
  /** How the NAT in between maps. */
  mapping(family: 4 | 6): MappingVerdict | undefined;
  /** Asks a round now. Never rejects: observers that do not answer say nothing. */
  refresh(): Promise<void>;
}

/** Observers asked in one round: enough for a proven verdict with some that do not answer. */
const MAX_PER_ROUND = 8;

/**
 * Watches the addresses of a swarm until disposed. The first round begins at once; timers keep no process running.
 *
 * @throws {TypeError | RangeError} for options out of bounds.
 */
export function watchAddresses<A extends IpAddr>(
  swarm: ObservingSwarm<A>,
  options: AddressWatchOptions<A>,
): AddressWatch {
  if (typeof swarm?.observe !== 'function') {
    throw new TypeError(`Cannot take swarm: expected one of observing, got ${describeValue(swarm)}`);
  }
  return new Watch(swarm, options);
}

class Watch<A extends IpAddr> implements AddressWatch {
  readonly #swarm: ObservingSwarm<A>;
  readonly #options: AddressWatchOptions<A>;
  readonly #everyMs: number;
  readonly #observed = new ObservedAddresses();
  readonly #interfaces: Disposable;
  #timer: Timer | undefined;
  #disposed = false;
  /** Grows when the interfaces change: answers to what was asked before do not count. */
  #era = 0;
  #last = '';

  constructor(swarm: ObservingSwarm<A>, options: AddressWatchOptions<A>) {
    const { network = systemNetwork, observers, onChange } = options;
    assertNetwork(network);
    assertFunction(observers, 'observers');
    if (onChange !== undefined) assertFunction(onChange, 'onChange');
    this.#swarm = swarm;
    this.#options = options;
    this.#everyMs = quantity(options.everyMs, 'everyMs', 300_000, 1000, Infinity);
    this.#interfaces = network.onInterfacesChanged(() => this.#moved());
    void this.refresh();
  }

  address(family: 4 | 6): AddressVerdict | undefined {
    return this.#observed.address(this.#swarm.realm.nowMs(), family);
  }

  mapping(family: 4 | 6): MappingVerdict | undefined {
    const own = this.#swarm.localAddrs().map(({ ip, port }): SocketAddress => ({ ip, port }));
    return this.#observed.mapping(this.#swarm.realm.nowMs(), family, own);
  }

  async refresh(): Promise<void> {
    this.#arm();
    const era = this.#era;
    const asked = this.#observers();
    await Promise.allSettled(
      asked.map(async (observer) => {
        const { server, mapped } = await this.#swarm.observe(observer);
        if (era !== this.#era || this.#disposed) return;
        this.#observed.note(this.#swarm.realm.nowMs(), { observer: server, mapped });
        this.#tell();
      }),
    );
  }

  /** The observers of this round; none when the application's function throws, which is traced. */
  #observers(): readonly (A | string)[] {
    try {
      return this.#options.observers().slice(0, MAX_PER_ROUND);
    } catch (cause) {
      const { realm } = this.#swarm;
      realm.trace?.({ layer: 'observing', type: 'handler_error', atMs: realm.nowMs(), cause });
      return [];
    }
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.cancel();
    this.#interfaces[Symbol.dispose]();
  }

  #moved(): void {
    this.#era++;
    this.#observed.clear();
    this.#tell();
    void this.refresh();
  }

  #tell(): void {
    const now = JSON.stringify([this.address(4), this.address(6)]);
    if (now === this.#last) return;
    this.#last = now;
    this.#options.onChange?.();
  }

  #arm(): void {
    this.#timer?.cancel();
    if (this.#disposed || this.#everyMs === Infinity) return;
    const { realm } = this.#swarm;
    this.#timer = clockOf(realm).setTimer(realm.nowMs() + this.#everyMs, () => void this.refresh(), {
      background: true,
    });
  }
}
