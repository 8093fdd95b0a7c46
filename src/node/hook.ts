/** Hooks: each is a value that is enabled once and determines what a node does with its connections. */

import type { TcpConnection } from './connection.ts';

/** All kinds of hooks. */
export type HookKind = 'handshake' | 'reading' | 'writing' | 'onConnect' | 'onDisconnect';

/**
 * A value to enable on a node, created by `reading`, `writing`, `onConnect`, `onDisconnect`, `handshake`. One value may
 * be enabled on many nodes.
 *
 * @typeParam In - the messages it receives.
 * @typeParam Out - the messages it sends on its connections.
 */
export interface Hook<in In = unknown, out Out = never> {
  readonly kind: HookKind;
  /** Never present at run time: it tells the compiler which messages the hook handles. */
  readonly messages?: ((connection: TcpConnection<Out>, message: In) => void) | undefined;
}
