/** What a lie is: parts of an honest swarm, replaced. */

import { type Addr } from '../../core/addr.ts';
import { type AskOptions } from '../../core/ask.ts';
import { type Bytes } from '../../base/bytes.ts';
import { type AskHandler, type Message, type TellHandler } from '../../core/message.ts';
import { type SecureAskSwarm } from '../../core/secure.ts';
import { type CallOptions } from '../../core/swarm.ts';

/** The honest swarm that a lie is made of. */
export type Honest = SecureAskSwarm<Addr>;

/** What calls take as a destination. */
export type Dst = Addr | string;

/** The text of a destination; `undefined` for what is none. */
export function textOf(dst: Dst | undefined): string | undefined {
  return typeof dst === 'string' ? dst : dst?.text;
}

/** Gives what is to replace the honest swarm's own. */
export type Lie = (honest: Honest) => Partial<Honest>;

/** Lies by the rule that they break. */
export type Lies = Readonly<Record<string, Lie>>;

/** Changes each message before its handler sees it. */
export function received(change: (message: Message<Addr>) => Message<Addr>): Lie {
  return (honest) => ({ listen: (handler) => honest.listen((message) => handler(change(message))) });
}

/** Tells in another way. */
export function telling(
  tell: (honest: Honest, dst: Dst, payload: Uint8Array, options?: CallOptions) => Promise<void>,
): Lie {
  return (honest) => ({ tell: (dst, payload, options) => tell(honest, dst, payload, options) });
}

/** Listens in another way. */
export function listening(listen: (honest: Honest, handler: TellHandler<Addr>) => Disposable): Lie {
  return (honest) => ({ listen: (handler) => listen(honest, handler) });
}

/** Whether an honest ask throws at once: a lie about something else leaves that as it is. */
function isMisuse(dst: unknown, request: unknown, options: AskOptions | undefined): boolean {
  const known = typeof dst === 'string' || (typeof dst === 'object' && dst !== null && 'net' in dst);
  const { maxResponseBytes = 0, timeoutMs = 0 } = options ?? {};
  return !known || !(request instanceof Uint8Array) || maxResponseBytes < 0 || !(timeoutMs >= 0);
}

/** Asks in another way. */
export function asking(
  ask: (honest: Honest, dst: Dst, request: Uint8Array, options?: AskOptions) => Promise<Bytes>,
): Lie {
  return (honest) => ({
    ask: (dst, request, options) =>
      isMisuse(dst, request, options) ? honest.ask(dst, request, options) : ask(honest, dst, request, options),
  });
}

/** Serves in another way. */
export function serving(wrap: (handler: AskHandler<Addr>) => AskHandler<Addr>): Lie {
  return (honest) => ({ serve: (handler) => honest.serve(wrap(handler)) });
}

/** Bytes that are not plain ones, as node's Buffers are not. */
export class OddBytes extends Uint8Array<ArrayBuffer> {}
