/** Messages over QUIC over any swarm: a tell is a unidirectional stream, an ask a bidirectional one. */

import type { Recheckable } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import { inspect } from '../../core/inspect.ts';
import { P2PError } from '../../core/errors.ts';
import type { SecureAskSwarm } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import { sessionSwarm } from '../../sessions/session-swarm.ts';
import { parseQuicAddr, type QuicAddr, quicAddr } from './address.ts';
import type { MakeEndpoint } from '../../quic/quic-driver.ts';
import type { ResolvedOptions } from './options.ts';
import { QuicSessions } from './sessions.ts';

/** Messages by PeerID over QUIC. */
export interface QuicSwarm<I extends Addr> extends SecureAskSwarm<QuicAddr<I>>, Recheckable {}

/** QUIC on a swarm. */
export function quicSwarm<I extends Addr>(
  inner: Swarm<I>,
  options: ResolvedOptions<I>,
  makeEndpoint: MakeEndpoint,
): QuicSwarm<I> {
  const { id, publicKey, maxMessageBytes, limits } = options;
  return sessionSwarm<QuicAddr<I>>({
    layer: 'quic',
    realm: inner.realm,
    id,
    publicKey,
    inner: inner.counters,
    maxMessageBytes,
    limits,
    inspectInner: () => [inspect(inner)],
    localAddrs: () => inner.localAddrs().map((addr) => quicAddr(id, addr)),
    parseAddr: (text) => parseQuicAddr(text, (rest) => inner.parseAddr(rest)),
    sessions: (user) => {
      void inner.closed.then(({ cause }) =>
        user.failed(cause ?? new P2PError('closed', 'local', 'The swarm under quic was closed')),
      );
      return new QuicSessions(inner, options, user, makeEndpoint);
    },
    release: async () => {
      if (!options.keepInner) await inner.close();
    },
  });
}
