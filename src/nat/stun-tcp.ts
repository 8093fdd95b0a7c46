/** Asks a STUN server over TCP (RFC 8489 §6.2.2): one connection, one question. */

import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { Network, RawConnection } from '../net/network.ts';
import { type StunAnswer, StunClient } from '../protocols/stun/client.ts';
import { STUN_TRANSACTION_ID_BYTES } from '../protocols/stun/constants.ts';
import { StunStreamReader } from '../protocols/stun/stream-reader.ts';
import { Waits } from '../runtime/waits.ts';

/** What an answer over TCP tells beside the address. */
export interface StunTcpAnswer extends StunAnswer {
  /** From where the connection left. */
  readonly local: SocketAddress;
}

/** How the question is asked. */
export interface StunTcpOptions extends CallOptions {
  readonly network: Network;
  readonly realm: Realm;
  readonly server: SocketAddress;
  /** From where; the mapping of a port is that of connections from it. @default any port */
  readonly bind?: SocketAddress | undefined;
}

const DEFAULT_TIMEOUT_MS = 5000;

/**
 * Asks under which address a server sees connections of this host.
 *
 * @throws {P2PError} (by rejection) `unreachable`, `in_use`, `timeout`; `refused` when the server says something else; the signal's reason.
 */
export function askStunOverTcp(options: StunTcpOptions): Promise<StunTcpAnswer> {
  const { network, realm, server, bind, signal, timeoutMs } = options;
  const who = formatSocketAddress(server.ip, server.port);
  const what = (): string => `ask ${who} for this address over TCP`;
  const call = { signal, timeoutMs };
  return new Waits(realm).wait<StunTcpAnswer>({ what, call, defaultTimeoutMs: DEFAULT_TIMEOUT_MS }, (wait) => {
    const dialling = new AbortController();
    let connection: RawConnection | undefined;
    const refuse = (said: string): void =>
      wait.reject(new P2PError('refused', 'remote', `Cannot ${what()}: the server ${said}`));
    const ask = ({ pipe, local }: RawConnection): void => {
      const client = new StunClient({ timeoutMs: Infinity, firstRetryMs: Infinity });
      client.ask(realm.nowMs(), { server, transactionId: realm.random(STUN_TRANSACTION_ID_BYTES) });
      const reader = new StunStreamReader();
      pipe.sink = {
        onData: (chunk) => {
          reader.push(chunk);
          const message = reader.next();
          if (message === undefined) return;
          if (message === 'malformed' || !client.handleDatagram(realm.nowMs(), server, message)) {
            refuse('does not speak STUN');
            return;
          }
          const output = client.poll(); // The question, or what became of it.
          const told = output.type === 'transmit' ? client.poll() : output;
          if (told.type === 'event' && told.event.type === 'answer') {
            const { from, mapped, other, rttMs } = told.event;
            wait.resolve({ server, from, mapped, other, rttMs, local });
          } else refuse('refuses');
        },
        onEnd: () => refuse('closed the connection'),
        onClose: () => refuse('closed the connection'),
      };
      const question = client.poll();
      if (question.type === 'transmit') pipe.write([question.transmit.bytes], () => undefined);
      pipe.resume();
    };
    network.dial({ remote: server, ...(bind === undefined ? {} : { bind }), signal: dialling.signal }).then((made) => {
      connection = made;
      if (dialling.signal.aborted) made.pipe.destroy();
      else ask(made);
    }, wait.reject);
    return () => {
      dialling.abort(new P2PError('closed', 'local', `The question to ${who} is over`));
      connection?.pipe.destroy();
    };
  });
}
