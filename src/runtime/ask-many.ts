/** Scatter and gather: sends one request to many peers, and yields answers as they arrive. */

import type { Addr } from '../core/addr.ts';
import type { AskOptions, Asks } from '../core/ask.ts';
import type { Bytes } from '../base/bytes.ts';
import { assertBytes, wholeNumber } from '../base/checks.ts';

/** Options of {@link askMany}; the other fields apply to each ask. */
export interface AskManyOptions extends AskOptions {
  /** Asks in progress at the same time. @default 16 */
  readonly concurrency?: number | undefined;
}

/** The result of one ask. */
export type AskResult<A extends Addr> =
  | { readonly dst: A; readonly ok: true; readonly answer: Bytes }
  | { readonly dst: A; readonly ok: false; readonly error: unknown };

/**
 * Sends one request to many peers and yields the outcome of each ask as it ends. Leaving the loop cancels the pending
 * asks; no more are begun.
 *
 * @param dsts - addresses to ask; read when an ask can begin.
 * @throws (while iterating) `signal.reason` when aborted.
 *
 * @example
 * ```ts
 * for await (const { dst, ok, answer } of askMany(swarm, peers, request)) if (ok) console.log(dst.text, answer);
 * ```
 */
export function askMany<A extends Addr>(
  swarm: Asks<A>,
  dsts: Iterable<A>,
  request: Uint8Array,
  options: AskManyOptions = {},
): AsyncIterableIterator<AskResult<A>> {
  const { concurrency, ...askOptions } = options;
  assertBytes(request, 'request');
  const limit = wholeNumber(concurrency, 'concurrency', 16, 1, Number.MAX_SAFE_INTEGER);
  return scatter(swarm, dsts[Symbol.iterator](), request, askOptions, limit);
}

async function* scatter<A extends Addr>(
  swarm: Asks<A>,
  dsts: Iterator<A>,
  request: Uint8Array,
  options: AskOptions,
  limit: number,
): AsyncGenerator<AskResult<A>, void, undefined> {
  const { signal } = options;
  const over = new AbortController();
  const onAbort = (): void => over.abort(signal?.reason);
  if (signal?.aborted === true) onAbort();
  else signal?.addEventListener('abort', onAbort);
  const running = new Set<Promise<AskResult<A>>>(); // Bounded by `limit`.
  const ended: AskResult<A>[] = []; // Bounded by `limit`.
  const begin = (dst: A): void => {
    const asked = swarm.ask(dst, request, { ...options, signal: over.signal }).then(
      (answer): AskResult<A> => ({ dst, ok: true, answer }),
      (error: unknown): AskResult<A> => ({ dst, ok: false, error }),
    );
    running.add(asked);
    void asked.then((result) => {
      running.delete(asked);
      ended.push(result);
    });
  };
  try {
    for (let more = true; ;) {
      while (more && running.size + ended.length < limit) {
        const next = dsts.next();
        if (next.done === true) more = false;
        else begin(next.value);
      }
      if (ended.length === 0 && running.size > 0) await Promise.race(running);
      signal?.throwIfAborted();
      const result = ended.shift();
      if (result !== undefined) yield result;
      else if (running.size === 0 && !more) return;
    }
  } finally {
    over.abort(signal?.aborted === true ? signal.reason : new Error('The answers are no longer needed'));
    signal?.removeEventListener('abort', onAbort);
    dsts.return?.();
  }
}
