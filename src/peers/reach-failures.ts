/** What failures to reach a peer are called: to sources, to callers, in explanations. */

import type { CandidateFault, CandidateTrust } from '../core/candidate.ts';
import { P2PError, type P2PErrorCode } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PunchRefusal } from '../protocols/peers/punch-request.ts';
import type { AttemptRecord, FailureReason } from '../protocols/peers/reach/types.ts';
import { PunchRefused } from './punching.ts';

export const WHY_NOT: Readonly<
  Record<CandidateTrust | 'refused_addr' | 'other_server' | 'tried_before' | 'too_many_probes', string>
> = {
  given: 'the address names no single host',
  reached: 'the address is in a private network in which this node is not',
  claimed: 'the address is not tried because of a claim',
  refused_addr: 'somebody else named the address, and it is private, reserved, or has a well-known port',
  other_server: 'somebody else named the address, and it is not of the TURN server of this node',
  tried_before: 'somebody else named the address, and it was tried before without an answer',
  too_many_probes: 'too many addresses that others named were tried in the last minute',
};

export const FAULTS: Readonly<Partial<Record<FailureReason, CandidateFault>>> = {
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

export const CODES: Readonly<Partial<Record<FailureReason, readonly [P2PErrorCode, 'local' | 'remote' | 'path']>>> = {
  denied: ['refused', 'remote'],
  wrong_network: ['refused', 'remote'],
  not_allowed: ['refused', 'local'],
  wrong_key: ['identity_mismatch', 'remote'],
  version: ['unsupported', 'remote'],
};

/** What a refusal means, where it is more than that there is no way now. */
const PUNCH_REFUSALS: Readonly<Partial<Record<PunchRefusal, FailureReason>>> = {
  policy: 'denied',
  denied: 'denied',
  clock: 'clock',
  busy: 'abandoned',
};

/** Why a punch failed. */
export function punchFailureOf(error: unknown): FailureReason {
  if (error instanceof PunchRefused) return PUNCH_REFUSALS[error.code] ?? 'unreachable';
  if (P2PError.is(error, 'unsupported') || P2PError.is(error, 'unreachable')) return 'nat';
  if (P2PError.is(error, 'refused') && error.side === 'local') return 'not_allowed';
  if (P2PError.is(error, 'timeout')) return 'silent';
  return P2PError.is(error, 'closed') ? 'abandoned' : 'unreachable';
}

export function unreachableError(id: PeerId, tried: readonly AttemptRecord[]): P2PError {
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
