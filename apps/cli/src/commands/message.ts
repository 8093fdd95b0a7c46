/** `shoal tell` and `shoal ask`: one message. */

import { canAsk } from 'shoal';
import { type CommandContext, type StackOptions, bindFor, openStackOf } from '../context.ts';
import { asUsage } from '../failure.ts';
import { readPayload, toBase64 } from '../payload.ts';
import { cannotAsk } from '../stack/open.ts';

/** Options of `shoal tell` and `shoal ask`. */
export interface SendOptions extends StackOptions {
  readonly data?: string | undefined;
  readonly file?: string | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Sends one message, and waits until it is out. */
export async function tell(context: CommandContext, addr: string, options: SendOptions): Promise<void> {
  const payload = await readPayload(options);
  await using stack = await openStackOf(context, options, bindFor(addr));
  const { swarm } = stack;
  const dst = asUsage(`Cannot use address over ${stack.text}`, () => swarm.parseAddr(addr));
  const call = { signal: context.interrupt.signal, timeoutMs: options.timeout };
  await swarm.tell(dst, payload, call);
  await swarm.drain(call);
  context.output.show(
    { event: 'told', dst: dst.text, bytes: payload.length },
    `told ${payload.length} bytes to ${dst.text}`,
  );
}

/** Sends one request, and shows its answer. */
export async function ask(context: CommandContext, addr: string, options: SendOptions): Promise<void> {
  const { output, interrupt } = context;
  const payload = await readPayload(options);
  await using stack = await openStackOf(context, options, bindFor(addr));
  const { swarm } = stack;
  if (!canAsk(swarm)) throw cannotAsk(stack.text);
  const dst = asUsage(`Cannot use address over ${stack.text}`, () => swarm.parseAddr(addr));
  const startedAt = performance.now();
  const answer = await swarm.ask(dst, payload, { signal: interrupt.signal, timeoutMs: options.timeout });
  const ms = Math.round((performance.now() - startedAt) * 1000) / 1000;
  if (output.json) output.show({ event: 'answer', src: dst.text, payload: toBase64(answer), ms });
  else output.raw(answer);
}
