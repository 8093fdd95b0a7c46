/** Replaces the sockets of this machine on platforms without any (browsers), so that modules which take a network can load. */

import { P2PError } from '../core/errors.ts';
import { rejection } from '../runtime/promises.ts';
import type { Network } from './network.ts';

function unsupported(what: string): Promise<never> {
  const message = `Cannot ${what}: this platform has no sockets; pass a network`;
  return rejection(new P2PError('unsupported', 'local', message, { sent: 'no' }));
}

/** A network in which every call fails as `unsupported`. */
export const systemNetwork: Network = {
  dial: () => unsupported('dial'),
  listen: () => unsupported('listen'),
  bindUdp: () => unsupported('bind UDP'),
  interfaces: () => [],
  onInterfacesChanged: () => ({ [Symbol.dispose]: () => undefined }),
};
