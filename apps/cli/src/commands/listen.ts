/** `shoal listen`: shows what comes, and with `--echo` sends it back. */

import { type Addr, type Message, canAsk, encodeText } from 'shoal';
import { type CommandContext, type StackOptions, openStackOf } from '../context.ts';
import { Failure } from '../failure.ts';
import { showPayload, toBase64 } from '../payload.ts';

/** Options of `shoal listen`. */
export interface ListenOptions extends StackOptions {
  readonly echo?: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

/** What asks get without `--echo`. */
const RECEIVED = 'received';

/** Listens until it is interrupted. */
export async function listen(context: CommandContext, options: ListenOptions): Promise<void> {
  const { output, interrupt } = context;
  await using stack = await openStackOf(context, options, '127.0.0.1:0');
  const { swarm } = stack;
  const { echo = false, quiet = false } = options;

  const show = (event: 'tell' | 'ask', { src, dst, payload }: Message<Addr>): void => {
    if (quiet) return;
    const shown = { event, src: src.text, dst: dst.text, payload: toBase64(payload) };
    output.show(shown, `${event} from ${src.text}: ${showPayload(payload)}`);
  };
  swarm.listen(async ({ src, dst, payload }) => {
    show('tell', { src, dst, payload });
    // A failed echo is counted by the swarm; whoever sent the message sees that nothing comes back.
    if (echo) await swarm.tell(src, payload).catch(() => undefined);
  });
  if (canAsk(swarm)) {
    swarm.serve(({ src, dst, payload }) => {
      show('ask', { src, dst, payload });
      return echo ? payload : encodeText(RECEIVED);
    });
  }
  for (const { text } of swarm.localAddrs()) output.show({ event: 'listening', addr: text }, `listening on ${text}`);

  const ended = await Promise.race([swarm.closed, interrupt.fired]);
  if (ended?.by === 'failure') throw new Failure(`Cannot listen any more: ${String(ended.cause)}`);
  const { received, receivedBytes, drops } = swarm.counters;
  const dropped = [...drops.values()].reduce((sum, count) => sum + count, 0);
  output.show(
    { event: 'closed', received, receivedBytes, dropped },
    `closed; ${received} messages, ${receivedBytes} bytes received, ${dropped} dropped`,
  );
}
