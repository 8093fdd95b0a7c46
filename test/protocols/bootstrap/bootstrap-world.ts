/** The machine of a bootstrap, what it did, and a clock that goes from deadline to deadline. */

import type { Candidate } from '../../../src/core/candidate.ts';
import type { PeerId } from '../../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../../src/identity/keys.ts';
import {
  type AttemptOutcome,
  Bootstrap,
  type BootstrapEvent,
  type BootstrapMachineOptions,
  type BootstrapResult,
  type BootstrapTransmit,
} from '../../../src/protocols/bootstrap/bootstrap.ts';
import { testKey } from '../../../src/testing/test-key.ts';

const IDS = Array.from({ length: 13 }, (_, i) => peerIdOfKey(testKey(i).publicKey));
export const idOf = (i: number): PeerId => IDS[i]!;
export const candidate = (addr: string, source = 'cache', id?: PeerId): Candidate => ({
  id,
  addr,
  source,
  seenMs: 0,
  expiresMs: Infinity,
});

export class World {
  nowMs = 0;
  readonly machine: Bootstrap;
  readonly log: { readonly atMs: number; readonly what: BootstrapTransmit }[] = [];
  readonly events: BootstrapEvent[] = [];
  until: number | undefined;
  #react: ((transmit: BootstrapTransmit) => void) | undefined;

  constructor(options: Partial<BootstrapMachineOptions> = {}, react?: (world: World, what: BootstrapTransmit) => void) {
    this.#react = react === undefined ? undefined : (what) => react(this, what);
    this.machine = new Bootstrap(0, {
      sources: [{ name: 'cache', afterMs: 0 }],
      screen: () => undefined,
      minPeers: 3,
      staggerMs: 200,
      maxParallel: 8,
      attemptTimeoutMs: 5000,
      sourceTimeoutMs: 10_000,
      maxCandidates: 256,
      ...options,
    });
    this.poll();
  }

  poll(): void {
    for (;;) {
      const output = this.machine.poll();
      if (output.type === 'wait') {
        this.until = output.until;
        return;
      }
      if (output.type === 'event') this.events.push(output.event);
      else {
        this.log.push({ atMs: this.nowMs, what: output.transmit });
        this.#react?.(output.transmit);
      }
    }
  }

  advance(toMs: number): void {
    while (this.until !== undefined && this.until <= toMs) {
      this.nowMs = Math.max(this.nowMs, this.until);
      this.machine.handleTimeout(this.nowMs);
      this.poll();
    }
    this.nowMs = toMs;
  }

  add(source: number, ...candidates: Candidate[]): void {
    for (const each of candidates) this.machine.addCandidate(this.nowMs, source, each);
    this.poll();
  }

  finish(source: number, cause?: unknown): void {
    this.machine.sourceFinished(this.nowMs, source, cause === undefined ? undefined : { cause });
    this.poll();
  }

  end(attempt: number, outcome: AttemptOutcome): void {
    this.machine.attemptEnded(this.nowMs, attempt, outcome);
    this.poll();
  }

  get dials(): { readonly atMs: number; readonly addr: string; readonly attempt: number }[] {
    return this.log.flatMap(({ atMs, what }) =>
      what.type === 'dial' ? [{ atMs, addr: what.candidate.addr, attempt: what.attempt }] : [],
    );
  }

  get asked(): [number, number][] {
    return this.log.flatMap(({ atMs, what }) => (what.type === 'ask' ? [[atMs, what.source]] : []));
  }

  get givenUp(): number[] {
    return this.log.flatMap(({ what }) => (what.type === 'give_up' ? [what.attempt] : []));
  }

  result(): BootstrapResult | undefined {
    return this.machine.result;
  }
}
