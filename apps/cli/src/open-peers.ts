/** Opens the connection manager that the options of a command ask for. */

import { P2PError, type PeerId, type Realm } from 'shoal';
import { isPeerId } from 'shoal/keys';
import { parseSocketAddress } from 'shoal/net';
import { openPeers, openPeersFromFile, type Peers, type PeersFileOptions, type PeersOptions } from 'shoal/peers';
import { type CommandContext, type CommonOptions, keyOf } from './context.ts';
import { asUsage, Failure, UsageError } from './failure.ts';

/** Options of every command that reaches its peers by PeerID. */
export interface NodeOptions extends CommonOptions {
  readonly networkName?: string | undefined;
  readonly key?: string | undefined;
  readonly bind?: string | undefined;
  readonly lan?: boolean | undefined;
  readonly lanPort?: number | undefined;
  readonly broadcast?: string | undefined;
}

/** Options of the commands that take part in a network. */
export interface PeersCommandOptions extends NodeOptions {
  readonly contact?: readonly string[] | undefined;
  readonly cache?: string | undefined;
  readonly config?: string | undefined;
  /** Own relays: `PeerID@host:port`. */
  readonly relay?: readonly string[] | undefined;
  readonly policy?: PeersOptions['policy'];
  /** STUN servers. */
  readonly observer?: readonly string[] | undefined;
  /** Whether routers are asked to forward ports. */
  readonly mapPorts?: boolean | undefined;
  /** Tokens of trackers. */
  readonly tracker?: readonly string[] | undefined;
  /** `http://[user:password@]host:port`. */
  readonly proxy?: string | undefined;
}

/** What a command adds to the options of its user. */
export type PeersExtras = Pick<
  PeersOptions,
  | 'accept'
  | 'acceptBootstrap'
  | 'dht'
  | 'idleTimeoutMs'
  | 'kind'
  | 'minPeers'
  | 'privateKey'
  | 'relays'
  | 'serveRelay'
  | 'sources'
>;

/** For commands that know whom they want: they look for nobody else, and are nobody to begin with. */
export const APART = { minPeers: 0, acceptBootstrap: false } as const;

/** The options of the command line come before those of the file. @throws {Failure} when the file is no configuration. */
export async function openPeersOf(
  { realm, interrupt, output }: CommandContext,
  options: PeersCommandOptions,
  extras: Partial<PeersExtras> = {},
): Promise<Peers> {
  const { networkName, bind, contact, cache, lanPort: port, broadcast } = options;
  const { relay, policy, observer, mapPorts, proxy, tracker } = options;
  const isOnLan = options.lan ?? (port !== undefined || broadcast !== undefined);
  const given = {
    ...(networkName === undefined ? {} : { networkName }),
    ...(bind === undefined ? {} : { bind }),
    ...(contact === undefined ? {} : { contacts: contact }),
    ...(cache === undefined ? {} : { cache }),
    ...(relay === undefined ? {} : { relays: relay }),
    ...(policy === undefined ? {} : { policy }),
    ...(observer === undefined ? {} : { observers: observer }),
    ...(mapPorts === undefined ? {} : { portMapping: mapPorts }),
    ...(proxy === undefined ? {} : { proxy }),
    ...(tracker === undefined ? {} : { tracker }),
    ...(isOnLan ? { lan: { port, broadcast } } : {}),
    ...extras,
    realm,
    signal: interrupt.signal,
  };
  const { config } = options;
  if (config === undefined) {
    const privateKey = extras.privateKey ?? (await keyOf(options));
    const open = (more: Pick<PeersOptions, 'lan'>): Promise<Peers> =>
      asUsage('Cannot open', () => openPeers({ privateKey, ...given, ...more }));
    try {
      return await open({});
    } catch (error) {
      // The LAN is one way of several to a peer that is known; `--bind` fails again.
      if (!isOnLan || extras.minPeers !== 0 || !P2PError.is(error, 'in_use')) throw error;
      const peers = await open({ lan: false });
      output.note(`shoal: peers are not looked for on the LAN: ${error.message}`);
      return peers;
    }
  }
  const key = options.key === undefined ? {} : { privateKey: await keyOf(options) };
  return openByFile(config, { ...given, ...key }, (line) => output.note(line));
}

/** Where others reach a node: `ip:port`, the same for all transports, best first. */
export function placesOf({ addrs }: Peers): readonly string[] {
  return [...new Set(addrs.map((addr) => addr.slice(addr.indexOf('@') + 1)))];
}

/** Says where a peer was when somebody wrote it down. It may be elsewhere by now: the LAN is asked as well. */
export function addPlaces(peers: Peers, realm: Realm, id: PeerId, places: readonly string[], source: string): void {
  const seenMs = realm.wallMs();
  for (const addr of places) peers.add({ id, addr, source, trust: 'given', seenMs, expiresMs: Infinity });
}

/** `<PeerID>@ip:port`, as commands print it. @throws {UsageError} for anything else. */
export function parsePlace(text: string, what: string): { readonly id: PeerId; readonly place: string } {
  const at = text.indexOf('@');
  const [id, place] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  if (isPeerId(id) && parseSocketAddress(place) !== undefined) return { id, place };
  throw new UsageError(`Cannot ${what}: expected <PeerID>@IP:PORT, got ${JSON.stringify(text)}`);
}

async function openByFile(path: string, given: PeersFileOptions, note: (line: string) => void): Promise<Peers> {
  const onFault = ({ message }: Error): void => note(message);
  try {
    return await openPeersFromFile(path, { ...given, onFault });
  } catch (error) {
    if (P2PError.is(error) && !P2PError.is(error, 'not_found')) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(why.startsWith('Cannot ') && why.includes(path) ? why : `Cannot use ${path}: ${why}`, {
      cause: error,
    });
  }
}
