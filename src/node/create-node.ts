/** Makes nodes. */

import type { Node } from './node.ts';
import { NodeCore } from './node-core.ts';
import type { NodeOptions } from './options.ts';

/**
 * Makes a node. No I/O.
 *
 * @throws {TypeError | RangeError} for invalid options, and when `security` is missing.
 * @example
 * ```ts
 * const privateKey = generateKey();
 * await using node = createNode({ security: tls({ privateKey }), codec: lengthDelimited() });
 * node.enable(writing());
 * node.enable(reading({ onMessage: (connection, bytes) => void connection.send(bytes) }));
 * console.log(await node.listen());
 * ```
 */
export function createNode<In = unknown, Out = never>(options: NodeOptions<In, Out>): Node<In, Out> {
  return new NodeCore(options);
}
