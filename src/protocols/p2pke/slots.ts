/**
 * The sessions of a channel: `previous` and `current`, which are complete; and the next, of which there can be one that
 * this side began (`mine`) and a few that others did (`theirs`), so that nobody can push a handshake out by beginning
 * another (fault P7).
 */

import { equalBytes } from '../../core/bytes.ts';
import { type Millis } from '../../core/machine.ts';
import { type Session } from './session.ts';

/** How many half-open handshakes of others are kept; the oldest goes first. */
export const MAX_THEIRS = 4;

/** How long in ms a half-open handshake of others is kept; far longer than one takes that is meant. */
export const HALF_OPEN_MS = 15_000;

/** The sessions of one channel. */
export class Slots {
  previous: Session | undefined;
  current: Session | undefined;
  /** Begun here and not confirmed yet; it may be `current` at the same time, since it can send before that. */
  mine: Session | undefined;
  /** Begun there and not promoted yet. Bounded by {@link MAX_THEIRS}. */
  theirs: Session[] = [];

  readonly #rejectAfterMs: number;

  constructor(rejectAfterMs: number) {
    this.#rejectAfterMs = rejectAfterMs;
  }

  /** Whether there is any session, complete or not. */
  get any(): boolean {
    return (this.current ?? this.previous ?? this.mine) !== undefined || this.theirs.length > 0;
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
    return end;
  }

  /** Removes what has ended. */
  expire(now: Millis): void {
    if (this.previous !== undefined && now >= this.endOf(this.previous)) this.previous = undefined;
    if (this.current !== undefined && now >= this.endOf(this.current)) this.current = undefined;
    this.theirs = this.theirs.filter((session) => now < this.endOf(session));
  }

  /** Adds a handshake that the other side began. */
  addTheirs(session: Session): void {
    if (this.theirs.length >= MAX_THEIRS) this.theirs.shift();
    this.theirs.push(session);
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
