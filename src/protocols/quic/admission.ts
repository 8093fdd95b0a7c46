/** Admission by load and by source, before identities are known. */

import { describeValue, wholeNumber } from '../../base/checks.ts';
import { SourceShares } from '../../base/source-shares.ts';
import type { QuicConnection } from './connection.ts';

/** An attempt to connect. Only its source address is known, and that may be forged. */
export interface Incoming {
  /** The engine's number for it. @internal */
  readonly number: number;
  readonly address: number;
  /** It has proven by a Retry token that it gets what is sent to that address. */
  readonly addressValidated: boolean;
  /** Whether it can be sent a Retry. */
  readonly mayRetry: boolean;
}

/**
 * `accept` begins the handshake; `refuse` sends CONNECTION_REFUSED; `retry` asks for proof of the address, and accepts
 * a client that has given it; `ignore` sends nothing, which costs least.
 */
export type Verdict = 'accept' | 'refuse' | 'retry' | 'ignore';

/** Whether what a hook returned is a verdict. */
export function isVerdict(value: unknown): value is Verdict {
  return value === 'accept' || value === 'refuse' || value === 'retry' || value === 'ignore';
}

/** @internal */
export interface AdmissionLimits {
  readonly addressValidation: 'never' | 'under_load' | 'always';
  readonly retryFromHandshakes: number;
  readonly maxHandshakes: number;
  readonly maxConnections: number;
}

/** @internal @throws {TypeError | RangeError} for limits out of bounds. */
export function resolveAdmission(options: {
  readonly [K in keyof AdmissionLimits]?: AdmissionLimits[K] | undefined;
}): AdmissionLimits {
  const { addressValidation = 'under_load' } = options;
  if (!['never', 'under_load', 'always'].includes(addressValidation)) {
    throw new TypeError(
      `Cannot take addressValidation: expected 'never', 'under_load' or 'always', got ${describeValue(addressValidation)}`,
    );
  }
  return {
    addressValidation,
    retryFromHandshakes: wholeNumber(options.retryFromHandshakes, 'retryFromHandshakes', 64, 0, 2 ** 20),
    maxHandshakes: wholeNumber(options.maxHandshakes, 'maxHandshakes', 256, 0, 2 ** 20),
    maxConnections: wholeNumber(options.maxConnections, 'maxConnections', 4096, 0, 2 ** 20),
  };
}

/** @internal How busy the endpoint is. */
export interface Load {
  readonly connections: number;
  readonly handshakes: number;
  readonly closing: boolean;
  /** Handshakes from the newcomer's own network. @default 0 */
  readonly fromSource?: number | undefined;
  /** A handshake of a busier source can be ended for the newcomer. @default false */
  readonly handshakeGivesWay?: boolean | undefined;
  /** A connection of a busier source can. @default false */
  readonly connectionGivesWay?: boolean | undefined;
}

/** One network has to prove its addresses from this part of `retryFromHandshakes` on. */
const RETRY_SHARE = 1 / 8;

/** @internal What the limits say. Proof of the address comes before refusals, so that those cannot be aimed at others. */
export function admitByDefault(incoming: Incoming, load: Load, limits: AdmissionLimits): Verdict {
  if (load.closing) return 'refuse';
  const { retryFromHandshakes: retryFrom } = limits;
  const busySource = (load.fromSource ?? 0) >= Math.max(1, Math.floor(retryFrom * RETRY_SHARE));
  const busy = load.handshakes >= retryFrom || busySource;
  const prove = limits.addressValidation === 'always' || (limits.addressValidation === 'under_load' && busy);
  if (prove && !incoming.addressValidated && incoming.mayRetry) return 'retry';
  if (load.connections >= limits.maxConnections && load.connectionGivesWay !== true) return 'refuse';
  return load.handshakes >= limits.maxHandshakes && load.handshakeGivesWay !== true ? 'ignore' : 'accept';
}

/** @internal What the limits say, and what is ended if the newcomer is accepted. */
export interface Admission {
  readonly verdict: Verdict;
  readonly handshake: QuicConnection | undefined;
  readonly connection: QuicConnection | undefined;
}

/** @internal Incoming connections, counted by source, so that no source takes all places. */
export class Arrivals {
  readonly #limits: AdmissionLimits;
  readonly #hostOf: (address: number) => string;
  /** In their handshake. Bounded by `maxHandshakes`. */
  readonly #handshakes = new SourceShares<QuicConnection>();
  /** Past it and open. Bounded by `maxConnections`. */
  readonly #open = new SourceShares<QuicConnection>();

  /** @param hostOf - the host behind an address, for shares. @default each address is a host of its own */
  constructor(limits: AdmissionLimits, hostOf: ((address: number) => string | undefined) | undefined) {
    this.#limits = limits;
    this.#hostOf = (address) => hostOf?.(address) ?? String(address);
  }

  /** Those in their handshake. */
  get handshakes(): number {
    return this.#handshakes.size;
  }

  /** @param connections - all that the endpoint has, closing ones and those that it dialled included. */
  judge(incoming: Incoming, connections: number, closing: boolean): Admission {
    const { maxHandshakes, maxConnections } = this.#limits;
    const host = this.#hostOf(incoming.address);
    const handshakes = this.#handshakes.size;
    const handshake = handshakes >= maxHandshakes ? this.#handshakes.victimFor(host) : undefined;
    const connection = connections >= maxConnections ? this.#busier(host) : undefined;
    // Closing connections count as well: while there are many of them, no other has to end.
    const room = connections < maxConnections + maxHandshakes;
    const load = {
      connections,
      handshakes,
      closing,
      fromSource: this.#handshakes.countOf(host),
      handshakeGivesWay: handshake !== undefined,
      connectionGivesWay: connection !== undefined && room,
    };
    return { verdict: admitByDefault(incoming, load, this.#limits), handshake, connection };
  }

  begun(connection: QuicConnection): void {
    this.#handshakes.add(this.#hostOf(connection.address), connection);
  }

  connected(connection: QuicConnection): void {
    if (this.#handshakes.delete(connection)) this.#open.add(this.#hostOf(connection.address), connection);
  }

  ended(connection: QuicConnection): void {
    this.#handshakes.delete(connection);
    this.#open.delete(connection);
  }

  /** The oldest open connection of the busiest source, where that has at least two more than the newcomer's. */
  #busier(host: string): QuicConnection | undefined {
    const oldest = this.#open.oldestOfBusiest;
    if (oldest === undefined) return undefined;
    return this.#open.countOf(this.#hostOf(oldest.address)) > this.#open.countOf(host) + 1 ? oldest : undefined;
  }
}
