/** Opens what was planned, bottom first. */

import { UsageError, asUsage } from '../failure.ts';
import { type AnySwarm, type StackContext, layersWith } from './layers.ts';
import type { StackPlan } from './plan.ts';

/** An open stack. */
export interface OpenStack extends AsyncDisposable {
  /** The top. */
  readonly swarm: AnySwarm;
  readonly text: string;
}

/**
 * Opens every layer of `plan`; when one cannot be, closes those below it.
 *
 * @throws {UsageError} when a layer carries too little for the one above it, or an option is of the wrong form.
 * @throws {P2PError} as the layers do.
 */
export async function openStack(plan: StackPlan, context: StackContext, hasKey: boolean): Promise<OpenStack> {
  if (hasKey && !plan.layers.some(({ layer }) => layer.keys === true)) {
    throw new UsageError(
      `Cannot use --key: no layer of ${plan.text} has keys; add ${layersWith('keys')}, or leave --key out`,
    );
  }
  await using opened = new AsyncDisposableStack();
  let swarm: AnySwarm | undefined;
  for (const [index, { layer, open }] of plan.layers.entries()) {
    if (swarm !== undefined) checkRoom(plan, index, swarm);
    const step = await openOne(`Cannot open ${layer.name}`, () => open(context, swarm));
    opened.defer(() => step.close?.() ?? Promise.resolve());
    opened.defer(() => step.swarm.close());
    ({ swarm } = step);
  }
  const layers = opened.move();
  return { swarm: swarm!, text: plan.text, [Symbol.asyncDispose]: () => layers.disposeAsync() };
}

/** What is thrown at once or by rejection for a `--bind` of the wrong form is wrong usage. */
async function openOne<T>(what: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    return asUsage(what, () => {
      throw error;
    });
  }
}

function checkRoom(plan: StackPlan, index: number, below: AnySwarm): void {
  const { layer } = plan.layers[index]!;
  const [local] = below.localAddrs();
  const room = local === undefined ? 0 : below.mtu(local);
  if (layer.minInnerBytes === undefined || room >= layer.minInnerBytes) return;
  const names = plan.layers.map(({ text }) => text);
  const instead = names.toSpliced(index, 0, 'frag').join(',');
  throw new UsageError(
    `Cannot build ${plan.text}: ${layer.name} needs messages of ${layer.minInnerBytes} bytes below it, ` +
      `${names.slice(0, index).join(',')} carries ${room}; write ${instead}`,
  );
}

/** Says which layer is missing when a stack cannot ask. */
export function cannotAsk(text: string): UsageError {
  return new UsageError(
    `Cannot ask over ${text}: no layer of it carries asks (${layersWith('asks')} would); write ${text},mbapp on both sides`,
  );
}
