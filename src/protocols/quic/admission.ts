/** Who is let in: the part that depends on load and not on identity. */

/** Somebody who wants to connect. Nothing is known of it but an address, which it may have forged. */
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
 * `accept` begins the handshake; `refuse` says CONNECTION_REFUSED; `retry` asks for proof of the address, and accepts
 * who has given it; `ignore` says nothing, which costs least.
 */
export type Verdict = 'accept' | 'refuse' | 'retry' | 'ignore';

/** Whether something that a hook answered is a verdict. */
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

/** @internal How busy the endpoint is. */
export interface Load {
  readonly connections: number;
  readonly handshakes: number;
  readonly closing: boolean;
}

/** @internal What the limits say. Proof of the address comes before refusals, so that those cannot be aimed at others. */
export function admitByDefault(incoming: Incoming, load: Load, limits: AdmissionLimits): Verdict {
  if (load.closing) return 'refuse';
  const busy = load.handshakes >= limits.retryFromHandshakes;
  const prove = limits.addressValidation === 'always' || (limits.addressValidation === 'under_load' && busy);
  if (prove && !incoming.addressValidated && incoming.mayRetry) return 'retry';
  if (load.connections >= limits.maxConnections) return 'refuse';
  return load.handshakes >= limits.maxHandshakes ? 'ignore' : 'accept';
}
