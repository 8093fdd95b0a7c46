/** What secures the connections of a TCP swarm, and asks who may talk. */

import { type P2PError } from '../../core/errors.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type Handshake, handshake, noiseHandshake, type TcpConnection, tlsHandshake } from '../../node/index.ts';
import { type ResolvedOptions, type TcpSwarmOptions } from './options.ts';

/** @param judge - what there is against a peer that has proven a key; `undefined`: nothing. */
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
