/** Opens the connection manager that the options of a command ask for. */

import { P2PError } from 'shoal';
import { generateKey } from 'shoal/keys';
import { openPeers, openPeersFromFile, type Peers, type PeersFileOptions, type PeersOptions } from 'shoal/peers';
import { type CommandContext, type CommonOptions, loadKey } from './context.ts';
import { asUsage, Failure } from './failure.ts';

/** Options of every command that finds its peers by PeerID. */
export interface PeersCommandOptions extends CommonOptions {
  readonly networkName?: string | undefined;
  readonly key?: string | undefined;
  readonly bind?: string | undefined;
  readonly contact?: readonly string[] | undefined;
  readonly cache?: string | undefined;
  readonly config?: string | undefined;
  readonly lan?: boolean | undefined;
  readonly lanPort?: number | undefined;
  readonly broadcast?: string | undefined;
}

/** What a command adds to the options of its user. */
export type PeersExtras = Pick<PeersOptions, 'accept' | 'maxMessageBytes' | 'kind' | 'sources' | 'idleTimeoutMs'>;

/** The options of the command line come before those of the file. @throws {Failure} for a file that is none. */
export async function openPeersOf(
  { realm, interrupt, output }: CommandContext,
  options: PeersCommandOptions,
  extras: PeersExtras = {},
): Promise<Peers> {
  const { networkName, bind, contact, cache, lan, lanPort: port, broadcast } = options;
  const isOnLan = lan === true || port !== undefined || broadcast !== undefined;
  const given = {
    ...(networkName === undefined ? {} : { networkName }),
    ...(bind === undefined ? {} : { bind }),
    ...(contact === undefined ? {} : { contacts: contact }),
    ...(cache === undefined ? {} : { cache }),
    ...(isOnLan ? { lan: { port, broadcast } } : {}),
    ...(options.key === undefined ? {} : { privateKey: await loadKey(options.key) }),
    ...extras,
    realm,
    signal: interrupt.signal,
  };
  if (options.config !== undefined) return openByFile(options.config, given, (line) => output.note(line));
  return asUsage('Cannot open', () => openPeers({ privateKey: generateKey(), ...given }));
}

async function openByFile(path: string, given: PeersFileOptions, note: (line: string) => void): Promise<Peers> {
  const onFault = ({ message }: Error): void => note(message);
  try {
    return await openPeersFromFile(path, { ...given, onFault });
  } catch (error) {
    if (P2PError.is(error) && !P2PError.is(error, 'not_found')) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(why.includes(path) ? why : `Cannot use ${path}: ${why}`, { cause: error });
  }
}
