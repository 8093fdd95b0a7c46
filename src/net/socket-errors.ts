/** Socket errors, the same for this system and for virtual hosts. */

import { P2PError } from '../core/errors.ts';
import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';

/** Why a connection cannot be made. */
export type DialFailure = 'in_use' | 'no_address' | 'timeout' | 'refused' | { readonly why: string };

/** @param failure - `why`: any other error text of the system. */
export function dialError(remote: SocketAddress, failure: DialFailure, cause?: unknown): P2PError {
  const what = `Cannot connect to ${formatSocketAddress(remote.ip, remote.port)}`;
  const more = { cause, sent: 'no' } as const;
  switch (failure) {
    case 'in_use':
      return new P2PError('in_use', 'local', `${what}: the local port is in use`, more);
    case 'no_address':
      return new P2PError('unreachable', 'local', `${what}: this machine does not have the address to bind to`, more);
    case 'timeout':
      return new P2PError('timeout', 'path', `${what}: no answer`, more);
    case 'refused':
      return new P2PError('unreachable', 'remote', `${what}: nobody listens there`, more);
    default:
      return new P2PError('unreachable', 'path', `${what}: ${failure.why}`, more);
  }
}

/** Why a socket cannot be bound. */
export type BindFailure = 'in_use' | 'no_address' | 'no_sharing' | { readonly why: string };

/** @param verb - `bind UDP to`, `listen on`. */
export function bindError(verb: string, bind: SocketAddress, failure: BindFailure, cause?: unknown): P2PError {
  const what = `Cannot ${verb} ${formatSocketAddress(bind.ip, bind.port)}`;
  const more = { cause, sent: 'no' } as const;
  switch (failure) {
    case 'in_use':
      return new P2PError('in_use', 'local', `${what}: the port is in use`, more);
    case 'no_address':
      return new P2PError('unreachable', 'local', `${what}: this machine does not have that address`, more);
    case 'no_sharing':
      return new P2PError('unsupported', 'local', `${what}: this system cannot share ports (reusePort)`, more);
    default:
      return new P2PError('unreachable', 'local', `${what}: ${failure.why}`, more);
  }
}

/** Classifies an error of Node's `bind`. */
export function bindFailureOf({ code = '', message }: SystemError): BindFailure {
  switch (code) {
    case 'EADDRINUSE':
      return 'in_use';
    case 'EADDRNOTAVAIL':
      return 'no_address';
    case 'ENOTSUP':
    case 'ENOPROTOOPT':
      return 'no_sharing';
    default:
      return { why: message };
  }
}

/** Classifies an error of Node's `connect`. */
export function dialFailureOf({ code = '', message }: SystemError): DialFailure {
  switch (code) {
    case 'EADDRINUSE':
      return 'in_use';
    case 'EADDRNOTAVAIL':
      return 'no_address';
    case 'ETIMEDOUT':
      return 'timeout';
    case 'ECONNREFUSED':
      return 'refused';
    default:
      return { why: message };
  }
}

/** The fields that Node adds to system errors. */
interface SystemError extends Error {
  readonly code?: string | undefined;
}
