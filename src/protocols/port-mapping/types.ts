/** The vocabulary of port mapping: what is asked for, over what, and what came of it. */

import type { Bytes } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';

/** The protocols of routers, in the order in which they are preferred: the first two take one datagram each way. */
export const MAPPING_PROTOCOLS = ['pcp', 'nat-pmp', 'upnp'] as const;

/** A protocol by which routers map ports: RFC 6887, RFC 6886, UPnP IGD 1 and 2. */
export type MappingProtocol = (typeof MAPPING_PROTOCOLS)[number];

/** A router, and from where it is asked. */
export interface MappingRoute {
  readonly family: 4 | 6;
  /** This host's address that is to be reached; requests leave from it. Canonical. */
  readonly own: string;
  /** The bits that all addresses of its network share. */
  readonly prefixLength: number;
  /** The interface of `own`. */
  readonly interfaceName: string;
  /** The router's address, IPv6 link-local with its zone; `undefined` where only a search can find one. */
  readonly gateway: string | undefined;
}

/** What is to be mapped. */
export interface MappingRequest {
  readonly protocol: 'udp' | 'tcp';
  readonly family: 4 | 6;
  readonly internalPort: number;
  /** The port that is asked for first; the router may give another one. */
  readonly externalPort: number;
  readonly lifetimeMs: number;
}

/** Why there is no mapping, or why a router is of no use. */
export type MappingFailure =
  | 'no_gateway'
  | 'no_answer'
  | 'too_slow'
  | 'malformed'
  | 'refused'
  | 'conflict'
  | 'no_resources'
  | 'no_external_address'
  | 'other_source'
  | 'unsupported'
  | 'router_error';

/** Something to send. */
export type MappingTransmit =
  | {
      readonly type: 'datagram';
      /** The address of a route. */
      readonly from: string;
      readonly to: SocketAddress;
      readonly bytes: Bytes;
    }
  | {
      /** An HTTP request on a connection of its own; its result is `handleHttp` with the same `call`. */
      readonly type: 'http';
      readonly call: number;
      readonly from: string;
      readonly to: SocketAddress;
      readonly bytes: Bytes;
      readonly timeoutMs: number;
    };

/** What became of an HTTP request. */
export type HttpResult =
  | { readonly status: number; readonly body: Bytes }
  /** `unreachable`: no connection; `too_slow`: not whole in time; `malformed`: not HTTP, or larger than the bounds. */
  | 'unreachable'
  | 'too_slow'
  | 'malformed';

/** A mapping as a router keeps it. */
export interface MappingGrant {
  readonly external: { readonly ip: string | undefined; readonly port: number };
  /** `Infinity`: until it is removed. */
  readonly lifetimeMs: number;
}

/** What a service is told of a mapping. It stays the same object while the mapping lives. */
export interface MappingJob {
  readonly id: number;
  readonly request: MappingRequest;
  /** 12 bytes that only this host and the router know (RFC 6887 §11.1); kept for the life of the mapping. */
  nonce: Bytes;
  /** What the router granted last. */
  grant: MappingGrant | undefined;
  /** The name that a firewall gave to a pinhole. */
  pinhole: string | undefined;
}

/** What services tell the machine. */
export interface MappingServiceHost {
  transmit(transmit: MappingTransmit): void;
  /** Begins an HTTP request for a service. */
  http(service: MappingService, to: SocketAddress, bytes: Bytes, done: (now: Millis, result: HttpResult) => void): void;
  /** A service answers, or does not, to a probe. */
  probed(now: Millis, service: MappingService): void;
  granted(now: Millis, service: MappingService, job: MappingJob, grant: MappingGrant): void;
  refused(now: Millis, service: MappingService, job: MappingJob, failure: MappingFailure, detail?: string): void;
  /** The router has removed a mapping, or never will. */
  released(now: Millis, job: MappingJob): void;
  /** The router has forgotten what it was told. */
  restarted(now: Millis, service: MappingService): void;
  /** The router did not say whether it still has a mapping. */
  unsure(now: Millis, job: MappingJob): void;
  /** The router has another address outside. */
  readdressed(now: Millis, service: MappingService, ip: string | undefined): void;
}

/** One protocol of one router. */
export interface MappingService {
  readonly via: MappingProtocol;
  readonly route: MappingRoute;
  /** The router, as far as it is known. */
  readonly gateway: string | undefined;
  readonly state: 'probing' | 'found' | 'absent';
  /** Why it is absent. */
  readonly failure: MappingFailure | undefined;
  /** What the router said beside that, printable. */
  readonly detail: string | undefined;
  /** When it has to be called. */
  readonly nextMs: Millis;
  /** Looks for the router. */
  probe(now: Millis): void;
  /** Asks for a mapping, or renews the one that the job has. */
  request(now: Millis, job: MappingJob): void;
  /** Removes a mapping. */
  release(now: Millis, job: MappingJob): void;
  /** Forgets what is under way for a mapping. */
  cancel(job: MappingJob): void;
  /** Looks whether the router has forgotten a mapping. */
  check(now: Millis, job: MappingJob): void;
  handleTimeout(now: Millis): void;
}
