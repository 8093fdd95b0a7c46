/** Checks the options of a simulation before anything begins. */

import { assertFunction, assertSignal, assertString, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { createSeededRandom } from '../../base/seeded-random.ts';
import { resolveNetem } from '../../protocols/netem/netem.ts';
import type { ChaosEvent, InternetNetwork, MemoryNetwork, SimulationOptions } from './options.ts';

const MAX_NODES = 1_000_000;
/** About 317 years. */
const MAX_DURATION_MS = 1e13;

/** A number that has no default: a missing one is no number. */
function required(value: number | undefined): number {
  return value ?? NaN;
}

/** The network with its kind. @throws {TypeError | RangeError} for another kind or wrong options. */
export function networkOf(network: SimulationOptions<never>['network']): MemoryNetwork | InternetNetwork {
  const given: MemoryNetwork | InternetNetwork =
    network === undefined || typeof network === 'string' ? { kind: network ?? 'memory' } : network;
  if (given.kind !== 'memory' && given.kind !== 'internet') {
    throw new TypeError(
      `Cannot take network: expected 'memory', 'internet' or { kind, … }, got ${describeValue(network)}`,
    );
  }
  if (given.netem !== undefined) resolveNetem(given.netem);
  return given;
}

/** @throws {TypeError | RangeError} for the first option that is wrong. */
export function checkOptions<N>(options: SimulationOptions<N>): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot simulate: expected options, got ${describeValue(options)}`);
  }
  if (options.name !== undefined) assertString(options.name, 'name');
  wholeNumber(required(options.nodes), 'nodes', 0, 1, MAX_NODES);
  quantity(required(options.durationMs), 'durationMs', 0, 1, MAX_DURATION_MS);
  quantity(options.openEveryMs, 'openEveryMs', 0, 0, MAX_DURATION_MS);
  quantity(options.checkEveryMs, 'checkEveryMs', 0, 1, MAX_DURATION_MS);
  createSeededRandom(options.seed ?? 0);
  networkOf(options.network);
  assertFunction(options.open, 'open');
  for (const name of ['close', 'run', 'check', 'onEvent', 'onProgress'] as const) {
    if (options[name] !== undefined) assertFunction(options[name], name);
  }
  assertSignal(options.signal);
  const { churn, liveness, chaos } = options;
  if (churn !== undefined) {
    quantity(required(churn.halfLifeMs), 'churn.halfLifeMs', 0, 1, MAX_DURATION_MS);
    quantity(churn.downMs, 'churn.downMs', 0, 0, Infinity);
    quantity(churn.graceful, 'churn.graceful', 0, 0, 1);
    wholeNumber(churn.spared, 'churn.spared', 0, 0, MAX_NODES);
  }
  if (liveness !== undefined) {
    quantity(required(liveness.withinMs), 'liveness.withinMs', 0, 0, MAX_DURATION_MS);
    assertFunction(liveness.check, 'liveness.check');
  }
  if (typeof chaos !== 'function') checkEvents(chaos ?? [], options.nodes);
}

/** @throws {TypeError | RangeError} for the first that is no event. */
export function checkEvents(events: readonly ChaosEvent[], nodes: number): void {
  if (!Array.isArray(events)) {
    throw new TypeError(`Cannot take chaos: expected a list of events or a function, got ${describeValue(events)}`);
  }
  for (const event of events) checkChaos(event, nodes);
}

/** @throws {RangeError} for a part with an index of no node. */
export function checkParts(parts: readonly (readonly number[])[], nodes: number, name: string): void {
  for (const index of parts.flat()) wholeNumber(index, name, 0, 0, nodes - 1);
}

function checkChaos(event: ChaosEvent, nodes: number): void {
  quantity(required(event.atMs), 'chaos.atMs', 0, 0, MAX_DURATION_MS);
  quantity(required(event.forMs), 'chaos.forMs', 0, 0, MAX_DURATION_MS);
  if (event.type === 'link') resolveNetem(event.netem);
  else if (event.type === 'crash') quantity(required(event.share), 'chaos.share', 0, 0, 1);
  else if (event.type === 'partition') {
    const { parts = 2 } = event;
    if (typeof parts === 'number') wholeNumber(parts, 'chaos.parts', 2, 2, nodes);
    else checkParts(parts, nodes, 'chaos.parts');
  } else {
    const { type } = event as { readonly type: unknown };
    throw new TypeError(`Cannot take chaos: expected the type partition, link or crash, got ${describeValue(type)}`);
  }
}
