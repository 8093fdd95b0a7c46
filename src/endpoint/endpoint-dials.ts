/** The dials of an endpoint: started, shared by callers, and settled with a connection or with the reason why it failed. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import type { QuicClosed } from '../protocols/quic/closed.ts';
import { dialError } from '../quic/errors.ts';
import type { Place, QuicDriver } from '../quic/quic-driver.ts';
import type { Dial, DialWaiter } from '../sessions/dials.ts';
import type { Admission, Expected } from './admission.ts';
import { CLOSE_CODE } from './codes.ts';
import type { LiveConnection } from './live-connection.ts';
import type { ResolvedEndpointOptions } from './options.ts';
import type { PeerTable } from './peer-table.ts';
import { describeTarget, type Dialled } from './targets.ts';

/** The name that qp2p asks for. */
const QP2P_SERVER_NAME = 'maidsafe.net';

type EndpointDial<A extends Addr, M> = Dial<Dialled<A>, LiveConnection<A, M>, QuicConnection>;

/** What dials need of their endpoint. */
export interface EndpointDialsParts<A extends Addr, M> {
  readonly resolved: ResolvedEndpointOptions<A>;
  readonly table: PeerTable<A, M>;
  readonly driver: QuicDriver<A>;
  readonly admission: Admission<A>;
  /** Told of each dial whose connection has ended, before its callers are. */
  readonly failed: (addr: A, error: P2PError) => void;
}

export class EndpointDials<A extends Addr, M> {
  readonly #parts: EndpointDialsParts<A, M>;

  constructor(parts: EndpointDialsParts<A, M>) {
    this.#parts = parts;
  }

  /** Dials a target, or joins a dial to it. Returns a function that cancels the wait. */
  join(target: Dialled<A>, waiter: DialWaiter<LiveConnection<A, M>>): () => void {
    const { table, resolved } = this.#parts;
    const what = describeTarget(target);
    const key = target.fresh ? undefined : `${target.addr.text} ${target.expect ?? ''} ${target.serverName ?? ''}`;
    return table.join(key, what, () => this.#dial(key, target, what), waiter, resolved.limits.maxQueuedMessages);
  }

  /** What is expected of the peer of a connection, if it was dialled. */
  expected(connection: QuicConnection): Expected | undefined {
    const dial = this.#parts.table.dials.of(connection);
    if (dial === undefined) return undefined;
    const { expect: peerId, serverName } = dial.target;
    return { peerId, serverName, found: (id) => void (dial.found = id) };
  }

  /** The target of a connection that was dialled and is not settled. */
  targetOf(connection: QuicConnection): Dialled<A> | undefined {
    return this.#parts.table.dials.of(connection)?.target;
  }

  /**
   * A connection has ended: if it was dialled and is not settled, its callers get the reason.
   *
   * @returns whether that is so
   */
  ended(connection: QuicConnection, closed: QuicClosed): boolean {
    const { table, failed } = this.#parts;
    const dial = table.dials.take(connection);
    if (dial === undefined) return false;
    const error = this.#errorOf(dial, closed);
    failed(dial.target.addr, error);
    table.dials.settle(dial, error);
    return true;
  }

  /** Ends the dials to an address that the swarm below cannot send to; connections have other paths, or time out. */
  unreachable({ src }: Place<A>, cause: unknown): void {
    const { table, driver } = this.#parts;
    for (const dial of table.dials.values()) {
      if (dial.target.addr.text !== src.text) continue;
      table.dials.take(dial.handle);
      dial.handle.close(CLOSE_CODE.NORMAL, '');
      const why = `Cannot reach ${describeTarget(dial.target)}: the swarm below cannot send there`;
      table.dials.settle(dial, new P2PError('unreachable', 'local', why, { sent: 'no', cause }));
    }
    driver.scheduleFlush();
  }

  #dial(key: string | undefined, target: Dialled<A>, what: string): EndpointDial<A, M> | P2PError {
    const { resolved, driver, table } = this.#parts;
    const serverName = resolved.qp2p ? QP2P_SERVER_NAME : (target.serverName ?? resolved.trust.serverName);
    try {
      const connection = driver.dial(target.addr, what, { serverName });
      return connection instanceof P2PError ? connection : table.dials.add(key, target, connection);
    } catch (cause) {
      if (cause instanceof RangeError) throw cause;
      const why = `Cannot reach ${what}: no room for another connection`;
      return new P2PError('limit_exceeded', 'local', why, { sent: 'no', cause });
    }
  }

  #errorOf(dial: EndpointDial<A, M>, closed: QuicClosed): P2PError {
    const what = describeTarget(dial.target);
    const distrust = this.#parts.admission.refusalOf(dial.handle);
    if (distrust === undefined) return dialError({ text: what }, closed, dial.found);
    const side = distrust.code === 'identity_mismatch' ? 'remote' : 'local';
    const why = `Cannot reach ${what}: ${distrust.why}`;
    return new P2PError(distrust.code, side, why, { sent: 'no', cause: closed.cause });
  }
}
