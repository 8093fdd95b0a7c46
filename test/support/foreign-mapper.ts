/** A port mapper of somebody else: `table` says which ports a person has forwarded on the router by hand. Public types only. */

import type { PortMapper, PortMapping, PortMappingRequest } from 'shoal/nat';
import type { SocketAddress } from 'shoal/net';

/** @param table - by `udp 5000`, the address outside. */
export function foreignMapper(table: ReadonlyMap<string, SocketAddress>): PortMapper {
  const close = (): Promise<void> => Promise.resolve();
  return {
    map({ protocol, internalPort }: PortMappingRequest): PortMapping {
      const external = table.get(`${protocol} ${internalPort}`);
      return {
        external,
        via: undefined,
        expiresMs: external && Infinity,
        doubleNat: false,
        reason: external === undefined ? 'Nobody has forwarded that port by hand' : undefined,
        ready: Promise.resolve(),
        onChange: () => ({ [Symbol.dispose]: () => undefined }),
        close,
        [Symbol.asyncDispose]: close,
      };
    },
    report: { gateways: [], foreignAnswers: 0 },
    close,
    [Symbol.asyncDispose]: close,
  };
}
