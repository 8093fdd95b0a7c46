/** Secures the connections of a TCP swarm, and calls its admission check. */

import { type P2PError } from '../../core/errors.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type Handshake, handshake, noiseHandshake, type TcpConnection, tlsHandshake } from '../../node/index.ts';
import { type ResolvedOptions, type TcpSwarmOptions } from './options.ts';

/** @param judge - returns why a peer that has proven a key is refused, or `undefined`. */
export function securityOf(
  { security, realm }: ResolvedOptions,
  { privateKey, handshakeTimeoutMs }: TcpSwarmOptions,
  judge: (connection: TcpConnection, publicKey: PublicKey, signal: AbortSignal) => Promise<P2PError | undefined>,
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
