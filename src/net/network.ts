/**
 * The seam between the node and what connects machines: this system's TCP, or a network in memory that runs in virtual
 * time. Everything above it is the same for both.
 */

import { type SocketAddress } from '../base/ip.ts';
import { type Pipe } from './pipe.ts';

/** A connection of the network, before the node has looked at it. */
export interface RawConnection {
  readonly pipe: Pipe;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

/** How a connection is made. */
export interface DialOptions {
  readonly remote: SocketAddress;
  /** Where from; port 0: any. @default the system's choice */
  readonly bind: SocketAddress | undefined;
  /** Aborting gives up, and rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** How connections are waited for. */
export interface ListenOptions {
  readonly bind: SocketAddress;
  /** Connections that the system holds before they are accepted. */
  readonly backlog: number;
  /** Several listeners on one port. */
  readonly reusePort: boolean;
  readonly onConnection: (connection: RawConnection) => void;
  /** The system could not accept; it goes on trying. */
  readonly onError: (error: Error) => void;
}

/** What waits for connections. */
export interface Listener {
  readonly address: SocketAddress;
  /** Stops; connections that were accepted stay. Never rejects. */
  close(): Promise<void>;
}

/** What connects nodes. */
export interface Network {
  /** @throws (by rejection) {P2PError} `unreachable`, `in_use`; the signal's reason. */
  dial(options: DialOptions): Promise<RawConnection>;
  /** @throws (by rejection) {P2PError} `in_use`, `unreachable`, `unsupported`. */
  listen(options: ListenOptions): Promise<Listener>;
  /** The IPs of this machine, to find out whether a node calls itself. */
  localIps(): readonly string[];
}
