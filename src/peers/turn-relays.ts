/** Relayed addresses at TURN servers, as transports: allocated again, with growing pauses, when one is lost. */

import { P2PError } from '../core/errors.ts';
import type { Timer } from '../core/realm.ts';
import { openTurnSwarm } from '../nat/turn.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { quic } from '../swarms/quic/index.ts';
import type { ResolvedOptions, TurnServer } from './options.ts';
import { transportOptions } from './own-transports.ts';
import type { OpenedTransport } from './transport.ts';

/** What becomes of the servers. */
export interface TurnRelaysHooks {
  /** There is a transport. */
  opened(transport: OpenedTransport): void;
  /** A server did not give a transport; it is asked again after a pause. */
  failed(server: string, text: string): void;
}

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;

export class TurnRelays {
  readonly #options: ResolvedOptions;
  readonly #hooks: TurnRelaysHooks;
  readonly #abort = new AbortController();
  /** Bounded by the servers. */
  readonly #waiting = new Set<Timer>();

  constructor(options: ResolvedOptions, hooks: TurnRelaysHooks) {
    this.#options = options;
    this.#hooks = hooks;
    for (const [i, server] of options.turn.entries())
      void this.#open(i === 0 ? 'turn' : `turn${i + 1}`, server, FIRST_PAUSE_MS);
  }

  close(): void {
    this.#abort.abort(new P2PError('closed', 'local', 'Cannot use TURN: closed'));
    for (const timer of this.#waiting) timer.cancel();
    this.#waiting.clear();
  }

  async #open(name: string, server: TurnServer, pauseMs: number): Promise<void> {
    const { realm, network } = this.#options;
    const { signal } = this.#abort;
    let nextPauseMs = Math.min(MAX_PAUSE_MS, 2 * pauseMs);
    try {
      const udp = await openTurnSwarm({ ...server, realm, network, signal });
      // Peers with a relayed address at the same server come in by it.
      await udp.permit(udp.addr, { signal });
      const swarm = quic(udp, transportOptions(this.#options));
      if (signal.aborted) {
        await swarm.close();
        return;
      }
      this.#hooks.opened({ name, swarm, kind: 'relay', isReliable: true, isOwn: false });
      nextPauseMs = FIRST_PAUSE_MS;
      await swarm.closed;
      if (signal.aborted) return;
      this.#hooks.failed(server.server, 'the allocation has ended; it is asked for again');
    } catch (error) {
      if (signal.aborted) return;
      this.#hooks.failed(server.server, error instanceof Error ? error.message : String(error));
    }
    const again = (): void => {
      this.#waiting.delete(timer);
      void this.#open(name, server, nextPauseMs);
    };
    const timer = clockOf(realm).setTimer(realm.nowMs() + pauseMs, again, { background: true });
    this.#waiting.add(timer);
  }
}
