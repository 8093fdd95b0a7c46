/** Runs the reach machine: asks the sources, gives it candidates, and dials what it decides. */

import type { Side } from '../core/accept.ts';
import { type Addr, ipOf, portOf } from '../core/addr.ts';
import type { Candidate, CandidateFault, CandidateSource } from '../core/candidate.ts';
import { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import { addressScope } from '../net/address-scope.ts';
import { mayBeTried, ProbeTargets } from '../net/probe-targets.ts';
import { excludedBy } from '../protocols/peers/reach/entry.ts';
import { ReachMachine, type WantToken } from '../protocols/peers/reach/machine.ts';
import type { ReachExplanation } from '../protocols/peers/reach/explain.ts';
import { RANK_CLASS } from '../protocols/peers/path.ts';
import type {
  AddressScope,
  AttemptResult,
  FailureReason,
  ReachAction,
  ReachCandidate,
  ReachEvent,
  ReachKind,
  ReachPolicy,
} from '../protocols/peers/reach/types.ts';
import { Driver } from '../runtime/driver.ts';
import type { LivePath } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import { CODES, FAULTS, punchFailureOf, unreachableError, WHY_NOT } from './reach-failures.ts';
import type { Transport } from './transport.ts';

/** Addresses in a hello. */
const MAX_OWN_ADDRS = 8;
/** Of these, at relays. */
const MAX_RELAY_ADDRS = 2;
/** The transport over the relays that are peers themselves. */
export const RELAY_TRANSPORT = 'relay';
/** Addresses through which holes lead, of which the oldest is forgotten. */
const MAX_PUNCHED = 4096;
/** `relay://<PeerID>@<PeerID of the relay>@<where the relay is>`. */
const AT_RELAY = /^([a-z][a-z0-9-]{0,31}):\/\/([^@]+)@([^@]{43})@(.+)$/;
/** Candidates that one answer of a source may have. */
const MAX_CANDIDATES_PER_SEARCH = 64;
/** How long a claimed address of a peer is believed. */
const CLAIM_MS = 3_600_000;
/** How long a peer is left alone that has met another process with this node's key. */
const PAUSE_MS = 600_000;
const MAX_PAUSED = 4096;
const SCOPE_CLASSES: Readonly<Record<AddressScope, number>> = {
  same_subnet: 0,
  loopback: 0,
  link_local: 0,
  private: 1,
  public: 1,
  virtual: 2,
};
const PROBES = { maxProbesPerIp: 8, maxProbes: 256 };
const NAMED = /^([a-z][a-z0-9-]{0,31}):\/\/(.+)$/;

/** What leads to peers that cannot be dialled. */
export interface Detours {
  /** Whether a way to this peer may be opened from both sides now. */
  canPunch(id: PeerId): boolean;
  /** Whether a way to a peer is being opened at this moment. */
  isPunching(id: PeerId, transport: Transport): boolean;
  /** Opens a way to a peer. @returns the address to dial */
  punch(id: PeerId, transport: Transport, signal: AbortSignal): Promise<Addr>;
  /** Relays that may lead to a peer, as addresses of the transport `relay`. */
  relaysTo(id: PeerId): readonly string[];
  /** Resolves once the relay of an address can be sent to, or with the signal. Never rejects. */
  relayReady(addr: Addr, signal: AbortSignal): Promise<void>;
  /** Whether this node has a place at a peer, or wants one. */
  isRelay(id: PeerId): boolean;
  /** Whether the relay of an address is of this node's own list. */
  isOwnRelay(addr: Addr): boolean;
  /** Own addresses at relays. */
  relayAddrs(): readonly string[];
  /** Own addresses that routers forward, and those that others see. @param kind - how the peer is reached that is told */
  outsideAddrs(kind: Transport['kind']): readonly string[];
}

/** What reaching needs from the connection manager. */
export interface ReachingHooks {
  readonly realm: Realm;
  dial(attempt: number, id: PeerId, transport: Transport, addr: Addr): void;
  abandon(attempt: number): void;
  unreachable(id: PeerId, error: P2PError): void;
  failed(bug: unknown): void;
}

export class Reaching {
  /** Set once it is there. */
  detours: Detours | undefined;
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
  /** Where it is not that of the options. Bounded by the program. */
  readonly #policies = new Map<PeerId, ReachPolicy>();
  /** Attempts whose address is being probed. Bounded by the machine. */
  readonly #probing = new Set<number>();
  /** Addresses whose NATs were opened from both sides. Bounded by MAX_PUNCHED. */
  readonly #punched = new Set<string>();
  /** Attempts that do not dial yet: they punch, or wait for a relay. Bounded by the machine. */
  readonly #preparing = new Map<number, AbortController>();
  /** Attempts at addresses that others claim. Bounded by the machine. */
  readonly #claimed = new Map<number, Addr>();
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

  /** Which paths to a peer may be used. */
  policyOf(id: PeerId): ReachPolicy {
    // A relay is reached directly, whatever leads to others.
    return this.#policies.get(id) ?? (this.detours?.isRelay(id) === true ? 'any' : this.#options.policy);
  }

  setPolicy(id: PeerId, policy: ReachPolicy): void {
    if (policy === this.#options.policy) this.#policies.delete(id);
    else this.#policies.set(id, policy);
    this.#machine.setPolicy(this.#nowMs(), id, policy);
    this.#poll();
  }

  /** Why the policy for a peer excludes paths of a transport; `undefined` when it does not. */
  excludes(id: PeerId, kind: ReachKind, addr: Addr): string | undefined {
    return excludedBy(this.policyOf(id), kind, this.detours?.isOwnRelay(addr) === true);
  }

  want(id: PeerId): WantToken {
    const token = this.#machine.want(this.#nowMs(), id, { policy: this.policyOf(id) });
    this.#poll();
    return token;
  }

  unwant(token: WantToken): void {
    this.#machine.unwant(this.#nowMs(), token);
    this.#poll();
  }

  maintain(id: PeerId, isMaintained: boolean): void {
    if (isMaintained) this.#machine.maintain(this.#nowMs(), id, { policy: this.policyOf(id) });
    else this.#machine.drop(this.#nowMs(), id);
    this.#poll();
  }

  /** How a path on this address leads to the peer. */
  kindOf(id: PeerId, transport: Transport, addr: Addr, side: Side): ReachKind {
    if (transport.kind === 'relay') return 'relay';
    // The other side may be through, and dial, before this one's puncher says so. What this node dials itself is known.
    const isThrough = side === 'initiator' && this.detours?.isPunching(id, transport) === true;
    const isPunched = isThrough || this.#punched.has(addr.text);
    return isPunched ? 'punch' : 'direct';
  }

  /** Lower is better: near ones, then direct ones, then those through virtual bridges, then relays; in each class by transport. */
  rankOf({ transport, addr, kind }: LivePath): number {
    const ip = ipOf(addr);
    const scope = ip === undefined ? 'public' : addressScope(ip, this.#options.network.interfaces());
    return RANK_CLASS * (kind === 'relay' ? 3 : SCOPE_CLASSES[scope]) + transport.rank;
  }

  connected(id: PeerId, { transport, addr, kind, side }: LivePath): void {
    this.#probes.reached(addr);
    this.#machine.connected(this.#nowMs(), id, { transport: transport.name, addr: addr.text, kind, side });
    if (kind === 'relay') this.#addDetours(id);
    // Others cannot come in through a hole.
    const proof = side === 'responder' && kind !== 'punch' ? 'dialled' : undefined;
    for (const source of this.sources) source.reached?.({ id, addr: `${transport.name}://${addr.text}`, proof });
    this.#poll();
  }

  /** An address leads through NATs that both sides have opened. */
  punched({ text }: Addr): void {
    this.#punched.delete(text);
    this.#punched.add(text);
    if (this.#punched.size > MAX_PUNCHED) this.#punched.delete(this.#punched.keys().next().value!);
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
    this.#claimed.delete(attempt);
    this.#machine.outcome(this.#nowMs(), attempt, result);
    this.#poll();
  }

  /** The path to a peer may be dead. */
  doubt(id: PeerId): void {
    this.#machine.doubt(this.#nowMs(), id);
    this.#poll();
  }

  /** The host slept, or its network has changed. @param inUse - peers with a session that is in use */
  wake(inUse: readonly PeerId[]): void {
    for (const id of inUse) this.#machine.doubt(this.#nowMs(), id);
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
    const [, name, peer, relay, at] = AT_RELAY.exec(candidate.addr) ?? [];
    if (relay === this.#options.id) return; // A relay is connected with those that it relays for, or they are gone.
    if (relay !== undefined && this.#transportOf(name!)?.kind === 'relay') {
      // The address of the relay is in it: the relay may be unknown to this node.
      this.add({ ...candidate, id: relay as PeerId, addr: `${relay}@${at}` });
      this.add({ ...candidate, addr: `${name}://${peer}@${relay}` });
      return;
    }
    for (const [transport, addr] of this.#parsed(id, candidate.addr)) {
      const ip = ipOf(addr);
      this.#machine.candidate(this.#nowMs(), id, {
        transport: transport.name,
        addr: addr.text,
        kind: transport.kind,
        source,
        ip,
        scope: ip === undefined ? undefined : addressScope(ip, this.#options.network.interfaces()),
        trust,
        isOwnRelay: transport.kind === 'relay' && this.detours?.isOwnRelay(addr) === true,
        seenMs,
        expiresMs: expiresMs === Infinity ? undefined : this.#nowMs() + expiresMs - this.#hooks.realm.wallMs(),
      });
    }
    this.#poll();
  }

  /**
   * Own addresses to tell others. What a NAT makes of a port is left out where the peer is relayed: its probe would take the mapping that
   * a hole punch is about to predict.
   *
   * @param kind - how the peer is reached.
   */
  ownAddrs(kind: Transport['kind'] = 'direct'): readonly string[] {
    const own = this.transports
      .filter(({ name }) => name !== RELAY_TRANSPORT)
      .flatMap((transport) => transport.addrs());
    const relayed = this.detours?.relayAddrs().slice(0, MAX_RELAY_ADDRS) ?? [];
    const direct = [...new Set([...this.#options.externalAddrs, ...(this.detours?.outsideAddrs(kind) ?? []), ...own])];
    return [...direct.slice(0, MAX_OWN_ADDRS - relayed.length), ...relayed];
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

  #mayTry(
    now: number,
    id: PeerId,
    { transport, addr, kind, trust = 'claimed', seenMs }: ReachCandidate,
  ): string | undefined {
    if (kind === 'punch') {
      const { isAllowed, reason } = this.#options.lists.decide({ id });
      return isAllowed ? undefined : reason;
    }
    const parsed = this.#transportOf(transport)?.swarm.tryParseAddr(addr);
    if (parsed === undefined) return 'its transport is not open';
    if ((this.#paused.get(id) ?? 0) > now) return 'another process uses the key of this node there';
    const { isAllowed, reason } = this.#options.lists.decide({ id, ip: ipOf(parsed) });
    if (!isAllowed) return reason;
    const own = this.transports.flatMap(({ swarm }) => swarm.localAddrs());
    if (own.some((each) => ipOf(each) === ipOf(parsed) && portOf(each) === portOf(parsed) && ipOf(each) !== undefined))
      return 'this node itself has the address';
    // What goes to a relay goes to a peer that this node is connected with, or dials by its own address.
    if (kind === 'relay' && ipOf(parsed) === undefined) return undefined;
    // A TURN server sends to whatever address it is given: only to peers with addresses at the same server.
    if (kind === 'relay' && trust === 'claimed' && !this.#isAtOwnServer(transport, parsed)) return WHY_NOT.other_server;
    if (trust !== 'claimed') return mayBeTried(parsed, own, trust) ? undefined : WHY_NOT[trust];
    const refusal = this.#probes.take(now, { addr: parsed, by: id, issuedMs: seenMs }, own);
    return refusal === undefined ? undefined : WHY_NOT[refusal];
  }

  /** Whether an address has the IP of this node's own addresses on a transport. */
  #isAtOwnServer(transport: string, addr: Addr): boolean {
    return (
      this.#transportOf(transport)
        ?.swarm.localAddrs()
        .some((own) => ipOf(own) === ipOf(addr)) === true
    );
  }

  #transportOf(name: string): Transport | undefined {
    return this.transports.find((transport) => transport.name === name);
  }

  #act(action: ReachAction): void {
    if (action.type === 'search') void this.#search(action.id);
    else if (action.type === 'abandon') {
      const claimed = this.#claimed.get(action.attempt);
      if (claimed !== undefined && action.rule === 'unwanted') this.#probes.giveBack(claimed);
      const punch = this.#preparing.get(action.attempt);
      punch?.abort(new P2PError('closed', 'local', 'The punch was given up'));
      if (this.#probing.delete(action.attempt) || this.#preparing.delete(action.attempt))
        this.outcome(action.attempt, { type: 'failed', reason: 'abandoned' });
      else this.#hooks.abandon(action.attempt);
    } else {
      const transport = this.#transportOf(action.transport);
      if (action.kind === 'punch' && transport !== undefined) {
        void this.#punch(action, transport);
        return;
      }
      const addr = transport?.swarm.tryParseAddr(action.addr);
      if (addr !== undefined && action.isProbe) this.#claimed.set(action.attempt, addr);
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
    if (transport.name === RELAY_TRANSPORT && this.detours !== undefined) {
      // What is sent to a relay that is not connected is lost, and comes again after a second at the earliest.
      const abort = new AbortController();
      this.#preparing.set(attempt, abort);
      await this.detours.relayReady(addr, abort.signal);
      if (!this.#preparing.delete(attempt) || this.#abort.signal.aborted) return;
    }
    this.#hooks.dial(attempt, id, transport, addr);
  }

  async #punch({ attempt, id }: Extract<ReachAction, { type: 'dial' }>, transport: Transport): Promise<void> {
    const abort = new AbortController();
    this.#preparing.set(attempt, abort);
    try {
      const addr = await this.detours!.punch(id, transport, abort.signal);
      if (this.#preparing.delete(attempt)) this.#hooks.dial(attempt, id, transport, addr);
    } catch (error) {
      const detail = error instanceof Error ? error.message : undefined;
      if (this.#preparing.delete(attempt))
        this.outcome(attempt, { type: 'failed', reason: punchFailureOf(error), detail });
    }
  }

  /** What may lead to a peer that cannot be dialled. */
  #addDetours(id: PeerId): void {
    const { detours } = this;
    if (detours === undefined) return;
    const shared = { source: 'relay', trust: 'given', seenMs: 0, expiresMs: Infinity } as const;
    for (const addr of detours.relaysTo(id)) this.add({ ...shared, id, addr });
    if (!detours.canPunch(id)) return;
    for (const { name, puncher } of this.transports) {
      if (puncher === undefined) continue;
      const punch = { transport: name, addr: id, kind: 'punch', source: 'punch', trust: 'given', seenMs: 0 } as const;
      this.#machine.candidate(this.#nowMs(), id, punch);
    }
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
    this.#addDetours(id);
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
