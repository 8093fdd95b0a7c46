/** Hooks: what a node does with its connections, each a value that is enabled once. */

import { type Connection, type Disconnect } from './connection.ts';
import { type NodeConnection } from './node-connection.ts';
import { type HandshakeContext } from './handshake.ts';
import { type Node } from './node.ts';
import { type HandshakeResult } from './transport.ts';
import { type Reader } from './reading.ts';
import { type Writer } from './writing.ts';

/** The hooks there are. */
export type HookKind = 'handshake' | 'reading' | 'writing' | 'onConnect' | 'onDisconnect';

/**
 * Something to be enabled on a node: made by `handshake`, `reading`, `writing`, `onConnect`, `onDisconnect`, and by what is
 * built of them (`tls`, say). One value may be enabled on many nodes.
 *
 * @typeParam Handle - what `node.enable` returns for it.
 */
export interface Hook<out Handle = unknown> {
  readonly kind: HookKind;
  /** Makes the handle for one node; called by `enable`. */
  readonly handle: (node: Node) => Handle;
}

/** What enabling a hook without functions of its own returns. */
export interface HookHandle {
  /** How many calls of the hook are under way. */
  readonly running: number;
}

/** The handle of a hook without functions of its own. @internal */
export function runningOf(node: Node, kind: 'handshake' | 'onConnect' | 'onDisconnect'): HookHandle {
  return {
    get running() {
      return node.running[kind];
    },
  };
}

/** The five hooks as the node uses them. @internal */
export interface Hooks {
  handshake?: HandshakeHook | undefined;
  reading?: ConnectionPart<Reader> | undefined;
  writing?: ConnectionPart<Writer> | undefined;
  onConnect?: ConnectHook | undefined;
  onDisconnect?: DisconnectHook | undefined;
}

/** A hook that has a part in each connection. @internal */
export interface ConnectionPart<Part> extends Hook {
  readonly start: (connection: NodeConnection) => Part;
}

/** @internal */
export interface HandshakeHook extends Hook {
  readonly timeoutMs: number;
  readonly perform: (context: HandshakeContext) => Promise<HandshakeResult | void>;
}

/** @internal */
export interface ConnectHook extends Hook {
  readonly abortable: boolean;
  readonly run: (connection: Connection) => unknown;
}

/** @internal */
export interface DisconnectHook extends Hook {
  readonly timeoutMs: number;
  readonly run: (connection: Connection, how: Disconnect, signal: AbortSignal) => unknown;
}
