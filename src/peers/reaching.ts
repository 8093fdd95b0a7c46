/** Runs the reach machine: asks the sources, gives it candidates, and dials what it decides. */

import { type Addr, ipOf } from '../core/addr.ts';
import { type Candidate, type CandidateFault, type CandidateSource, type CandidateTrust } from '../core/candidate.ts';
import { P2PError, type P2PErrorCode } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type Realm } from '../core/realm.ts';
import { addressScope } from '../net/address-scope.ts';
import { mayBeTried, ProbeTargets } from '../net/probe-targets.ts';
import { ReachMachine, type WantToken } from '../protocols/peers/reach/machine.ts';
import { type ReachExplanation } from '../protocols/peers/reach/explain.ts';
import {
  type AttemptRecord,
  type AttemptResult,
  type FailureReason,
  type ReachAction,
  type ReachCandidate,
  type ReachEvent,
} from '../protocols/peers/reach/types.ts';
import { Driver } from '../runtime/driver.ts';
import { type LivePath } from './live-session.ts';
import { type ResolvedOptions } from './options.ts';
import { type Transport } from './transport.ts';

/** Addresses in a hello. */
const MAX_OWN_ADDRS = 8;
/** Candidates that one answer of a source may have. */
const MAX_CANDIDATES_PER_SEARCH = 64;
/** How long a claimed address of a peer is believed. */
const CLAIM_MS = 3_600_000;
/** How long a peer is left alone that has met another process with this node's key. */
const PAUSE_MS = 600_000;
const MAX_PAUSED = 4096;
const PROBES = { maxProbesPerIp: 8, maxProbes: 256 };
const NAMED = /^([a-z][a-z0-9-]{0,31}):\/\/(.+)$/;

/** What reaching needs from the connection manager. */
export interface ReachingHooks {
  readonly realm: Realm;
  dial(attempt: number, id: PeerId, transport: Transport, addr: Addr): void;
  abandon(attempt: number): void;
  unreachable(id: PeerId, error: P2PError): void;
  failed(bug: unknown): void;
}

export class Reaching {
  /** Set once they are open. */
  transports: readonly Transport[] = [];
  /** Asked for addresses, and told what came of them. Bounded by the options, and peer exchange. */
  readonly sources: CandidateSource[];
  readonly #options: ResolvedOptions;
  readonly #hooks: ReachingHooks;
  readonly #machine: ReachMachine;
  readonly #driver: Driver<ReachAction, ReachEvent>;
  readonly #probes = new ProbeTargets(PROBES);
  /** Peers that are left alone, and until when. Bounded by MAX_PAUSED. */
  readonly #paused = new Map<PeerId, number>();
  /** Attempts whose address is being probed. Bounded by the machine. */
  readonly #probing = new Set<number>();
  /** Ends the queries of sources that run. */
  readonly #abort = new AbortController();

  constructor(options: ResolvedOptions, hooks: ReachingHooks) {
    this.#options = options;
    this.sources = [...options.sources];
    this.#hooks = hooks;
    const { realm } = hooks;
    this.#machine = new ReachMachine({
      seed: realm.random(16),
      prefer: options.transports.map((each) => (typeof each === 'string' ? each : each.name)),
      mayTry: (now, id, candidate) => this.#mayTry(now, id, candidate),
      maxPeers: options.maxPeers,
    });
    this.#driver = new Driver(this.#machine, {
      realm,
      transmit: (action) => this.#act(action),
      event: (event) => this.#event(event),
      failed: (bug) => hooks.failed(bug),
      background: () => this.#machine.attempts === 0,
    });
  }

  want(id: PeerId): WantToken {
    const token = this.#machine.want(this.#nowMs(), id);
    this.#poll();
    return token;
  }

  unwant(token: WantToken): void {
    this.#machine.unwant(this.#nowMs(), token);
    this.#poll();
  }

  maintain(id: PeerId, isMaintained: boolean): void {
    if (isMaintained) this.#machine.maintain(this.#nowMs(), id);
    else this.#machine.drop(this.#nowMs(), id);
    this.#poll();
  }

  connected(id: PeerId, { transport, addr, side }: LivePath): void {
    this.#probes.reached(addr);
    this.#machine.connected(this.#nowMs(), id, { transport: transport.name, addr: addr.text, kind: 'direct', side });
    const proof = side === 'responder' ? 'dialled' : undefined;
    for (const source of this.sources) source.reached?.({ id, addr: `${transport.name}://${addr.text}`, proof });
    this.#poll();
  }

  /** Others can dial a peer at an address. */
  proven(id: PeerId, addr: string): void {
    const seenMs = this.#hooks.realm.wallMs();
    this.add({ id, addr, source: 'peer', seenMs, expiresMs: Infinity, trust: 'reached' });
    for (const source of this.sources) source.reached?.({ id, addr, proof: 'dial_back' });
  }

  disconnected(id: PeerId, reason: string): void {
    this.#machine.disconnected(this.#nowMs(), id, reason);
    this.#poll();
  }

  /** Leaves a peer alone for a while. */
  pause(id: PeerId): void {
    this.#paused.set(id, this.#nowMs() + PAUSE_MS);
    if (this.#paused.size > MAX_PAUSED) this.#paused.delete(this.#paused.keys().next().value!);
  }

  outcome(attempt: number, result: AttemptResult): void {
    this.#machine.outcome(this.#nowMs(), attempt, result);
    this.#poll();
  }

  wake(): void {
    this.#machine.wake(this.#nowMs());
    this.#poll();
  }

  explain(id: PeerId): ReachExplanation | undefined {
    return this.#machine.explain(this.#nowMs(), id);
  }

  /** Addresses under which the peer itself says that others reach it. */
  claims(id: PeerId, addrs: readonly string[]): void {
    const seenMs = this.#hooks.realm.wallMs();
    for (const addr of addrs)
      this.add({ id, addr, source: 'peer', seenMs, expiresMs: seenMs + CLAIM_MS, trust: 'claimed' });
  }

  /** Gives the machine a candidate; for each transport that can parse its address. */
  add(candidate: Candidate): void {
    const { id, source, seenMs, expiresMs, trust } = candidate;
    if (id === undefined || id === this.#options.id) return;
    for (const [transport, addr] of this.#parsed(id, candidate.addr)) {
      const ip = ipOf(addr);
      this.#machine.candidate(this.#nowMs(), id, {
        transport: transport.name,
        addr: addr.text,
        kind: 'direct',
        source,
        ip,
        scope: ip === undefined ? undefined : addressScope(ip, this.#options.network.interfaces()),
        trust,
        seenMs,
        expiresMs: expiresMs === Infinity ? undefined : this.#nowMs() + expiresMs - this.#hooks.realm.wallMs(),
      });
    }
    this.#poll();
  }

  /** Own addresses to tell others. */
  ownAddrs(): readonly string[] {
    const own = this.transports.flatMap((transport) => transport.addrs());
    return [...this.#options.externalAddrs, ...own].slice(0, MAX_OWN_ADDRS);
  }

  /** Why the attempts at a peer failed: what the peer said last, or else the last failure. */
  faultOf(id: PeerId): { readonly fault: CandidateFault; readonly detail: string } | undefined {
    const failed = this.explain(id)?.attempts.filter(({ result }) => result !== 'open') ?? [];
    const telling = failed.findLast(({ result }) => CODES[result as FailureReason] !== undefined) ?? failed.at(-1);
    if (telling === undefined) return undefined;
    const { result, transport, addr, detail = '' } = telling;
    const fault = FAULTS[result as FailureReason] ?? 'unreachable';
    return { fault, detail: detail === '' ? `${transport}://${addr}` : detail };
  }

  close(): void {
    this.#driver.stop();
    this.#abort.abort(new P2PError('closed', 'local', 'Cannot search: closed'));
  }

  #nowMs(): number {
    return this.#hooks.realm.nowMs();
  }

  #poll(): void {
    this.#driver.poll();
  }

  #parsed(id: PeerId, text: string): readonly (readonly [Transport, Addr])[] {
    const named = NAMED.exec(text);
    const parsed: (readonly [Transport, Addr])[] = [];
    const seen = new Set<string>(); // Bounded by the transports.
    for (const transport of this.transports) {
      if (seen.has(transport.name) || (named !== null && named[1] !== transport.name)) continue;
      const addr = transport.parse(id, named === null ? text : named[2]!);
      if (addr === undefined) continue;
      seen.add(transport.name);
      parsed.push([transport, addr]);
    }
    return parsed;
  }

  #mayTry(now: number, id: PeerId, { transport, addr, trust = 'claimed', seenMs }: ReachCandidate): string | undefined {
    const parsed = this.#transportOf(transport)?.swarm.tryParseAddr(addr);
    if (parsed === undefined) return 'its transport is not open';
    if ((this.#paused.get(id) ?? 0) > now) return 'another process uses the key of this node there';
    const { isAllowed, reason } = this.#options.lists.decide({ id, ip: ipOf(parsed) });
    if (!isAllowed) return reason;
    const own = this.transports.flatMap(({ swarm }) => swarm.localAddrs());
    if (trust !== 'claimed') return mayBeTried(parsed, own, trust) ? undefined : WHY_NOT[trust];
    const refusal = this.#probes.take(now, { addr: parsed, by: id, issuedMs: seenMs }, own);
    return refusal === undefined ? undefined : WHY_NOT[refusal];
  }

  #transportOf(name: string): Transport | undefined {
    return this.transports.find((transport) => transport.name === name);
  }

  #act(action: ReachAction): void {
    if (action.type === 'search') void this.#search(action.id);
    else if (action.type === 'abandon') {
      if (this.#probing.delete(action.attempt)) this.outcome(action.attempt, { type: 'failed', reason: 'abandoned' });
      else this.#hooks.abandon(action.attempt);
    } else {
      const transport = this.#transportOf(action.transport);
      const addr = transport?.swarm.tryParseAddr(action.addr);
      if (transport !== undefined && addr !== undefined) void this.#dial(action, transport, addr);
      else this.outcome(action.attempt, { type: 'failed', reason: 'unreachable', detail: 'its transport is not open' });
    }
  }

  async #dial(
    { attempt, id, isProbe }: Extract<ReachAction, { type: 'dial' }>,
    transport: Transport,
    addr: Addr,
  ): Promise<void> {
    if (isProbe && transport.probe !== undefined) {
      this.#probing.add(attempt);
      const isThere = await transport.probe(addr);
      // It may have been given up meanwhile.
      if (!this.#probing.delete(attempt) || this.#abort.signal.aborted) return;
      if (!isThere) {
        this.outcome(attempt, { type: 'failed', reason: 'silent', detail: 'nothing answered a probe' });
        return;
      }
    }
    this.#hooks.dial(attempt, id, transport, addr);
  }

  #event(event: ReachEvent): void {
    if (event.type === 'unreachable') {
      // Without anything to try, what was tried before tells why.
      const tried =
        event.tried.length > 0 ? event.tried : (this.explain(event.id)?.attempts.slice(-MAX_OWN_ADDRS) ?? []);
      this.#hooks.unreachable(event.id, unreachableError(event.id, tried));
    } else if (event.type === 'tried' && event.result !== 'open') {
      const reason = FAULTS[event.result];
      if (reason === undefined) return;
      const outcome = { id: event.id, addr: `${event.transport}://${event.addr}`, reason };
      for (const source of this.sources) source.failed?.(outcome);
    }
  }

  async #search(id: PeerId): Promise<void> {
    await Promise.all(this.sources.map((source) => this.#ask(source, id)));
    if (this.#abort.signal.aborted) return;
    this.#machine.searched(this.#nowMs(), id);
    this.#driver.poll();
  }

  /** A source that fails has no candidates. */
  async #ask(source: CandidateSource, id: PeerId): Promise<void> {
    const { signal } = this.#abort;
    try {
      let count = 0;
      for await (const candidate of await source.candidates(id, { signal })) {
        if (signal.aborted || ++count > MAX_CANDIDATES_PER_SEARCH) return;
        this.add({ ...candidate, id: candidate.id ?? id });
      }
    } catch (cause) {
      const { realm } = this.#hooks;
      realm.trace?.({ layer: 'peers', type: 'source_failed', atMs: realm.nowMs(), cause });
    }
  }
}

const WHY_NOT: Readonly<Record<CandidateTrust | 'refused_addr' | 'tried_before' | 'too_many_probes', string>> = {
  given: 'the address names no single host',
  reached: 'the address is in a private network in which this node is not',
  claimed: 'the address is not tried because of a claim',
  refused_addr: 'somebody else named the address, and it is private, reserved, or has a well-known port',
  tried_before: 'somebody else named the address, and it was tried before without an answer',
  too_many_probes: 'too many addresses that others named were tried in the last minute',
};

const FAULTS: Readonly<Partial<Record<FailureReason, CandidateFault>>> = {
  refused: 'unreachable',
  silent: 'silent',
  unreachable: 'unreachable',
  filtered: 'unreachable',
  wrong_key: 'wrong_key',
  wrong_network: 'wrong_network',
  denied: 'denied',
  not_allowed: 'not_allowed',
  version: 'denied',
  self: 'self',
};

const CODES: Readonly<Partial<Record<FailureReason, readonly [P2PErrorCode, 'local' | 'remote' | 'path']>>> = {
  denied: ['refused', 'remote'],
  wrong_network: ['refused', 'remote'],
  not_allowed: ['refused', 'local'],
  wrong_key: ['identity_mismatch', 'remote'],
  version: ['unsupported', 'remote'],
};

function unreachableError(id: PeerId, tried: readonly AttemptRecord[]): P2PError {
  const cannot = `Cannot reach ${id}: `;
  if (tried.length === 0) {
    return new P2PError('unreachable', 'local', `${cannot}no source knows an address that may be tried`, {
      sent: 'no',
    });
  }
  // What a peer said tells more than silence.
  const telling = tried.find(({ result }) => result !== 'open' && CODES[result] !== undefined) ?? tried[0]!;
  const [code, side] =
    (telling.result === 'open' ? undefined : CODES[telling.result]) ?? (['unreachable', 'path'] as const);
  const each = tried.slice(0, 4).map(({ transport, addr, result }) => `${transport}://${addr}: ${result}`);
  const more = tried.length > each.length ? `, and ${tried.length - each.length} more` : '';
  return new P2PError(code, side, `${cannot}${each.join(', ')}${more}; explain() tells more`, { sent: 'no' });
}
