/** `shoal listen`: shows what comes, and with `--echo` sends it back. */

import { type Addr, type Message, canAsk, isSecure } from 'shoal';
import { encodeText } from 'shoal/bytes';
import { type CommandContext, type StackOptions, openStackOf } from '../context.ts';
import { EchoGuard } from '../echo.ts';
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
  const { output, interrupt, realm } = context;
  await using stack = await openStackOf(context, options, '127.0.0.1:0');
  const { swarm } = stack;
  const { echo = false, quiet = false } = options;

  const show = (event: 'tell' | 'ask', { src, dst, payload }: Message<Addr>): void => {
    if (quiet) return;
    const shown = { event, src: src.text, dst: dst.text, payload: toBase64(payload) };
    output.show(shown, `${event} from ${src.text}: ${showPayload(payload)}`);
  };
  const guard = new EchoGuard({
    proven: isSecure(swarm),
    localAddrs: () => swarm.localAddrs(),
    nowMs: () => realm.nowMs(),
  });
  // Output waits for its reader: the swarm then reads no more, or drops what is beyond its bounds and counts it.
  swarm.listen(async (message) => {
    await output.behind();
    show('tell', message);
    const { src, payload } = message;
    // A failed echo is counted by the swarm; the sender sees that nothing comes back.
    if (echo && guard.mayEcho(src, payload)) await swarm.tell(src, payload).catch(() => undefined);
  });
  if (canAsk(swarm)) {
    swarm.serve(async (request) => {
      await output.behind();
      show('ask', request);
      return echo ? request.payload : encodeText(RECEIVED);
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
