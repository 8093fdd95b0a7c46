/**
 * The interface that transports, security layers, multiplexers and overlays all implement, so that they can be stacked.
 *
 * A swarm is one node's view of an address space. The published conformance suite (`shoal/testing`) checks every
 * sentence here. The interface is final: new abilities get new interfaces with a probe function.
 */

import type { Addr } from './addr.ts';
import type { Counters } from './counters.ts';
import { describeValue } from '../base/checks.ts';
import type { TellHandler } from './message.ts';
import type { Priority } from './priority.ts';
import type { Realm } from './realm.ts';

/** The cancellation and priority of a call. */
export interface CallOptions {
  /**
   * Aborting rejects the call with `signal.reason`, unchanged. What was already passed to the layer below is not
   * recalled.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Deadline in milliseconds of the realm's time, 0 to Infinity; the call then rejects with `timeout`. The default is
   * the swarm's.
   */
  readonly timeoutMs?: number | undefined;
  /** Higher is sent first, before other waiting messages; a layer without a queue ignores it. @default 0 */
  readonly priority?: Priority | undefined;
  /**
   * A message that has waited this long, in milliseconds, is not sent any more: the call rejects with `timeout`, and
   * `sent` is `'no'`. A layer without a queue ignores it. @default never
   */
  readonly expiresMs?: number | undefined;
}

/** How a swarm ended: `local` by `close()`, `failure` because the layer below failed. */
export interface Closed {
  readonly by: 'local' | 'failure';
  readonly cause?: unknown;
}

/**
 * One node's view of an address space: it sends messages to addresses and delivers received ones.
 *
 * **Misuse** (a wrong type, an address of another swarm) throws `TypeError` or `RangeError` at once. **Failure**
 * rejects with a {@link P2PError}. **Bytes from a peer** never cause a throw: invalid ones are counted.
 */
export interface Swarm<in out A extends Addr> extends AsyncDisposable {
  /** The realm of this swarm; a wrapper has that of its inner swarm. */
  readonly realm: Realm;
  /** Live numbers. */
  readonly counters: Counters;
  /** Resolves with the reason when the swarm has ended. Never rejects. */
  readonly closed: Promise<Closed>;

  /**
   * The best of {@link Swarm.localAddrs}.
   *
   * @throws {P2PError} (at once) `closed` once the swarm is closed.
   */
  readonly addr: A;

  /**
   * The addresses under which others reach this swarm: at least one while open, best first. Each can be parsed and used
   * as a destination. Empty once closed.
   */
  localAddrs(): readonly A[];

  /**
   * Parses `text` that the program itself wrote: an option, a constant.
   *
   * @throws {TypeError} when it is not an address of this swarm; the message says what was expected.
   */
  parseAddr(text: string): A;

  /** Parses `text` that a peer wrote; `undefined` when it is not an address of this swarm. */
  tryParseAddr(text: string): A | undefined;

  /**
   * The maximum bytes that `tell(dst, …)` accepts now, 0 or more. It may change with the path.
   *
   * @throws {TypeError} when `dst` is neither an address of this swarm nor the text of one.
   */
  mtu(dst: A | string): number;

  /**
   * Sends one message, best effort.
   *
   * Resolves when the message has been passed to the layer below; it may still be lost, reordered or duplicated. An
   * empty message is a valid message. A tell to the swarm's own address is delivered locally.
   *
   * The caller must not change the payload until the promise settles. A rejection is counted and marked as handled, so
   * a caller that ignores it need not catch it.
   *
   * @param dst - an address of this swarm, or its text, which is parsed once and cached.
   * @param payload - 0 to `mtu(dst)` bytes.
   * @throws {TypeError} (at once) when `dst` is neither text nor an address of this swarm or `payload` is not a
   * `Uint8Array`.
   * @throws {P2PError} (by rejection) `mtu_exceeded` before anything is sent; `unreachable` for a text that is not an
   * address of this swarm; `closed`; others depend on the layer.
   */
  tell(dst: A | string, payload: Uint8Array, options?: CallOptions): Promise<void>;

  /**
   * Delivers messages until the returned disposable is disposed. One handler at a time.
   *
   * The handler is called in order of arrival per source, and may be called before its earlier promises settle. When
   * too many are pending, a lossy link drops new messages (`queue_full`), and a flow-controlled one stops reading. It
   * is never called synchronously inside a call by the user. A throw is counted as `handler_error` and affects no other
   * message.
   *
   * @throws {TypeError} (at once) when a handler is already attached.
   */
  listen(handler: TellHandler<A>): Disposable;

  /**
   * Waits until previously accepted messages have been sent, as far as the link can know. The swarm stays usable.
   *
   * @throws {P2PError} (by rejection) `timeout`, `closed`.
   */
  drain(options?: CallOptions): Promise<void>;

  /**
   * Ends the swarm: releases all resources and rejects every pending call with `closed`. Idempotent, never rejects,
   * ends within a second. A wrapper also closes its inner swarm, unless it was made with `{ keepInner: true }`.
   */
  close(): Promise<void>;
}

/** @throws {TypeError} when `value` is not a swarm: nothing, or a promise of one. */
export function assertSwarm(value: unknown, label: string): void {
  const swarm = value as Partial<Record<'tell' | 'listen' | 'then', unknown>> | null | undefined;
  if (typeof swarm?.tell === 'function' && typeof swarm.listen === 'function') return;
  const remedy = typeof swarm?.then === 'function' ? '; await it first' : '';
  throw new TypeError(`Cannot take ${label}: expected a swarm, got ${describeValue(value)}${remedy}`);
}
