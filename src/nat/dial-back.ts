/** Asks helpers to dial an address of this host: what arrives there proves that others reach it. */

import { type Addr, ipOf } from '../core/addr.ts';
import type { AskSwarm } from '../core/ask.ts';
import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import type { CallOptions } from '../core/swarm.ts';
import {
  decodeDialBackStatus,
  DIAL_BACK_NONCE_BYTES,
  type DialBackTransport,
  encodeDialBackRequest,
} from '../protocols/reachability/dial-back.ts';
import { Waits } from '../runtime/waits.ts';
import type { DialBackArrival, DialBackNonces } from './dial-back-nonces.ts';

/** What is to be proven. */
export interface DialBackOptions extends CallOptions {
  /** The address to be dialled: a mapped port, or one of this host. */
  readonly target: SocketAddress;
  readonly transport: DialBackTransport;
  /** Where the sockets that are dialled hand in what arrives: {@link listenForDialBack}, or an observing swarm. */
  readonly nonces: DialBackNonces;
}

/** That others reach an address. */
export interface DialBackProof {
  /** `ip:port`. */
  readonly target: string;
  readonly transport: DialBackTransport;
  /** When the nonce arrived: realm wall time, in milliseconds since the Unix epoch. It says less the older it is. */
  readonly atMs: number;
  /** The helper that was asked. */
  readonly helper: string;
  /** From where the nonce came, `ip:port`. */
  readonly from: string;
  /**
   * Whether that is another IP than the helper's. If not, it only proves that an IP to which this host has talked gets through: NATs
   * that filter by IP let it in.
   */
  readonly fromOtherIp: boolean;
}

/** How long to wait for a nonce: a helper needs up to 5 s for a connection, and its partner as much. */
const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Asks a helper to dial.
 *
 * @throws {P2PError} (by rejection) `unreachable` when the helper could not connect; `timeout` when nothing arrived; `refused` when the
 *   helper does not dial such an address; `limit_exceeded` when it has dialled too often, or 64 proofs are under way; what `ask` rejects with.
 */
export function proveReachable<A extends Addr>(
  swarm: AskSwarm<A>,
  helper: A,
  { target, transport, nonces, signal, timeoutMs }: DialBackOptions,
): Promise<DialBackProof> {
  const { realm } = swarm;
  const text = formatSocketAddress(target.ip, target.port);
  const what = (): string => `have ${helper.text} dial ${text} over ${transport.toUpperCase()}`;
  const call = { signal, timeoutMs };
  return new Waits(realm).wait<DialBackProof>({ what, call, defaultTimeoutMs: DEFAULT_TIMEOUT_MS }, (wait) => {
    const over = new AbortController();
    const fail = (code: 'unreachable' | 'refused' | 'limit_exceeded' | 'unsupported', why: string): void =>
      wait.reject(new P2PError(code, 'remote', `Cannot ${what()}: ${why}`));
    const nonce = realm.random(DIAL_BACK_NONCE_BYTES);
    const arrived = ({ from, transport: over }: DialBackArrival): void => {
      if (over !== transport) return;
      wait.resolve({
        target: text,
        transport,
        atMs: realm.wallMs(),
        helper: helper.text,
        from: formatSocketAddress(from.ip, from.port),
        fromOtherIp: from.ip !== ipOf(helper),
      });
    };
    const forget = nonces.expect(nonce, arrived);
    if (forget === undefined) {
      const message = `Cannot ${what()}: ${nonces.size} proofs are under way`;
      throw new P2PError('limit_exceeded', 'local', message, { sent: 'no' });
    }
    const request = encodeDialBackRequest({ transport, nonce, target, forwarded: false });
    const options = { signal: over.signal, timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS };
    swarm.ask(helper, request, options).then((answer) => {
      const status = decodeDialBackStatus(answer);
      if (status === 'unreachable') fail('unreachable', 'it could not connect');
      else if (status === 'refused') fail('refused', 'it does not dial such an address');
      else if (status === 'busy') fail('limit_exceeded', 'it has dialled too often; ask later, or another one');
      else if (status === 'unsupported') fail('unsupported', 'it has no socket for that');
      else if (status === undefined) fail('refused', 'its answer cannot be read');
    }, wait.reject);
    return () => {
      forget();
      over.abort(new P2PError('closed', 'local', 'The proof is over'));
    };
  });
}
