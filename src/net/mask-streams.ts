/** A network whose TCP connections look random. */

import { systemNetwork } from '#system-network';
import { describeValue } from '../base/checks.ts';
import type { Side } from '../core/accept.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { assertMaskKey } from '../protocols/mask/key.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { MaskedPipe } from './masked-pipe.ts';
import { gatewaysOf } from './default-gateways.ts';
import { assertNetwork, type Network, type RawConnection } from './network.ts';

/** How TCP connections are masked. */
export interface MaskStreamsOptions {
  /** 32 random bytes that both sides have. */
  readonly key: Uint8Array;
  /** Whose connections. @default the sockets of this machine */
  readonly network?: Network | undefined;
  /** The source of randomness and turns. @default the system realm */
  readonly realm?: Realm | undefined;
}

/**
 * A network whose TCP connections are masked: whatever a node or a swarm sends, its TLS or Noise handshake included, is sealed
 * with the key in padded frames with hidden lengths, behind 32 random bytes. Both sides need the same key. It hides the form of
 * what is encrypted inside, and adds no security to it; docs/wire/mask.md says what it does not hide. UDP passes as it is.
 *
 * @throws {TypeError | RangeError} when the key is not 32 bytes, or for other wrong options.
 * @example
 * ```ts
 * const node = createNode({ network: maskStreams({ key }), security: tls({ privateKey }) });
 * ```
 */
export function maskStreams(options: MaskStreamsOptions): Network {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { key, network = systemNetwork, realm = systemRealm } = options;
  assertMaskKey(key);
  assertNetwork(network);
  assertRealm(realm);
  const secret = key.slice();
  const masked = ({ pipe, local, remote }: RawConnection, side: Side): RawConnection => ({
    pipe: new MaskedPipe(pipe, secret, side, realm),
    local,
    remote,
  });
  return {
    dial: async (dial) => masked(await network.dial(dial), 'initiator'),
    listen: (listen) =>
      network.listen({ ...listen, onConnection: (connection) => listen.onConnection(masked(connection, 'responder')) }),
    bindUdp: (bind) => network.bindUdp(bind),
    interfaces: () => network.interfaces(),
    gateways: () => gatewaysOf(network),
    onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
  };
}
