/**
 * What all conformance suites share: the runner they report to, the fixture they work on, and checks that need no
 * assertion library, so that the same suite runs under any runner and in a browser.
 */

import { type Addr, type AddrOf } from '../../core/addr.ts';
import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { P2PError, type P2PErrorCode } from '../../core/errors.ts';
import { describeValue } from '../../base/checks.ts';
import { type Message } from '../../core/message.ts';
import { type DropReason } from '../../core/counters.ts';
import { type Realm } from '../../core/realm.ts';
import { type Swarm } from '../../core/swarm.ts';
import { clockOf } from '../../runtime/system-realm.ts';

/** The part of a test runner that suites use; `node:test`, vitest, jest and mocha have it. */
export interface SuiteRunner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: ((name: string, body: () => Promise<void>) => unknown) & {
    readonly skip?: ((name: string, body?: () => Promise<void>) => unknown) | undefined;
  };
}

/** What a swarm is like where the contract leaves a choice. Tests that do not apply are skipped by name. */
export interface SuiteFeatures {
  /** Messages may vanish, come twice or overtake each other. @default false */
  readonly lossy?: boolean | undefined;
  /** Messages of one source arrive in the order they were sent in. @default not `lossy` */
  readonly ordered?: boolean | undefined;
  /** The link stops reading instead of dropping. @default false */
  readonly flowControlled?: boolean | undefined;
  /** `maxPendingMessages` of the swarms made. @default 256 */
  readonly maxPendingMessages?: number | undefined;
  /** The most bytes to try where a test sends `mtu(dst)` bytes. @default 4 194 304 */
  readonly maxTriedBytes?: number | undefined;
  /** How long to let things arrive, in milliseconds of the realm's time. @default 400 */
  readonly settleMs?: number | undefined;
  /** How many swarms the larger tests make. @default 10 */
  readonly manySwarms?: number | undefined;
  /** How many messages the longest test sends. @default 10 000 */
  readonly manyMessages?: number | undefined;
}

/** Some swarms that can reach each other, made for one test. */
export interface SuiteNet<S> extends AsyncDisposable {
  readonly swarms: readonly S[];
  /** Waits; in virtual time it moves the clock. @default as the fixture says */
  readonly run?: (<T>(promise: Promise<T>) => Promise<T>) | undefined;
  /** An address in proper form where nobody is. @default a test about it is skipped */
  readonly unknownAddr?: (() => AddrOf<S>) | undefined;
  /** An address where the swarm at `index` is, with another key's PeerID. @default a test about it is skipped */
  readonly wrongAddr?: ((index: number) => AddrOf<S>) | undefined;
  /** Puts raw bytes where the swarm at `index` takes packets from. @default a test about it is skipped */
  readonly inject?: ((index: number, bytes: Bytes) => Promise<void>) | undefined;
}

/** Makes what a suite works on. */
export interface SuiteFixture<S> {
  readonly features?: SuiteFeatures | undefined;
  /** Waits, for all networks that do not say how themselves. @default awaiting */
  readonly run?: (<T>(promise: Promise<T>) => Promise<T>) | undefined;
  /** Makes `n` swarms. Everything made is gone when what it returns is disposed of. */
  make(n: number): Promise<SuiteNet<S>>;
}

/** One test of a suite. */
export interface SuiteTest<S> {
  readonly name: string;
  /** How many swarms it needs. @default 2 */
  readonly swarms?: number | ((features: ResolvedFeatures) => number) | undefined;
  /** Why it does not apply, if it does not. */
  readonly skip?: ((features: ResolvedFeatures) => string | undefined) | undefined;
  readonly body: (bench: Bench<S>) => Promise<void>;
}

/** {@link SuiteFeatures} with nothing left open. */
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

/** Hands a suite's tests to the runner. */
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

/** The longest single wait of a suite, in the realm's time: many times what the slowest honest swarm takes. */
const LIMIT_MS = 600_000;

/**
 * Fails when so much of the realm's time has passed. A swarm that waits for a real timer or for real I/O in a virtual realm
 * would else let the clock run on for as long as anything is armed.
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
    // In the background: alone it keeps no clock running, so a clock with nothing else to do says so at once.
    const timer = clockOf(realm).setTimer(realm.nowMs() + LIMIT_MS, late, { background: true });
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

type Run = <T>(promise: Promise<T>) => Promise<T>;

/** What a test's body gets. */
export interface Bench<S> {
  readonly net: SuiteNet<S>;
  readonly features: ResolvedFeatures;
  /** The only way in which suites wait. */
  readonly run: Run;
}

/** How often a message is sent again on a lossy link before the test gives up. */
const MAX_SENDS = 60;

/** The first address of a swarm: the one others use. */
export function addrOf<A extends Addr>(swarm: Swarm<A>): A {
  const [first] = swarm.localAddrs();
  check(first !== undefined, 'localAddrs() is empty');
  return first;
}

/** Lets `ms` of the realm's time pass, or as long as the fixture says that things take to arrive. */
export function pass<A extends Addr>(
  { run, features }: Bench<Swarm<A>>,
  swarm: Swarm<A>,
  ms: number = features.settleMs,
): Promise<void> {
  return run(new Promise((resolve) => void clockOf(swarm.realm).setTimer(swarm.realm.nowMs() + ms, resolve)));
}

/** Messages that a swarm received, and those who wait for one. */
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

  /** Resolves when `test` holds; it is tried at every message. */
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

/** Tells until the message has arrived: once on a reliable link, several times on a lossy one. */
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

/** How long the suites wait for what must come, in the realm's time. */
const WITHIN_MS = 15_000;

/** Waits for what must come, and fails with its name when it does not. */
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

/** Fails the test with `message` unless `condition` holds. */
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

/** Fails the test unless `call` throws at once, with this built-in class. */
export function checkThrows(call: () => unknown, expected: typeof TypeError | typeof RangeError, what: string): void {
  let thrown: unknown;
  try {
    const result = call();
    // A promise that rejects would be unhandled, and is the wrong answer anyway.
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

/** All drops of a swarm, its own layer only. */
export function dropsOf<A extends Addr>(swarm: Swarm<A>): number {
  let total = 0;
  for (const count of swarm.counters.drops.values()) total += count;
  return total;
}

/** Drops on any layer of the stack, for one reason or all: wrappers that hand messages on leave some counting to the layers below. */
export function dropsInStack<A extends Addr>(swarm: Swarm<A>, reason?: DropReason): number {
  let total = 0;
  for (let at: Swarm<A>['counters'] | undefined = swarm.counters; at !== undefined; at = at.inner) {
    for (const [name, count] of at.drops) if (reason === undefined || reason === name) total += count;
  }
  return total;
}

/**
 * A payload that tells itself apart from others: `length` bytes that depend on `seed`. No layer can compress them, so one
 * that would take more than it says is found out.
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
