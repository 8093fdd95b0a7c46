/**
 * The contract of a sans-IO machine: a protocol that never reads a clock, sets a timer, generates randomness or uses a
 * socket.
 *
 * 1. Input is `handle…(now, …)`; commands from above are methods that take `now`.
 * 2. After every input the caller takes outputs with {@link Machine.poll} until it returns `wait`.
 * 3. `now` is the caller's monotonic clock in milliseconds and never decreases. Wall-clock time, if a protocol signs
 *    it, is a separate parameter with another name.
 * 4. Bytes from a peer never cause a throw; `event` outputs report what was dropped and why.
 * 5. Every collection states what bounds it.
 */

/** Milliseconds on the caller's monotonic clock; only differences are meaningful. */
export type Millis = number;

/** The next action of a machine. */
export type Output<Transmit, Event> =
  | { readonly type: 'transmit'; readonly transmit: Transmit }
  | { readonly type: 'event'; readonly event: Event }
  /** No output now. Call `handleTimeout` at `until`, if it is set, and poll again after any input. */
  | { readonly type: 'wait'; readonly until: Millis | undefined };

/** The part of a machine that a driver needs; each protocol adds its own inputs. */
export interface Machine<Transmit, Event> {
  /** Time has reached the `until` of the last `wait`. An early call has no effect. */
  handleTimeout(now: Millis): void;
  /** The next output; `wait` when no output is ready. */
  poll(): Output<Transmit, Event>;
}
