/** Connects to peers: to one, to the first of several, once or again and again. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { assertString, quantity, wholeNumber } from '../base/checks.ts';
import type { Realm } from '../core/realm.ts';
import { retry } from '../runtime/retry.ts';
import { rejection } from '../runtime/promises.ts';
import { checkCall, type Waits } from '../runtime/waits.ts';
import type { DialWaiter } from '../sessions/dials.ts';
import type { EndpointConnections } from './connections.ts';
import type { ConnectOptions, ConnectTarget, ConnectToAnyOptions } from './endpoint.ts';
import { noneAnswered } from './errors.ts';
import type { LiveConnection } from './live-connection.ts';
import { type EndpointRetry, type ResolvedEndpointOptions, resolveRetry } from './options.ts';
import type { PeerLookup } from './peer-lookup.ts';
import { Race } from './race.ts';
import { describeTarget, nameOf, type Target } from './targets.ts';

/** Attempts of `connectToAny` at a time. */
const MAX_PARALLEL = 8;

/** What a connector needs of its endpoint. */
export interface ConnectorParts<A extends Addr, M> {
  readonly realm: Realm;
  readonly waits: Waits;
  readonly resolved: ResolvedEndpointOptions<A>;
  readonly connections: EndpointConnections<A, M>;
  readonly lookup: PeerLookup<A, M>;
  /** Fires when the endpoint closes. */
  readonly endSignal: AbortSignal;
  /** The endpoint's `closed` error for something attempted, once it is closed. */
  closedError(what: string): P2PError | undefined;
}

export class Connector<A extends Addr, M> {
  readonly #parts: ConnectorParts<A, M>;

  constructor(parts: ConnectorParts<A, M>) {
    this.#parts = parts;
  }

  connect(target: ConnectTarget<A> | A | string, options: ConnectOptions): Promise<LiveConnection<A, M>> {
    const resolved = this.#parts.lookup.target(target, options.expect);
    checkCall(options);
    if (options.serverName !== undefined) assertString(options.serverName, 'serverName');
    const tries = this.tries(options);
    if (resolved instanceof P2PError) return rejection(resolved);
    return this.retrying(tries, options.signal, () => this.#connect(resolved, options));
  }

  connectToAny(
    candidates: readonly (ConnectTarget<A> | A | string)[],
    options: ConnectToAnyOptions,
  ): Promise<LiveConnection<A, M>> {
    if (!Array.isArray(candidates)) throw new TypeError('Cannot take candidates: expected a list of addresses');
    if (candidates.length === 0)
      throw new RangeError('Cannot take candidates: expected at least one address, got none');
    checkCall(options);
    const { lookup, realm, resolved, waits } = this.#parts;
    const targets = candidates.map((candidate) => lookup.target(candidate, options.expect));
    const names = candidates.map((candidate, i) => nameOf(targets[i]!, candidate));
    const staggerMs = quantity(options.staggerMs, 'staggerMs', 0, 0, Number.MAX_SAFE_INTEGER);
    const maxParallel = wholeNumber(options.maxParallel, 'maxParallel', MAX_PARALLEL, 1, 2 ** 20);
    const timeoutMs = options.timeoutMs ?? resolved.connectTimeoutMs;
    const tries = this.tries(options);
    const what = (): string => `connect to any of ${names.length} addresses`;
    const fresh = this.#isFresh(options);
    const call = { what, call: { signal: options.signal }, defaultTimeoutMs: Infinity, sent: (): 'no' => 'no' };
    const once = (): Promise<LiveConnection<A, M>> => {
      const found = fresh ? undefined : this.#pooled(targets);
      if (found !== undefined && this.#parts.closedError(what()) === undefined) return Promise.resolve(found);
      return waits.wait<LiveConnection<A, M>>(call, (wait) => {
        const race = new Race<LiveConnection<A, M>>({
          realm,
          staggerMs,
          maxParallel,
          timeoutMs,
          candidates: names,
          attempt: (index, waiter) => this.dial(targets[index]!, options, waiter),
          won: wait.resolve,
          lost: (errors) => wait.reject(this.#parts.closedError(what()) ?? noneAnswered(names, errors)),
        });
        race.start();
        return () => race.stop();
      });
    };
    return this.retrying(tries, options.signal, once);
  }

  /** Begins to connect. Returns a function that cancels the wait. */
  dial(target: Target<A> | P2PError, options: ConnectOptions, waiter: DialWaiter<LiveConnection<A, M>>): () => void {
    if (target instanceof P2PError) {
      waiter(target);
      return () => {};
    }
    const closed = this.#parts.closedError(`connect to ${describeTarget(target)}`);
    if (closed !== undefined) {
      waiter(closed);
      return () => {};
    }
    const { serverName } = options;
    return this.#parts.connections.connect({ ...target, serverName, fresh: this.#isFresh(options) }, waiter);
  }

  /** How a call is tried again. */
  tries({ retry: own }: ConnectOptions): EndpointRetry | undefined {
    return own === undefined ? this.#parts.resolved.retry : resolveRetry(own);
  }

  /** Does something once, or again as often as `tries` says, until the endpoint closes. */
  retrying<T>(tries: EndpointRetry | undefined, signal: AbortSignal | undefined, once: () => Promise<T>): Promise<T> {
    if (tries === undefined) return once();
    const { realm, endSignal } = this.#parts;
    // No pause outlives the endpoint.
    const untilClosed = signal === undefined ? endSignal : AbortSignal.any([signal, endSignal]);
    return retry(once, { ...tries, realm, signal: untilClosed });
  }

  #connect(target: Target<A>, options: ConnectOptions): Promise<LiveConnection<A, M>> {
    const { waits, resolved } = this.#parts;
    const what = (): string => `connect to ${describeTarget(target)}`;
    const wait = { what, call: options, defaultTimeoutMs: resolved.connectTimeoutMs, sent: (): 'no' => 'no' };
    return waits.wait<LiveConnection<A, M>>(wait, ({ resolve, reject }) =>
      this.dial(target, options, (result) => (result instanceof P2PError ? reject(result) : resolve(result))),
    );
  }

  #isFresh(options: ConnectOptions): boolean {
    return options.fresh ?? !this.#parts.resolved.pool;
  }

  #pooled(targets: readonly (Target<A> | P2PError)[]): LiveConnection<A, M> | undefined {
    for (const target of targets) {
      const found = target instanceof P2PError ? undefined : this.#parts.connections.index.find(target);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
