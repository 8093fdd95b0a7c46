/** What maps ports, as programs see it. A program may bring its own. */

import type { SocketAddress } from '../base/ip.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { MappingProtocol } from '../protocols/port-mapping/types.ts';
import type { PortMapperReport } from './mapper-report.ts';

/** What is to be mapped. */
export interface PortMappingRequest {
  readonly protocol: 'udp' | 'tcp';
  /** The port of this host. */
  readonly internalPort: number;
  /** For IPv6 nothing is translated: the router's firewall is opened to the port. @default 4 */
  readonly family?: 4 | 6 | undefined;
  /** The port that is asked for; the router may give another one. @default `internalPort` */
  readonly externalPort?: number | undefined;
  /** How long the router keeps it if this host falls silent; it is renewed at half of that. @default 7_200_000 (2 h), as Tailscale asks */
  readonly lifetimeMs?: number | undefined;
}

/** A port of this host on its router. What it says changes while it lives; `onChange` tells when. */
export interface PortMapping extends AsyncDisposable {
  /** Under which address others reach the port; `undefined` while the port is not mapped. */
  readonly external: SocketAddress | undefined;
  /** The protocol by which it was mapped. */
  readonly via: MappingProtocol | undefined;
  /** When it ends if it is not renewed, on the clock of the realm (`nowMs`); `Infinity`: when it is removed. */
  readonly expiresMs: number | undefined;
  /** Whether the router is behind another NAT, so that the internet does not reach `external`; `reason` says how that is known. */
  readonly doubleNat: boolean;
  /** Why there is no mapping, or why it is of little use: a sentence that says what would help. */
  readonly reason: string | undefined;
  /** Resolves with the first verdict, from 250 ms to 3 s after the request, or with its `timeoutMs`. Never rejects. */
  readonly ready: Promise<void>;
  /** Calls `listener` after something has changed, until disposed. */
  onChange(listener: () => void): Disposable;
  /** Removes it from the router. Idempotent; never rejects; ends within a second. */
  close(): Promise<void>;
}

/** Maps ports. A program may bring its own: this is all that shoal calls. */
export interface PortMapper extends AsyncDisposable {
  /**
   * Asks for a mapping, and keeps it until it is closed. Never fails because there is no router: the mapping then has no external address
   * and says why, and routers that come later are used. The same port asked for again is the same mapping, with the terms of
   * the first request; it is removed when all have closed it.
   *
   * @param options - the signal closes the mapping; at the timeout `ready` resolves, whatever there is.
   * @throws {TypeError | RangeError} for a wrong request.
   */
  map(request: PortMappingRequest, options?: CallOptions): PortMapping;
  /** What was found: each router, each protocol, when, outcome. */
  readonly report: PortMapperReport;
  /** Removes the mappings. Idempotent; never rejects; ends within a second. */
  close(): Promise<void>;
}
