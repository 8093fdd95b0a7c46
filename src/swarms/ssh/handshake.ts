/** Authenticates the peer of a new connection, and hands the machine on to its session. */

import { concatBytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import type { PrivateKey } from '../../identity/private-key.ts';
import { type Handshake, handshake, type HandshakeContext, type TcpConnection } from '../../node/index.ts';
import { DISCONNECT } from '../../protocols/ssh/constants.ts';
import type { SshClosed } from '../../protocols/ssh/faults.ts';
import { SshTransport } from '../../protocols/ssh/transport.ts';
import type { Judge } from '../tcp/stream-swarm.ts';
import type { ResolvedSshOptions } from './options.ts';

/** What handshakes share. */
export interface SshHandshakeParts {
  readonly options: ResolvedSshOptions;
  readonly privateKey: PrivateKey;
  readonly timeoutMs: number | undefined;
  readonly judge: Judge;
  /** Counts a fault of the peer. */
  readonly noteFault: (connection: TcpConnection, fault: string) => void;
  /** Takes the machine of an authenticated connection. */
  readonly done: (connection: TcpConnection, transport: SshTransport) => void;
}

export function sshHandshake(parts: SshHandshakeParts): Handshake {
  return handshake((context) => run(context, parts), { timeoutMs: parts.timeoutMs });
}

async function run(context: HandshakeContext, parts: SshHandshakeParts): ReturnType<Parameters<typeof handshake>[0]> {
  const { connection, stream } = context;
  const { realm, maxPacketBytes, rekeyBytes, rekeyAfterMs, user } = parts.options;
  const transport = new SshTransport(
    {
      end: connection.side === 'responder' ? 'client' : 'server',
      signer: parts.privateKey,
      random: (bytes) => realm.random(bytes),
      user,
      maxPacketBytes,
      rekeyBytes,
      rekeyAfterMs,
    },
    realm.nowMs(),
  );
  for (;;) {
    for (let output = transport.poll(); output.type !== 'wait'; output = transport.poll()) {
      if (output.type === 'transmit') {
        await stream.write(concatBytes(...output.transmit));
        continue;
      }
      const { event } = output;
      if (event.type === 'open') {
        parts.done(connection, transport);
        return { publicKey: transport.publicKey };
      }
      if (event.type === 'closed') throw closedError(context, parts, event.closed);
      const refusal = await context.untimed(parts.judge(connection, event.publicKey, context.signal));
      if (refusal === undefined) transport.admit(realm.nowMs());
      else await refuse(context, transport, refusal);
    }
    if (transport.next(realm.nowMs()) === 'handled') continue;
    // No byte behind the handshake is read: it belongs to the session.
    transport.push(await stream.read(transport.missing), realm.nowMs());
  }
}

async function refuse({ stream }: HandshakeContext, transport: SshTransport, refusal: P2PError): Promise<never> {
  const isOther = refusal.code === 'identity_mismatch';
  transport.disconnect(
    isOther ? DISCONNECT.HOST_KEY_NOT_VERIFIABLE : DISCONNECT.NO_MORE_AUTH_METHODS,
    isOther ? 'this is another peer' : 'refused',
  );
  const output = transport.poll();
  if (output.type === 'transmit') await stream.write(concatBytes(...output.transmit));
  throw refusal;
}

function closedError({ connection }: HandshakeContext, parts: SshHandshakeParts, closed: SshClosed): P2PError {
  const { by, reason, fault } = closed;
  if (by === 'peer')
    return new P2PError('refused', 'remote', `refused by ${connection.addr} (${reason})`, { sent: 'no' });
  if (fault !== undefined) parts.noteFault(connection, fault);
  return new P2PError('unsupported', 'remote', `${connection.addr} does not speak this protocol (${reason})`, {
    sent: 'no',
  });
}
