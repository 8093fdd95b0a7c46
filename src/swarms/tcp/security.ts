/** Secures the connections of a TCP swarm, and calls its admission check. */

import { type Handshake, handshake, noiseHandshake, tlsHandshake } from '../../node/index.ts';
import type { ResolvedTcpOptions, TcpSwarmOptions } from './options.ts';
import type { Judge } from './sessions.ts';

/** @param judge - returns why a peer that has proven a key is refused, or `undefined`. */
export function securityOf(
  { security, realm }: ResolvedTcpOptions,
  { privateKey, handshakeTimeoutMs }: TcpSwarmOptions,
  judge: Judge,
): Handshake {
  const secure =
    security === 'tls' ? tlsHandshake({ privateKey, realm }) : noiseHandshake({ privateKey, realm, pattern: 'XX' });
  return handshake(
    (context) =>
      secure({
        ...context,
        accept: async (publicKey) => {
          const refusal = await context.untimed(judge(context.connection, publicKey, context.signal));
          if (refusal !== undefined) throw refusal;
        },
      }),
    { timeoutMs: handshakeTimeoutMs },
  );
}
