/** A lie: replaced members of an honest swarm. */

import type { Addr } from '../../core/addr.ts';
import type { AskOptions } from '../../core/ask.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { AskHandler, Message, TellHandler } from '../../core/message.ts';
import type { SecureAskSwarm } from '../../core/secure.ts';
import type { CallOptions } from '../../core/swarm.ts';

/** The honest swarm that a lie changes. */
export type Honest = SecureAskSwarm<Addr>;

/** The type of destinations. */
export type Dst = Addr | string;

/** The text of a destination; `undefined` for an invalid one. */
export function textOf(dst: Dst | undefined): string | undefined {
  return typeof dst === 'string' ? dst : dst?.text;
}

/** Returns the members that replace those of the honest swarm. */
export type Lie = (honest: Honest) => Partial<Honest>;

/** Lies by the rule that they break. */
export type Lies = Readonly<Record<string, Lie>>;

/** Changes each message before its handler sees it. */
export function received(change: (message: Message<Addr>) => Message<Addr>): Lie {
  return (honest) => ({ listen: (handler) => honest.listen((message) => handler(change(message))) });
}

/** Replaces `tell`. */
export function telling(
  tell: (honest: Honest, dst: Dst, payload: Uint8Array, options?: CallOptions) => Promise<void>,
): Lie {
  return (honest) => ({ tell: (dst, payload, options) => tell(honest, dst, payload, options) });
}

/** Replaces `listen`. */
export function listening(listen: (honest: Honest, handler: TellHandler<Addr>) => Disposable): Lie {
  return (honest) => ({ listen: (handler) => listen(honest, handler) });
}

/** Whether an honest ask throws at once: lies about other rules keep that. */
function isMisuse(dst: unknown, request: unknown, options: AskOptions | undefined): boolean {
  const known = typeof dst === 'string' || (typeof dst === 'object' && dst !== null && 'net' in dst);
  const { maxResponseBytes = 0, timeoutMs = 0 } = options ?? {};
  return !known || !(request instanceof Uint8Array) || maxResponseBytes < 0 || !(timeoutMs >= 0);
}

/** Replaces `ask`. */
export function asking(
  ask: (honest: Honest, dst: Dst, request: Uint8Array, options?: AskOptions) => Promise<Bytes>,
): Lie {
  return (honest) => ({
    ask: (dst, request, options) =>
      isMisuse(dst, request, options) ? honest.ask(dst, request, options) : ask(honest, dst, request, options),
  });
}

/** Replaces `serve`. */
export function serving(wrap: (handler: AskHandler<Addr>) => AskHandler<Addr>): Lie {
  return (honest) => ({ serve: (handler) => honest.serve(wrap(handler)) });
}

/** A subclass of Uint8Array, as Node's Buffer is. */
export class OddBytes extends Uint8Array<ArrayBuffer> {}
