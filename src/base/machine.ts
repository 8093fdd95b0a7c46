/**
 * The contract of a sans-IO machine: a protocol that never reads a clock, sets a timer, draws a random number or
 * touches a socket.
 *
 * 1. Input is `handle…(now, …)`; commands from above are plain verbs that take `now`.
 * 2. After every input, output is taken with {@link Machine.poll} until it answers `wait`.
 * 3. `now` is the caller's monotonic clock in milliseconds and never goes back. Wall-clock time, where a protocol signs
 *    it, is another parameter with another name.
 * 4. Bytes from a peer never throw; they become `event` outputs that say what was dropped and why.
 * 5. Every collection inside says what bounds it.
 */

/** Milliseconds on the caller's monotonic clock; only differences mean anything. */
export type Millis = number;

/** What a machine wants done next. */
export type Output<Transmit, Event> =
  | { readonly type: 'transmit'; readonly transmit: Transmit }
  | { readonly type: 'event'; readonly event: Event }
  /** Nothing now. Call `handleTimeout` at `until`, if there is one, and poll again after any input. */
  | { readonly type: 'wait'; readonly until: Millis | undefined };

/** The part of a machine that a driver needs; the protocol's own inputs come beside it. */
export interface Machine<Transmit, Event> {
  /** Time has reached the `until` of the last `wait`. Calling it early is harmless. */
  handleTimeout(now: Millis): void;
  /** The next output; `wait` when there is none. */
  poll(): Output<Transmit, Event>;
}
