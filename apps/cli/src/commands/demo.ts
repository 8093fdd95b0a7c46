/** `shoal demo`: a real network of processes on this machine, or a visit to one. */

import type { CommandContext, CommonOptions } from '../context.ts';

/** Options of `shoal demo`. */
export interface DemoCommandOptions extends CommonOptions {
  readonly join?: string | undefined;
  readonly keep?: boolean | undefined;
  readonly peers: number;
  readonly seconds: number;
}

/** Loads what it needs only when it runs. */
export async function demo(context: CommandContext, options: DemoCommandOptions): Promise<void> {
  const { join, keep = false, peers, seconds } = options;
  if (join !== undefined) {
    const { joinDemo } = await import('../demo/join.ts');
    return joinDemo(context, join);
  }
  const { runDemo } = await import('../demo/coordinator.ts');
  return runDemo(context, { keep, peers, seconds });
}
