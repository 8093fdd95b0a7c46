/**
 * The common part of the conformance suites: the runner they report to, the fixture they use, and checks without an
 * assertion library, so that a suite runs under any runner and in a browser.
 */

import type { Addr, AddrOf } from '../../core/addr.ts';
import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { P2PError, type P2PErrorCode } from '../../core/errors.ts';
import { describeValue } from '../../base/checks.ts';
import type { Message } from '../../core/message.ts';
import type { DropReason } from '../../core/counters.ts';
import type { Realm } from '../../core/realm.ts';
import type { Swarm } from '../../core/swarm.ts';
import { clockOf } from '../../runtime/system-realm.ts';

/** The part of a test runner that suites use; `node:test`, vitest, jest and mocha have it. */
export interface SuiteRunner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: ((name: string, body: () => Promise<void>) => unknown) & {
    readonly skip?: ((name: string, body?: () => Promise<void>) => unknown) | undefined;
  };
}

/** The properties of a swarm where the contract leaves a choice. Tests that do not apply are skipped by name. */
export interface SuiteFeatures {
  /** Messages may be lost, duplicated or reordered. @default false */
  readonly lossy?: boolean | undefined;
  /** Messages of one source arrive in the order of sending. @default not `lossy` */
  readonly ordered?: boolean | undefined;
  /** The link stops reading instead of dropping. @default false */
  readonly flowControlled?: boolean | undefined;
  /** `maxPendingMessages` of the created swarms. @default 256 */
  readonly maxPendingMessages?: number | undefined;
  /** The maximum bytes of tests that send `mtu(dst)` bytes. @default 4 194 304 */
  readonly maxTriedBytes?: number | undefined;
  /** The time for messages to arrive, in milliseconds of the realm's time. @default 400 */
  readonly settleMs?: number | undefined;
  /** The number of swarms in the larger tests. @default 10 */
  readonly manySwarms?: number | undefined;
  /** The number of messages in the longest test. @default 10 000 */
  readonly manyMessages?: number | undefined;
}

/** Swarms that can reach each other, created for one test. */
export interface SuiteNet<S> extends AsyncDisposable {
  readonly swarms: readonly S[];
  /** Waits; in virtual time it moves the clock. @default the fixture's `run` */
  readonly run?: (<T>(promise: Promise<T>) => Promise<T>) | undefined;
  /** A valid address without a swarm. @default a test that needs it is skipped */
  readonly unknownAddr?: (() => AddrOf<S>) | undefined;
  /** The address of the swarm at `index`, with the PeerID of another key. @default a test that needs it is skipped */
  readonly wrongAddr?: ((index: number) => AddrOf<S>) | undefined;
  /** Sends raw bytes to where the swarm at `index` receives packets. @default a test that needs it is skipped */
  readonly inject?: ((index: number, bytes: Bytes) => Promise<void>) | undefined;
}

/** Creates the swarms of a suite. */
export interface SuiteFixture<S> {
  readonly features?: SuiteFeatures | undefined;
  /** Waits, for all networks without their own `run`. @default awaiting */
  readonly run?: (<T>(promise: Promise<T>) => Promise<T>) | undefined;
  /** Creates `n` swarms. Disposing of the result releases everything created. */
  make(n: number): Promise<SuiteNet<S>>;
}

/** One test of a suite. */
export interface SuiteTest<S> {
  readonly name: string;
  /** The number of swarms it needs. @default 2 */
  readonly swarms?: number | ((features: ResolvedFeatures) => number) | undefined;
  /** Why it does not apply; `undefined` when it applies. */
  readonly skip?: ((features: ResolvedFeatures) => string | undefined) | undefined;
  readonly body: (bench: Bench<S>) => Promise<void>;
}

/** {@link SuiteFeatures} with defaults filled in. */
export type ResolvedFeatures = { readonly [K in keyof SuiteFeatures]-?: NonNullable<SuiteFeatures[K]> };

function resolveFeatures(given: SuiteFeatures = {}): ResolvedFeatures {
  const lossy = given.lossy ?? false;
  return {
    lossy,
    ordered: given.ordered ?? !lossy,
    flowControlled: given.flowControlled ?? false,
    maxPendingMessages: given.maxPendingMessages ?? 256,
    maxTriedBytes: given.maxTriedBytes ?? 4_194_304,
    settleMs: given.settleMs ?? 400,
    manySwarms: given.manySwarms ?? 10,
    manyMessages: given.manyMessages ?? 10_000,
  };
}

/** Registers a suite's tests with the runner. */
export function defineSuite<S>(
  runner: SuiteRunner,
  name: string,
  fixture: SuiteFixture<S>,
  tests: readonly SuiteTest<S>[],
): void {
  const features = resolveFeatures(fixture.features);
  const { it } = runner;
  runner.describe(name, () => {
    for (const test of tests) {
      const reason = test.skip?.(features);
      if (reason !== undefined) skipByName(it, `${test.name} (does not apply: ${reason})`);
      else it(test.name, () => runTest(fixture, features, test));
    }
  });
}

function skipByName(it: SuiteRunner['it'], name: string): void {
  if (it.skip === undefined) it(name, () => Promise.resolve());
  else it.skip(name);
}

async function runTest<S>(fixture: SuiteFixture<S>, features: ResolvedFeatures, test: SuiteTest<S>): Promise<void> {
  const wanted = test.swarms ?? 2;
  const net = await fixture.make(typeof wanted === 'number' ? wanted : wanted(features));
  const waiting: Run = net.run ?? fixture.run ?? ((promise) => promise);
  const [first] = net.swarms as readonly unknown[] as readonly Swarm<Addr>[];
  const run: Run = first === undefined ? waiting : (promise) => waiting(bounded(first.realm, promise));
  try {
    await test.body({ net, features, run });
  } catch (error) {
    const seen = error instanceof Error ? error.message : describeValue(error);
    throw new Error(`Expected: ${test.name}\nSeen: ${seen}`, { cause: error });
  } finally {
    await run(net[Symbol.asyncDispose]() as Promise<void>);
  }
}

/** The longest single wait of a suite, in the realm's time: many times what the slowest correct swarm takes. */
const LIMIT_MS = 600_000;

/**
 * Fails when this much of the realm's time has passed. Without it, a swarm in a virtual realm that waits for a real
 * timer or for real I/O would let the clock run as long as any timer is set.
 */
function bounded<T>(realm: Realm, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void =>
      reject(
        new Error(
          `nothing came of it within ${LIMIT_MS / 1000} s of the realm's time. In a virtual realm a swarm that uses real ` +
            'timers or real I/O must wrap them in clock.hold(); timers come from the realm',
        ),
      );
    // In the background: it does not keep the clock running, so a clock with nothing else to do reports that at once.
    const timer = clockOf(realm).setTimer(realm.nowMs() + LIMIT_MS, late, { background: true });
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

type Run = <T>(promise: Promise<T>) => Promise<T>;

/** The arguments of a test's body. */
export interface Bench<S> {
  readonly net: SuiteNet<S>;
  readonly features: ResolvedFeatures;
  /** The only way in which suites wait. */
  readonly run: Run;
}

/** The number of times a message is resent on a lossy link before the test fails. */
const MAX_SENDS = 60;

/** The first address of a swarm: the one that others use. */
export function addrOf<A extends Addr>(swarm: Swarm<A>): A {
  const [first] = swarm.localAddrs();
  check(first !== undefined, 'localAddrs() is empty');
  return first;
}

/** Lets `ms` of the realm's time pass; by default the fixture's `settleMs`. */
export function pass<A extends Addr>(
  { run, features }: Bench<Swarm<A>>,
  swarm: Swarm<A>,
  ms: number = features.settleMs,
): Promise<void> {
  return run(new Promise((resolve) => void clockOf(swarm.realm).setTimer(swarm.realm.nowMs() + ms, resolve)));
}

/** The messages that a swarm received, and calls that wait for one. */
export class Inbox<A extends Addr> {
  readonly messages: Message<A>[] = [];
  readonly listening: Disposable;
  #onMessage: (() => void) | undefined;

  constructor(swarm: Swarm<A>) {
    this.listening = swarm.listen((message) => {
      this.messages.push(message);
      this.#onMessage?.();
    });
  }

  /** Resolves when `test` is true; it is checked at every message. */
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onMessage = () => test() && resolve();
    });
  }

  /** The first message with this payload. */
  find(payload: Uint8Array): Message<A> | undefined {
    return this.messages.find((message) => equalBytes(message.payload, payload));
  }
}

/** Sends a tell until the message has arrived: once on a reliable link, several times on a lossy one. */
export async function deliver<A extends Addr>(
  bench: Bench<Swarm<A>>,
  from: Swarm<A>,
  dst: A | string,
  payload: Uint8Array,
  inbox: Inbox<A>,
): Promise<Message<A>> {
  for (let sends = 0; sends < (bench.features.lossy ? MAX_SENDS : 1); sends++) {
    await bench.run(from.tell(dst, payload));
    const arrived = inbox.until(() => inbox.find(payload) !== undefined);
    if (!bench.features.lossy) await within(bench, from, arrived, `message to ${String(dst)}`);
    else await Promise.race([bench.run(arrived), pass(bench, from)]);
    const found = inbox.find(payload);
    if (found !== undefined) return found;
  }
  return fail(`No message to ${String(dst)} arrived in ${MAX_SENDS} sends`);
}

/** How long the suites wait for something that must happen, in the realm's time. */
const WITHIN_MS = 15_000;

/** Waits for something that must happen, and fails with its name when it does not. */
export async function within<T, A extends Addr>(
  bench: Bench<Swarm<A>>,
  swarm: Swarm<A>,
  promise: Promise<T>,
  what: string,
): Promise<T> {
  const { realm } = swarm;
  return bench.run(
    new Promise<T>((resolve, reject) => {
      const timer = clockOf(realm).setTimer(realm.nowMs() + WITHIN_MS, () => {
        reject(new Error(`${what} did not come within ${WITHIN_MS} ms`));
      });
      promise.then(resolve, reject).finally(() => timer.cancel());
    }),
  );
}

/** Fails the test. */
export function fail(message: string): never {
  throw new Error(message);
}

/** Fails the test with `message` unless `condition` is true. */
export function check(condition: unknown, message: string): asserts condition {
  if (!(condition as boolean)) fail(message);
}

/** Fails the test unless both are the same value, by `Object.is`. */
export function checkSame(actual: unknown, expected: unknown, what: string): void {
  check(Object.is(actual, expected), `${what}: expected ${describeValue(expected)}, got ${describeValue(actual)}`);
}

/** Fails the test unless both byte strings are equal. */
export function checkBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  check(equalBytes(actual, expected), `${what}: ${actual.length} bytes differ from the ${expected.length} expected`);
}

/** Fails the test unless `call` throws synchronously, with this built-in class. */
export function checkThrows(call: () => unknown, expected: typeof TypeError | typeof RangeError, what: string): void {
  let thrown: unknown;
  try {
    const result = call();
    // A rejected promise would be unhandled, and is not a synchronous throw anyway.
    if (result instanceof Promise) result.catch((error: unknown) => void error);
  } catch (error) {
    thrown = error;
  }
  const isMisuse = expected === TypeError ? thrown instanceof TypeError : thrown instanceof RangeError;
  check(isMisuse, `${what}: expected a ${expected.name} at once, got ${describeValue(thrown)}`);
}

/** Waits for the rejection of `promise` and returns its reason; fails the test when it resolves. */
export async function rejectionOf<A extends Addr>(
  bench: Bench<Swarm<A>>,
  swarm: Swarm<A>,
  promise: Promise<unknown>,
  what: string,
): Promise<unknown> {
  const outcome = promise.then(
    () => ({ resolved: true as const }),
    (error: unknown) => ({ resolved: false as const, error }),
  );
  const settled = await within(bench, swarm, outcome, what);
  if (settled.resolved) return fail(`${what}: expected a rejection, but it resolved`);
  return settled.error;
}

/** Fails the test unless `promise` rejects with a {@link P2PError} of one of these codes; returns it. */
export async function checkRejects<A extends Addr>(
  bench: Bench<Swarm<A>>,
  swarm: Swarm<A>,
  promise: Promise<unknown>,
  codes: P2PErrorCode | readonly P2PErrorCode[],
  what: string,
): Promise<P2PError> {
  const error = await rejectionOf(bench, swarm, promise, what);
  const wanted: readonly string[] = typeof codes === 'string' ? [codes] : codes;
  const got = P2PError.is(error) ? error.code : describeValue(error);
  if (!P2PError.is(error) || !wanted.includes(error.code))
    return fail(`${what}: expected ${wanted.join(' or ')}, got ${got}`);
  check(error.side === 'local' || error.side === 'remote' || error.side === 'path', `${what}: side is ${error.side}`);
  check(error.sent === 'no' || error.sent === 'maybe', `${what}: sent is ${describeValue(error.sent)}`);
  return error;
}

/** All drops of a swarm, on its own layer only. */
export function dropsOf<A extends Addr>(swarm: Swarm<A>): number {
  let total = 0;
  for (const count of swarm.counters.drops.values()) total += count;
  return total;
}

/**
 * Drops on any layer of the stack, for one reason or all: wrappers that pass messages on leave some counting to the
 * layers below.
 */
export function dropsInStack<A extends Addr>(swarm: Swarm<A>, reason?: DropReason): number {
  let total = 0;
  for (let at: Swarm<A>['counters'] | undefined = swarm.counters; at !== undefined; at = at.inner) {
    for (const [name, count] of at.drops) if (reason === undefined || reason === name) total += count;
  }
  return total;
}

/**
 * A payload that differs from others: `length` bytes that depend on `seed`. They cannot be compressed, so a layer whose
 * real limit is lower than its MTU fails.
 */
export function payloadOf(seed: number, length = 16): Bytes {
  const payload = new Uint8Array(length);
  // xorshift32 (Marsaglia 2003): fast, and without a pattern that a compressor could use.
  let state = (seed ^ 0x9e37_79b9) | 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    payload[i] = state;
  }
  if (length >= 4) new DataView(payload.buffer).setUint32(0, seed);
  return payload;
}
