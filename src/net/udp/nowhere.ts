/** Replaces UDP sockets on platforms without them (browsers), so that modules which do not need them can load. */

import { P2PError } from '../../core/errors.ts';
import { rejection } from '../../runtime/promises.ts';
import type { openUdpSwarm as open } from './open-udp-swarm.ts';

/** @throws {P2PError} (by rejection) `unsupported`, always. */
export const openUdpSwarm: typeof open = () =>
  rejection(
    new P2PError(
      'unsupported',
      'local',
      'Cannot open a UDP socket: this platform has no UDP; put quic(…) over another swarm',
      {
        sent: 'no',
      },
    ),
  );
