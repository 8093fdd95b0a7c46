/**
 * The sessions of a channel: `previous` and `current`, which are complete; and the next, of which there can be one that
 * this side began (`mine`) and a few that others did (`theirs`). An observer can copy the claim of an InitHello into others
 * with ephemerals of its own, but cannot make a later timestamp, so only a later one replaces another (fault P7).
 */

import { compareBytes, equalBytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { VerifiedHello } from './hello.ts';
import type { Session } from './session.ts';

/** How many half-open handshakes of others are kept. */
export const MAX_THEIRS = 4;

/** How long in ms a half-open handshake of others is kept; far longer than a genuine one takes. */
export const HALF_OPEN_MS = 15_000;

/** A hello that waits for the application's verdict on its key. */
interface Claim {
  readonly hello: VerifiedHello;
  readonly sinceMs: Millis;
}

/** The sessions of one channel. */
export class Slots {
  previous: Session | undefined;
  current: Session | undefined;
  /** Begun here and not confirmed yet; it may be `current` at the same time, since it can send before that. */
  mine: Session | undefined;
  /** Begun there and not promoted yet. Bounded by {@link MAX_THEIRS}. */
  theirs: Session[] = [];
  /** Hellos of others that the application judges, not answered yet. Bounded by {@link MAX_THEIRS}. */
  claims: Claim[] = [];

  readonly #rejectAfterMs: number;

  constructor(rejectAfterMs: number) {
    this.#rejectAfterMs = rejectAfterMs;
  }

  /** Whether there is any session, complete or not. */
  get any(): boolean {
    return (
      (this.current ?? this.previous ?? this.mine) !== undefined || this.theirs.length > 0 || this.claims.length > 0
    );
  }

  /** When a session ends. */
  endOf(session: Session): Millis {
    const halfOpen = session.state === 'hello_answered';
    return session.createdMs + (halfOpen ? Math.min(HALF_OPEN_MS, this.#rejectAfterMs) : this.#rejectAfterMs);
  }

  /** When the next session ends; Infinity without any. */
  get nextEndMs(): Millis {
    let end = Infinity;
    for (const session of [this.previous, this.current, ...this.theirs]) {
      if (session !== undefined) end = Math.min(end, this.endOf(session));
    }
    for (const { sinceMs } of this.claims) end = Math.min(end, sinceMs + HALF_OPEN_MS);
    return end;
  }

  /** Removes what has ended. */
  expire(now: Millis): void {
    if (this.previous !== undefined && now >= this.endOf(this.previous)) this.previous = undefined;
    if (this.current !== undefined && now >= this.endOf(this.current)) this.current = undefined;
    this.theirs = this.theirs.filter((session) => now < this.endOf(session));
    this.claims = this.claims.filter(({ sinceMs }) => now < sinceMs + HALF_OPEN_MS);
  }

  /**
   * Makes room for a handshake that the other side has begun at `timestamp`: removes the half-open one with the earliest timestamp,
   * if that is earlier.
   *
   * @returns false when there is none.
   */
  makeRoom(timestamp: Uint8Array): boolean {
    if (this.theirs.length < MAX_THEIRS) return true;
    const first = this.theirs
      .filter(({ state }) => state === 'hello_answered')
      .toSorted((a, b) => compareBytes(a.timestamp, b.timestamp))[0];
    if (first === undefined || compareBytes(first.timestamp, timestamp) >= 0) return false;
    this.theirs = this.theirs.filter((session) => session !== first);
    return true;
  }

  /** Adds a handshake that the other side began; after {@link Slots.makeRoom}. */
  addTheirs(session: Session): void {
    this.theirs.push(session);
  }

  /**
   * Keeps a hello until the application has judged its key. A later one of the same handshake replaces the earlier one;
   * when all places are taken, a later one replaces that with the earliest timestamp.
   *
   * @returns false when there is no place.
   */
  addClaim(now: Millis, hello: VerifiedHello): boolean {
    const isEarlier = (claim: Claim): boolean => compareBytes(claim.hello.timestamp, hello.timestamp) < 0;
    const known = this.claims.find((claim) => equalBytes(claim.hello.ephemeral, hello.ephemeral) && isEarlier(claim));
    const first = this.claims.toSorted((a, b) => compareBytes(a.hello.timestamp, b.hello.timestamp))[0];
    const victim = known ?? (this.claims.length < MAX_THEIRS ? undefined : first);
    if (victim !== undefined && !isEarlier(victim)) return false;
    this.claims = this.claims.filter((claim) => claim !== victim);
    this.claims.push({ hello, sinceMs: known?.sinceMs ?? now });
    return true;
  }

  /** Whether a hello of this key waits for the application's verdict. */
  isJudged({ spki }: PublicKey): boolean {
    return this.claims.some(({ hello }) => equalBytes(hello.publicKey.spki, spki));
  }

  /** Takes out the hellos of a key that has been judged. */
  takeClaims({ spki }: PublicKey): readonly VerifiedHello[] {
    const taken = this.claims.filter(({ hello }) => equalBytes(hello.publicKey.spki, spki));
    this.claims = this.claims.filter((claim) => !taken.includes(claim));
    return taken.map(({ hello }) => hello);
  }

  /** Whether a session of this id is here, in whatever state. */
  has(id: Uint8Array): boolean {
    const { current, previous, mine, theirs } = this;
    return [current, previous, mine, ...theirs].some((session) => session !== undefined && equalBytes(session.id, id));
  }

  /** Makes `session` the current one. */
  promote(session: Session): void {
    if (this.current !== session) {
      this.previous = this.current;
      this.current = session;
    }
    this.theirs = this.theirs.filter((other) => other !== session);
  }
}
