/** The contract of the HTTP server: what it takes, gives, and is bounded by. */

import type { Bytes } from '../base/bytes.ts';
import { describeValue, quantity, wholeNumber } from '../base/checks.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Realm } from '../core/realm.ts';
import type { Network, RawConnection } from './network.ts';

/** A request whose body has been read. */
export interface HttpRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly path: string;
  /** The value of a header that came once. */
  readonly header: (name: string) => string | undefined;
  readonly body: Bytes;
  /** Who asks, canonical. */
  readonly ip: string;
  /** Aborted when the connection has ended. */
  readonly signal: AbortSignal;
}

/** An answer. */
export interface HttpReply {
  readonly status: number;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What an HTTP server is bounded by. */
export interface HttpServerLimits {
  /** When they are all taken, the oldest of the network with the most makes room. */
  readonly maxConnections: number;
  /** Of one /24 or /64. */
  readonly maxConnectionsPerSource: number;
  /**
   * Requests that are read or answered, until their answers are taken; the oldest of the network with the most makes room. Their bodies and answers have
   * 128 MiB in all: with bodies above 64 KiB there are fewer, but 16.
   */
  readonly maxPending: number;
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  /** Until the headers of a request are there. */
  readonly headersTimeoutMs: number;
  /** Until all of a request is there. */
  readonly requestTimeoutMs: number;
  /** From the headers of a request until its answer has been taken by the system. */
  readonly answerTimeoutMs: number;
  /** A connection on which nothing moves for so long is closed. */
  readonly idleMs: number;
}

/** The defaults of {@link HttpServerLimits}. A request of a tracker has 500 bytes of headers. */
export const HTTP_LIMITS: HttpServerLimits = {
  maxConnections: 4096,
  maxConnectionsPerSource: 256,
  maxPending: 1024,
  maxBodyBytes: 32_768,
  maxHeaderBytes: 8192,
  headersTimeoutMs: 5000,
  requestTimeoutMs: 15_000,
  answerTimeoutMs: 60_000,
  idleMs: 15_000,
};

const MAX_COUNT = 1_048_576;

/** Limits with the defaults for those that are absent. @throws {TypeError | RangeError} for what is no limit */
export function resolveHttpLimits(limits: Partial<HttpServerLimits> = {}): HttpServerLimits {
  if (typeof limits !== 'object' || limits === null) {
    throw new TypeError(`Cannot take http: expected an object, got ${describeValue(limits)}`);
  }
  const whole = (name: keyof HttpServerLimits, most: number): number =>
    wholeNumber(limits[name], `http.${name}`, HTTP_LIMITS[name], 1, most);
  const time = (name: keyof HttpServerLimits): number =>
    quantity(limits[name], `http.${name}`, HTTP_LIMITS[name], 1, Infinity);
  return {
    maxConnections: whole('maxConnections', MAX_COUNT),
    maxConnectionsPerSource: whole('maxConnectionsPerSource', MAX_COUNT),
    maxPending: whole('maxPending', MAX_COUNT),
    maxBodyBytes: whole('maxBodyBytes', Number.MAX_SAFE_INTEGER),
    maxHeaderBytes: whole('maxHeaderBytes', MAX_COUNT),
    headersTimeoutMs: time('headersTimeoutMs'),
    requestTimeoutMs: time('requestTimeoutMs'),
    answerTimeoutMs: time('answerTimeoutMs'),
    idleMs: time('idleMs'),
  };
}

/** Why a server has closed a connection or refused a request. */
export type HttpFault = 'malformed' | 'oversize' | 'busy' | 'too_many_connections' | 'too_slow' | 'accept_failed';

/** Certificate chain and private key, in PEM. */
export interface HttpTls {
  readonly cert: string;
  readonly key: string;
}

/** Options of an HTTP server. */
export interface HttpServerOptions {
  readonly bind: SocketAddress;
  readonly network: Network;
  readonly realm: Realm;
  /** For HTTPS. */
  readonly tls?: HttpTls | undefined;
  /** Whether a connection from this machine is that of a proxy, which names its client in `X-Forwarded-For`. @default false */
  readonly trustProxy?: boolean | undefined;
  readonly limits: HttpServerLimits;
  /** Answers a request. May reject: that is a 500. */
  readonly handle: (request: HttpRequest) => Promise<HttpReply>;
  /** Called before a body is read; `false` is a 429. */
  readonly admit?: ((ip: string) => boolean) | undefined;
  readonly onFault?: ((fault: HttpFault) => void) | undefined;
}

/** A running server. */
export interface HttpServer extends AsyncDisposable {
  readonly address: SocketAddress;
  /** Open connections. */
  readonly connections: number;
  /** Serves a connection that came another way. */
  accept(connection: RawConnection): void;
  /** Stops listening, lets requests under way end, for up to a second, and closes all connections. Never rejects. */
  close(): Promise<void>;
}
