/** A reach machine in virtual time, with a network that answers dials as a test says. */

import assert from 'node:assert/strict';
import type { PeerId } from '../../../../src/core/peer-id.ts';
import { type ProbeLimits, ProbeTargets } from '../../../../src/net/probe-targets.ts';
import { parseUdpAddr } from '../../../../src/net/socket-address.ts';
import { ReachMachine } from '../../../../src/protocols/peers/reach/machine.ts';
import type {
  AttemptResult,
  ReachAction,
  ReachCandidate,
  ReachEvent,
  ReachOptions,
} from '../../../../src/protocols/peers/reach/types.ts';

export const id = (i: number): PeerId => String(i).padStart(43, '-') as PeerId;

/** What an address does: answers after some time, or never (`undefined`). */
export interface Answer {
  readonly afterMs: number;
  readonly result: AttemptResult;
}

export const open = (afterMs = 40): Answer => ({ afterMs, result: { type: 'open' } });
export const failing = (reason: Extract<AttemptResult, { type: 'failed' }>['reason'], afterMs = 40): Answer => ({
  afterMs,
  result: { type: 'failed', reason },
});

export type Dial = Extract<ReachAction, { type: 'dial' }> & { readonly atMs: number };

export function candidate(addr: string, more: Partial<ReachCandidate> = {}): ReachCandidate {
  const ip = addr.startsWith('[') ? addr.slice(1, addr.indexOf(']')) : addr.split(':')[0];
  return { transport: 'tcp', addr, kind: 'direct', source: 'contacts', trust: 'given', seenMs: 0, ip, ...more };
}

/** `mayTry` as `openPeers` has it: this host has a public address. */
export function mayTryOf(limits: ProbeLimits = { maxProbes: 256, maxProbesPerIp: 8 }): ReachOptions['mayTry'] {
  const targets = new ProbeTargets(limits);
  const own = [parseUdpAddr('192.0.2.200:1')];
  return (now, peer, { addr, source, seenMs, trust }) => {
    const given = { id: peer, addr, source, seenMs, expiresMs: Infinity, trust };
    return targets.takeCandidate(now, given, parseUdpAddr(addr), own);
  };
}

/** Drives one machine. */
export class ReachWorld {
  readonly machine: ReachMachine;
  nowMs = 0;
  readonly dials: Dial[] = [];
  readonly events: (ReachEvent & { readonly atMs: number })[] = [];
  readonly searches: { readonly id: PeerId; readonly atMs: number }[] = [];
  /** Attempts without an outcome. */
  readonly running: Map<number, Dial> = new Map<number, Dial>();
  readonly abandoned: number[] = [];
  mostRunning = 0;
  readonly #answers: { readonly atMs: number; readonly attempt: number; readonly result: AttemptResult }[] = [];
  readonly #answer: (dial: Dial) => Answer | undefined;
  /** Called for each search; by default the sources answer at once that they know nothing more. */
  onSearch: (id: PeerId) => void = (peer) => this.machine.searched(this.nowMs, peer);

  constructor(answer: (dial: Dial) => Answer | undefined, options: Partial<ReachOptions> = {}) {
    this.machine = new ReachMachine({ seed: new Uint8Array(16), mayTry: mayTryOf(), ...options });
    this.#answer = answer;
  }

  /** Takes all outputs. */
  pump(): number | undefined {
    for (let outputs = 0; outputs < 100_000; outputs++) {
      const output = this.machine.poll();
      if (output.type === 'wait') {
        assert.ok(
          output.until === undefined || output.until > this.nowMs,
          `a wait until ${output.until} at ${this.nowMs}`,
        );
        return output.until;
      }
      if (output.type === 'event') this.events.push({ ...output.event, atMs: this.nowMs });
      else this.#act(output.transmit);
    }
    return assert.fail('the machine never waits');
  }

  /** Lets time pass, with everything that is due in between. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const until = this.pump() ?? Infinity;
      const first = this.#answers.reduce((least, { atMs }) => Math.min(least, atMs), Infinity);
      const nextMs = Math.min(until, first);
      if (nextMs > endMs) break;
      this.nowMs = nextMs;
      if (until <= nextMs) this.machine.handleTimeout(this.nowMs);
      this.pump();
      const due = this.#answers.filter(({ atMs }) => atMs <= nextMs);
      for (const answer of due) {
        this.#answers.splice(this.#answers.indexOf(answer), 1);
        if (this.running.delete(answer.attempt)) this.machine.outcome(this.nowMs, answer.attempt, answer.result);
        this.pump();
      }
    }
    this.nowMs = endMs;
  }

  of<T extends ReachEvent['type']>(type: T): (Extract<ReachEvent, { type: T }> & { readonly atMs: number })[] {
    return this.events.filter((event) => event.type === type) as (Extract<ReachEvent, { type: T }> & {
      readonly atMs: number;
    })[];
  }

  #act(action: ReachAction): void {
    if (action.type === 'search') {
      this.searches.push({ id: action.id, atMs: this.nowMs });
      this.onSearch(action.id);
    } else if (action.type === 'dial') {
      const dial = { ...action, atMs: this.nowMs };
      assert.ok(!this.dials.some(({ attempt }) => attempt === dial.attempt), 'a number of an attempt comes twice');
      this.dials.push(dial);
      this.running.set(dial.attempt, dial);
      this.mostRunning = Math.max(this.mostRunning, this.running.size);
      const answer = this.#answer(dial);
      if (answer !== undefined) {
        this.#answers.push({ atMs: this.nowMs + answer.afterMs, attempt: dial.attempt, result: answer.result });
      }
    } else {
      assert.ok(this.running.has(action.attempt), 'an attempt without an outcome is abandoned');
      assert.ok(!this.abandoned.includes(action.attempt), 'an attempt is abandoned once');
      this.abandoned.push(action.attempt);
      this.running.delete(action.attempt);
      this.machine.outcome(this.nowMs, action.attempt, { type: 'failed', reason: 'abandoned' });
    }
  }
}
