/** Targets of dials: parsed from addresses and texts. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { describeValue } from '../base/checks.ts';
import { isPeerId, PEER_ID_CHARACTERS, parsePeerId, type PeerId } from '../core/peer-id.ts';
import { unroutable } from '../net/unroutable.ts';
import type { ConnectTarget } from './endpoint.ts';

/** An address to dial, and the peer that is expected there. */
export interface Target<A extends Addr> {
  readonly addr: A;
  readonly expect: PeerId | undefined;
}

/** What a dial connects to. */
export interface Dialled<A extends Addr> extends Target<A> {
  readonly serverName: string | undefined;
  /** Not shared with other calls. */
  readonly fresh: boolean;
}

/** Parses the text of an address. */
export type ParseAddr<A extends Addr> = (text: string) => A;

/**
 * Parses a target; returns a `P2PError` for an address at which no peer can be reached, and for a text that is no address:
 * it may come from a peer.
 *
 * @throws {TypeError} for a value that is neither an address nor a text.
 */
export function targetOf<A extends Addr>(
  target: ConnectTarget<A> | A | string,
  expect: PeerId | undefined,
  parse: ParseAddr<A>,
): Target<A> | P2PError {
  if (expect !== undefined) parsePeerId(expect);
  if (typeof target === 'string') return parseTarget(target, expect, parse);
  if (typeof target !== 'object' || target === null) {
    throw new TypeError(
      `Cannot take address: expected one, its text, or { addr, expect }, got ${describeValue(target)}`,
    );
  }
  if ('text' in target && typeof target.text === 'string') return unroutable(target) ?? { addr: target, expect };
  if ('addr' in target) return targetOf(target.addr, target.expect ?? expect, parse);
  throw new TypeError(`Cannot take address: expected one, its text, or { addr, expect }, got ${describeValue(target)}`);
}

function parseTarget<A extends Addr>(
  text: string,
  expect: PeerId | undefined,
  parse: ParseAddr<A>,
): Target<A> | P2PError {
  const id = text.slice(0, PEER_ID_CHARACTERS);
  if (isPeerId(id) && text[PEER_ID_CHARACTERS] === '@') {
    if (expect !== undefined && expect !== id) {
      const why = `Cannot reach ${expect} at ${describeValue(text)}: the address names another PeerID`;
      return new P2PError('identity_mismatch', 'local', why, { sent: 'no' });
    }
    return parseTarget(text.slice(PEER_ID_CHARACTERS + 1), parsePeerId(id), parse);
  }
  // Port 0 is a failure and not misuse: it occurs in lists of addresses that other programs have made.
  if (/[\]\d]:0$/.test(text)) {
    return new P2PError('unreachable', 'local', `Cannot reach ${text}: port 0 is not the port of any peer`, {
      sent: 'no',
    });
  }
  let addr: A;
  try {
    addr = parse(text);
  } catch (cause) {
    const why = `Cannot reach ${describeValue(text)}: it is no address of this endpoint`;
    return new P2PError('unreachable', 'local', why, { sent: 'no', cause });
  }
  return unroutable(addr) ?? { addr, expect };
}

/** `<PeerID>@127.0.0.1:5000`, or the address alone. */
export function describeTarget<A extends Addr>({ addr, expect }: Target<A>): string {
  return expect === undefined ? addr.text : `${expect}@${addr.text}`;
}

/** The same for a candidate that may not be an address. */
export function nameOf<A extends Addr>(target: Target<A> | P2PError, candidate: unknown): string {
  return target instanceof P2PError ? String(candidate) : describeTarget(target);
}
