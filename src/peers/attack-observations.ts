/** Which trace events of the swarms are signs of attacks, and whose. */

import { ipOf, peerIdOf } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { TraceEvent } from '../core/realm.ts';

/**
 * What is counted. `undecryptable`: bytes that no session here can open. `malformed`: frames and messages that cannot be decoded.
 * `handshakes_failed`, `handshakes`: those that failed, and all. `rate`: messages that were delivered.
 */
export type AttackSignal = 'undecryptable' | 'malformed' | 'handshakes_failed' | 'handshakes' | 'rate';

/** Where something came from; at least one of both. */
export interface AttackSource {
  /** Only the PeerID of an authenticated session. */
  readonly id?: PeerId | undefined;
  readonly ip?: string | undefined;
}

/** One thing that happened. */
export interface Observation extends AttackSource {
  readonly signal: AttackSignal;
  /** Whether the source is certain. The IP of a datagram is not, before a handshake or a token has come back from it. */
  readonly isProven: boolean;
  /** How often it has happened. @default 1 */
  readonly times?: number | undefined;
  /** What it was, as text; the first few are kept. */
  readonly sample?: string | undefined;
}

const NONE: readonly Observation[] = [];

/**
 * Drop reasons of p2pke. Its datagrams prove nothing about the IP that they bear. Not here: what a network that repeats and delays
 * datagrams also leads to.
 */
const P2PKE_DROPS: Readonly<Record<string, AttackSignal>> = {
  too_short: 'malformed',
  malformed: 'malformed',
  bad_version: 'malformed',
  unknown_key: 'malformed',
  unknown_session: 'undecryptable',
  bad_signature: 'handshakes_failed',
  low_order: 'handshakes_failed',
  identity_mismatch: 'handshakes_failed',
  not_accepted: 'handshakes_failed',
  overloaded: 'handshakes',
};

/** Drop reasons of QUIC outside of sessions: the IP of a datagram is not proven. */
const QUIC_DROPS: Readonly<Record<string, AttackSignal>> = {
  'quic.not_quic': 'malformed',
  'quic.failed': 'handshakes_failed',
  'quic.refused': 'handshakes',
  'quic.retried': 'handshakes',
  'quic.ignored': 'handshakes',
};

/** Drop reasons within sessions, whose peers have proven their key. */
const SESSION_DROPS: Readonly<Record<string, AttackSignal>> = {
  malformed: 'malformed',
  oversize: 'malformed',
  'tcp.over_credit': 'malformed',
  'tcp.unexpected': 'malformed',
  'tcp.no_hello': 'handshakes_failed',
};

/** What a trace event says about its source; empty when it is no sign of an attack. */
export function observationOf(event: TraceEvent): readonly Observation[] {
  const { layer, type, addr, side, reason = '', cause } = event;
  if (addr === undefined) return NONE;
  const ip = ipOf(addr);
  const cut = typeof cause === 'string' ? cause : cause instanceof Error ? cause.message : undefined;
  const sample = cut === undefined ? `${layer} ${reason}` : `${layer} ${reason}: ${cut}`;
  const one = (signal: AttackSignal | undefined, isProven: boolean, id = false): readonly Observation[] => {
    if (signal === undefined) return NONE;
    // Where there are no IPs, such as in a memory realm, the address is the source.
    const source = { id: id ? peerIdOf(addr) : undefined, ip: ip ?? (id ? undefined : addr.text) };
    return [{ ...source, signal, isProven, sample }];
  };
  const isFromPeer = side === 'initiator';
  switch (`${layer} ${type}`) {
    case 'node connected':
      return isFromPeer ? one('handshakes', true) : NONE;
    case 'node refused':
      return isFromPeer ? one('handshakes', true) : NONE;
    case 'node handshake_failed':
      return isFromPeer ? [...one('handshakes', true), ...one('handshakes_failed', true)] : NONE;
    case 'node dropped':
      return one(reason === 'undecryptable' ? 'undecryptable' : undefined, true);
    case 'tcp dropped':
      return one(lookUp(SESSION_DROPS, reason), true, true);
    case 'quic session':
      return reason === 'initiator' ? one('handshakes', true) : NONE;
    case 'quic handshake_failed': {
      // Only who has shown its certificate, and was refused, is where it says.
      const isProven = reason === 'not_accepted';
      return isFromPeer ? [...one('handshakes', isProven), ...one('handshakes_failed', isProven)] : NONE;
    }
    case 'quic dropped':
      return peerIdOf(addr) === undefined
        ? one(lookUp(QUIC_DROPS, reason), false)
        : one(lookUp(SESSION_DROPS, reason), true, true);
    case 'p2pke dropped':
      return one(lookUp(P2PKE_DROPS, reason), false);
    default:
      return NONE;
  }
}

const lookUp = (table: Readonly<Record<string, AttackSignal>>, reason: string): AttackSignal | undefined =>
  Object.hasOwn(table, reason) ? table[reason] : undefined;
