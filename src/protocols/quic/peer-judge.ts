/** Asks the application about the identity of peers, and keeps its verdicts until they are used. */

import type { Bytes } from '../../base/bytes.ts';
import type { QuicConnection } from './connection.ts';
import { ALERT, type Judge } from './endpoint-options.ts';

export class PeerJudge {
  readonly #judge: Judge;
  /** What the judge threw. Bounded by the connections: forgotten with them, as are the following. */
  readonly #thrown = new Map<QuicConnection, unknown>();
  /** Peers without a verdict. */
  readonly #pending = new Set<QuicConnection>();

  constructor(judge: Judge) {
    this.#judge = judge;
  }

  /** @returns 0, or the TLS alert that turns the peer away. */
  judge(connection: QuicConnection | undefined, chain: readonly Bytes[]): number {
    if (connection === undefined) return ALERT.ACCESS_DENIED;
    try {
      const verdict: unknown = this.#judge({ connection, chain });
      if (verdict === undefined || verdict === 'pending') {
        if (verdict === 'pending') this.#pending.add(connection);
        connection.handleChain(chain);
        return 0;
      }
      return typeof verdict === 'number' && verdict > 0 && verdict < 256 ? verdict : ALERT.ACCESS_DENIED;
    } catch (thrown) {
      this.#thrown.set(connection, thrown);
      return ALERT.ACCESS_DENIED;
    }
  }

  isPending(connection: QuicConnection): boolean {
    return this.#pending.has(connection);
  }

  /** The late yes. @returns whether it was waited for */
  admit(connection: QuicConnection): boolean {
    return this.#pending.delete(connection);
  }

  /** What the judge threw about it. */
  thrown(connection: QuicConnection): unknown {
    return this.#thrown.get(connection);
  }

  forget(connection: QuicConnection): void {
    this.#thrown.delete(connection);
    this.#pending.delete(connection);
  }
}
