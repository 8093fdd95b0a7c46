/** Hooks: what a node does with its connections, each a value that is enabled once. */

import { type TcpConnection } from './connection.ts';

/** The hooks there are. */
export type HookKind = 'handshake' | 'reading' | 'writing' | 'onConnect' | 'onDisconnect';

/**
 * Something to be enabled on a node: made by `reading`, `writing`, `onConnect`, `onDisconnect`, `handshake`. One value may be
 * enabled on many nodes.
 *
 * @typeParam In - the messages that it takes.
 * @typeParam Out - the messages that it sends on the connections that it gets.
 */
export interface Hook<in In = unknown, out Out = never> {
  readonly kind: HookKind;
  /** Never there: it is the compiler's, and says for which messages the hook is made. */
  readonly messages?: ((connection: TcpConnection<Out>, message: In) => void) | undefined;
}
