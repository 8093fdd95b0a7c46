/**
 * The contract that transports, security layers, multiplexers and overlays all implement, so that they stack.
 *
 * A swarm is one node's view of an address space. The published conformance suite (`shoal/testing`) checks every
 * sentence here. The interface is closed: new abilities come as new interfaces with a probe function.
 */

import { type Addr } from './addr.ts';
import { type Counters } from './counters.ts';
import { describeValue } from '../base/checks.ts';
import { type TellHandler } from './message.ts';
import { type Priority } from './priority.ts';
import { type Realm } from './realm.ts';

/** How a call is given up. */
export interface CallOptions {
  /** Aborting rejects the call with `signal.reason`, unchanged. What was already handed down is not recalled. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Deadline in milliseconds of the realm's time, 0 to Infinity; the call then rejects with `timeout`. The default is
   * the swarm's.
   */
  readonly timeoutMs?: number | undefined;
  /** Higher goes first, past what waits on the way out; a layer that has no queue ignores it. @default 0 */
  readonly priority?: Priority | undefined;
}

/** How a swarm ended: `local` by `close()`, `failure` because what it stood on broke. */
export interface Closed {
  readonly by: 'local' | 'failure';
  readonly cause?: unknown;
}

/**
 * One node's view of an address space: it sends messages to addresses and hands out those that come.
 *
 * **Misuse** (a wrong type, an address of another swarm) throws `TypeError` or `RangeError` at once. **Failure** rejects
 * with a {@link P2PError}. **Bytes from a peer** never throw: what is wrong with them is counted.
 */
export interface Swarm<in out A extends Addr> extends AsyncDisposable {
  /** The world this swarm lives in; a wrapper has its inner swarm's. */
  readonly realm: Realm;
  /** Live numbers. */
  readonly counters: Counters;
  /** Resolves when the swarm has ended, with how. Never rejects. */
  readonly closed: Promise<Closed>;

  /**
   * The best of {@link Swarm.localAddrs}.
   *
   * @throws {P2PError} (at once) `closed` once the swarm is closed.
   */
  readonly addr: A;

  /**
   * Addresses under which others reach this swarm: at least one while open, best first. Each can be parsed back and
   * told to. Empty once closed.
   */
  localAddrs(): readonly A[];

  /**
   * The address that `text` writes, for text of the program's own: an option, a constant.
   *
   * @throws {TypeError} when it is not an address of this swarm; the message says what was expected.
   */
  parseAddr(text: string): A;

  /** The address that `text` writes, for text that a peer wrote; `undefined` when it is not an address of this swarm. */
  tryParseAddr(text: string): A | undefined;

  /**
   * The most bytes that `tell(dst, …)` takes now, 0 or more. It may change with the path.
   *
   * @throws {TypeError} when `dst` is no address of this swarm, nor the text of one.
   */
  mtu(dst: A | string): number;

  /**
   * Sends one message, best effort.
   *
   * Resolves when the message has been handed to the layer below: no promise of arrival, order or uniqueness. An empty
   * message is a message. A tell to the swarm's own address stays local.
   *
   * The payload is the caller's again when the promise settles. A rejection is counted, and marked as handled: whoever
   * does not care need not catch.
   *
   * @param dst - an address of this swarm, or its text, which is parsed once and remembered.
   * @param payload - 0 to `mtu(dst)` bytes.
   * @throws {TypeError} (at once) when `dst` is neither text nor an address of this swarm or `payload` not a `Uint8Array`.
   * @throws {P2PError} (by rejection) `mtu_exceeded` before anything is sent; `unreachable` for a text that is no address of
   *   this swarm; `closed`; others as the layer says.
   */
  tell(dst: A | string, payload: Uint8Array, options?: CallOptions): Promise<void>;

  /**
   * Takes messages until the returned disposable is disposed of. One handler at a time.
   *
   * It is called in order of arrival per source, and again before its earlier promises settle. When too many are
   * pending, a lossy link drops what comes (`queue_full`), and a flow-controlled one stops reading. It is never called
   * inside a call of the user's. When it throws, that is counted as `handler_error` and touches no other message.
   *
   * @throws {TypeError} (at once) when a handler is already there.
   */
  listen(handler: TellHandler<A>): Disposable;

  /**
   * Waits until what was accepted before has gone out, as far as the link can know. The swarm stays usable.
   *
   * @throws {P2PError} (by rejection) `timeout`, `closed`.
   */
  drain(options?: CallOptions): Promise<void>;

  /**
   * Ends the swarm: releases everything, wakes every waiter with `closed`. Idempotent, never rejects, ends within a
   * second. A wrapper also closes what it wraps, unless it was made with `{ keepInner: true }`.
   */
  close(): Promise<void>;
}

/** @throws {TypeError} when `value` is no swarm: nothing, or one that has not been awaited yet. */
export function assertSwarm(value: unknown, label: string): void {
  const swarm = value as Partial<Record<'tell' | 'listen' | 'then', unknown>> | null | undefined;
  if (typeof swarm?.tell === 'function' && typeof swarm.listen === 'function') return;
  const remedy = typeof swarm?.then === 'function' ? '; await it first' : '';
  throw new TypeError(`Cannot take ${label}: expected a swarm, got ${describeValue(value)}${remedy}`);
}
