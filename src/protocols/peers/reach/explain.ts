/** Why a peer is reached as it is, or is not: all that the reach machine knows of it, and what would help. */

import type { Millis } from '../../../base/machine.ts';
import type { CandidateTrust } from '../../../core/candidate.ts';
import type { PeerId } from '../../../core/peer-id.ts';
import type { Known } from './candidates.ts';
import type { Entry } from './entry.ts';
import type {
  AddressScope,
  AttemptRecord,
  FailureReason,
  ReachKind,
  ReachPath,
  ReachPolicy,
  ReachRule,
  RefusedCandidate,
} from './types.ts';

/** A candidate in an explanation. */
export interface ExplainedCandidate {
  readonly transport: string;
  readonly addr: string;
  readonly kind: ReachKind;
  readonly source: string;
  readonly scope: AddressScope;
  readonly trust: CandidateTrust;
  readonly state: 'dialling' | 'waiting' | 'tried' | 'not_dialled';
  /** The latest attempt. */
  readonly last: AttemptRecord | undefined;
  /** Why it is not dialled. */
  readonly rule: ReachRule | undefined;
  readonly reason: string | undefined;
}

/** What is known of a peer, as plain data. Times are on the clock of the machine. */
export interface ReachExplanation {
  readonly id: PeerId;
  readonly atMs: Millis;
  readonly policy: ReachPolicy;
  readonly isWanted: boolean;
  readonly isMaintained: boolean;
  /** The path in use. */
  readonly path: (ReachPath & { readonly sinceMs: Millis }) | undefined;
  readonly lastLoss: { readonly atMs: Millis; readonly reason: string } | undefined;
  /** Whether candidates are being tried. */
  readonly isSeeking: boolean;
  /** When it is tried again; `undefined` when that is not planned. */
  readonly nextRoundMs: Millis | undefined;
  readonly candidates: readonly ExplainedCandidate[];
  /** The latest 64, oldest first. */
  readonly attempts: readonly AttemptRecord[];
  /** Candidates that were not taken, or not dialled: the latest 32, oldest first. */
  readonly refused: readonly RefusedCandidate[];
  /** Attempts and refusals that are no longer in the lists. */
  readonly forgotten: number;
  /** What would help, as sentences; none while there is a direct path. */
  readonly help: readonly string[];
}

/** @param why - why a candidate is not dialled. */
export function explanationOf(
  now: Millis,
  entry: Entry,
  why: (known: Known) => { readonly rule: ReachRule; readonly reason: string } | undefined,
): ReachExplanation {
  const candidates = [...entry.candidates.values()].map((known): ExplainedCandidate => {
    const { transport, addr, kind, source, scope = 'public', trust = 'claimed' } = known.candidate;
    const verdict = known.attempt === undefined ? why(known) : undefined;
    const isWaiting = entry.isSeeking && verdict === undefined && (known.round < entry.round || known.again);
    const state =
      known.attempt !== undefined
        ? 'dialling'
        : isWaiting
          ? 'waiting'
          : known.last !== undefined
            ? 'tried'
            : 'not_dialled';
    const { rule, reason } = verdict ?? { rule: undefined, reason: undefined };
    return { transport, addr, kind, source, scope, trust, state, last: known.last, rule, reason };
  });
  const { path, nextRoundMs } = entry;
  return {
    id: entry.id,
    atMs: now,
    policy: entry.policy,
    isWanted: entry.isWanted,
    isMaintained: entry.maintained !== undefined,
    path: path === undefined ? undefined : { ...path, sinceMs: entry.pathSinceMs },
    lastLoss: entry.lastLoss,
    isSeeking: entry.isSeeking,
    nextRoundMs: nextRoundMs === Infinity ? undefined : nextRoundMs,
    candidates,
    attempts: [...entry.history.attempts],
    refused: [...entry.history.refused],
    forgotten: entry.history.forgotten,
    help: path !== undefined && path.kind !== 'relay' ? [] : helpFor(entry, candidates),
  };
}

/** What each outcome means, and what to do about it. */
const HELP: Readonly<Partial<Record<FailureReason, string>>> = {
  refused: 'The host answers, but nothing listens on that port: start the program there, or correct the port.',
  silent:
    'Nothing answers: a NAT or firewall on the way drops it, or the host is off. Open the port, enable PCP or UPnP on the router, or name a relay.',
  filtered: 'A firewall refuses the connection: allow the port, or use a relay on port 443.',
  unreachable: 'This host has no route to the address: look at its network, its VPN, and whether it has IPv6.',
  wrong_key: 'Another peer is at that address now: correct it in the contacts, or wait for a newer record.',
  wrong_network: 'The program at that address uses another network name: compare `networkName` of both.',
  denied: 'The peer refuses this node: look at its lists, its bans and its `accept`.',
  not_allowed: 'The lists, the bans or `accept` of this node refuse the peer.',
  version: 'The peer speaks no version that this node speaks: update the older of the two.',
  clock: 'The clocks of both hosts differ too much: set them, for instance by NTP.',
  nat: 'The NATs of both sides cannot be opened together: only a relay can work, or a mapped port on one router (enable PCP or UPnP there).',
  self: 'The address leads to this node itself: remove it from the contacts.',
  closed: 'The peer closed the connection during the handshake: it may be stopping, full, or another program.',
};

/** What `unreachable` means where no route of this host is missing. */
const NO_WAY: Readonly<Partial<Record<ReachKind, string>>> = {
  relay: 'The relay does not lead to the peer, which has no place there: let both use one relay (`relays`).',
  punch:
    'The peer cannot be asked for a hole punch, or makes none: let both be connected with one relay or coordinator.',
};

/** Sentences for what the latest attempts show, the most frequent first. */
function helpFor(entry: Entry, candidates: readonly ExplainedCandidate[]): readonly string[] {
  const counts = new Map<string, number>();
  const add = (sentence: string | undefined): void => {
    if (sentence !== undefined) counts.set(sentence, (counts.get(sentence) ?? 0) + 1);
  };
  const [first] = candidates;
  const refused = [...entry.history.refused];
  if (first === undefined && refused.length === 0) {
    return ['No source knows an address of this peer: name a contact, look on the LAN, or ask the peer for a ticket.'];
  }
  for (const { kind, last } of candidates) {
    if (last === undefined || last.result === 'open') continue;
    add((last.result === 'unreachable' ? NO_WAY[kind] : undefined) ?? HELP[last.result]);
  }
  const rules = new Set([...refused.map(({ rule }) => rule), ...candidates.map(({ rule }) => rule)]);
  if (rules.has('policy')) add('The policy for this peer excludes paths that are known: allow them.');
  if (rules.has('transport')) add('A transport is known that this node does not use: add it to `transports`.');
  if (candidates.some(({ trust, last }) => trust === 'claimed' && last?.result !== 'open')) {
    add(
      'Others named addresses without a proof, which are tried once: name a contact, or let the peer connect to this node.',
    );
  }
  return [...counts].toSorted((a, b) => b[1] - a[1]).map(([sentence]) => sentence);
}
