/** Swarms through TURN servers (RFC 8656), such as coturn. */

import { systemNetwork } from '#system-network';
import { assertString, describeValue, quantity } from '../base/checks.ts';
import { isUnspecifiedIp, type SocketAddress } from '../base/ip.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { assertNetwork, type Network } from '../net/network.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { restCredentials, type TurnCredentials } from '../protocols/turn/credentials.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { checkCall } from '../runtime/waits.ts';
import { PendingBudget, type PendingLimits } from '../swarm-kit/pending-budget.ts';
import { openTurnLink } from './turn-link.ts';
import { OpenTurnSwarm, shownServer, type TurnSwarm } from './turn-swarm.ts';

/** Options of a swarm through a TURN server. */
export interface TurnSwarmOptions extends PendingLimits {
  /** IP and port; the port of TURN is 3478. */
  readonly server: string;
  /** How the server is reached. Peers are reached over UDP in any case. @default 'udp' */
  readonly transport?: 'udp' | 'tcp' | undefined;
  readonly username: string;
  /** The password; this or `secret`. */
  readonly credential?: string | undefined;
  /**
   * The secret that is shared with the server (`use-auth-secret` of coturn). User and password are then made of it and expire:
   * `<expiry>:<username>`, base64(HMAC-SHA1(secret, user)).
   */
  readonly secret?: string | undefined;
  /** For how long credentials made of `secret` hold, in milliseconds; the swarm ends with them. @default 86_400_000 (a day) */
  readonly credentialLifetimeMs?: number | undefined;
  /** The realm that the server must name. @default any */
  readonly serverRealm?: string | undefined;
  /** The family of the relayed address; peers have the same. @default 4 */
  readonly family?: 4 | 6 | undefined;
  /** Whose sockets reach the server. @default this system's */
  readonly network?: Network | undefined;
  /** The source of time. @default the system's */
  readonly realm?: Realm | undefined;
  /** Aborts opening. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Allocates a relayed address at a TURN server. Messages are datagrams: wrap the swarm in `quic` or `p2pke`. It renews its allocation,
 * permissions and channels itself, and gives them up when it is closed.
 *
 * @throws {TypeError | RangeError} (at once) for options out of bounds.
 * @throws {P2PError} (by rejection) `refused` for wrong credentials, `limit_exceeded` when the server has no room, `unsupported`, `unreachable`,
 * `timeout`; the signal's reason.
 */
export function openTurnSwarm(options: TurnSwarmOptions): Promise<TurnSwarm> {
  const { transport, network, realm, family, signal, serverRealm, server, credentials, budget } = resolveTurn(options);
  return open();

  async function open(): Promise<TurnSwarm> {
    const link = await openTurnLink(network, server, transport, signal ?? new AbortController().signal);
    const client = { credentials, realm: serverRealm, family };
    const swarm = new OpenTurnSwarm({ realm, link, server: shownServer(server), budget, client });
    try {
      await swarm.allocate({ signal });
      return swarm;
    } catch (error) {
      await swarm.close();
      throw error;
    }
  }
}

/** The options of a swarm, resolved. */
export interface ResolvedTurn {
  readonly transport: 'udp' | 'tcp';
  readonly network: Network;
  readonly realm: Realm;
  readonly family: 4 | 6;
  readonly signal: AbortSignal | undefined;
  readonly serverRealm: string | undefined;
  readonly server: SocketAddress;
  readonly credentials: ReturnType<typeof credentialsOf>;
  readonly budget: PendingBudget;
}

/** The options with their defaults. @throws {TypeError | RangeError} for options out of bounds. */
export function resolveTurn(options: TurnSwarmOptions): ResolvedTurn {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { transport = 'udp', network = systemNetwork, realm = systemRealm, family = 4, signal, serverRealm } = options;
  assertNetwork(network);
  assertRealm(realm);
  checkCall({ signal });
  const server = parseIpSocketAddress(options.server, 'server');
  if (server.port === 0 || isUnspecifiedIp(server.ip)) {
    throw new RangeError(`Cannot take server: ${describeValue(options.server)} cannot be sent to`);
  }
  if (transport !== 'udp' && transport !== 'tcp') {
    throw new TypeError(`Cannot take transport: expected 'udp' or 'tcp', got ${describeValue(transport)}`);
  }
  if (family !== 4 && family !== 6) {
    throw new TypeError(`Cannot take family: expected 4 or 6, got ${describeValue(family)}`);
  }
  if (serverRealm !== undefined) assertString(serverRealm, 'serverRealm');
  const credentials = credentialsOf(options, realm);
  const budget = new PendingBudget(options);
  return { transport, network, realm, family, signal, serverRealm, server, credentials, budget };
}

function credentialsOf(options: TurnSwarmOptions, realm: Realm): TurnCredentials {
  const { username, credential, secret } = options;
  assertString(username, 'username');
  if ((credential === undefined) === (secret === undefined)) {
    throw new TypeError('Cannot take credential: expected one of credential and secret');
  }
  if (credential !== undefined) {
    if (typeof credential !== 'string') throw new TypeError('Cannot take credential: expected a string');
    return { username, password: credential };
  }
  if (typeof secret !== 'string') throw new TypeError('Cannot take secret: expected a string');
  const lifetimeMs = quantity(options.credentialLifetimeMs, 'credentialLifetimeMs', 86_400_000, 1000, 3.2e10);
  return restCredentials(secret, username, (realm.wallMs() + lifetimeMs) / 1000);
}
