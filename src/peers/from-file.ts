/** Opens a connection manager by a configuration file, and follows the changes of the file. */

import { assertString } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { parsePeerId } from '../core/peer-id.ts';
import { readKeyFile, readMaskKeyFile } from '../identity/key-files.ts';
import { type PeersConfig } from './config.ts';
import { configFiles } from './config-files.ts';
import { openPeers } from './open-peers.ts';
import { type PeersOptions } from './options.ts';
import { type Peers } from './peers.ts';
import { watchConfig, type ConfigReader } from './watch-config.ts';

/** What the program adds to a configuration file; what it gives comes before what stands in the file. */
export interface PeersFileOptions extends Partial<PeersOptions> {
  /** Access to the file. @default this machine's files */
  readonly reader?: ConfigReader | undefined;
  /** Called for each version of the file that is not used, and for changes that need a restart. Must not throw. */
  readonly onFault?: ((error: Error) => void) | undefined;
}

/** What applies at once; other changes need a restart. */
const LIVE: ReadonlySet<keyof PeersConfig> = new Set(['lists', 'maintain', 'acceptBootstrap']);

/**
 * Opens by a JSON file ({@link PeersConfig}). When the file changes it is read again, checked whole, and applied: lists, the peers
 * to maintain and `acceptBootstrap` at once; for anything else `onFault` says that it needs a restart. A file that is not valid changes nothing.
 *
 * @throws {TypeError | RangeError} (at once or by rejection) for misuse, and a `ConfigError` that lists the faults of the file.
 * @throws {P2PError} (by rejection) as `openPeers`; `not_found` without a key in options or file.
 */
export async function openPeersFromFile(path: string, options: PeersFileOptions = {}): Promise<Peers> {
  assertString(path, 'path');
  const { reader = configFiles, onFault, ...given } = options;
  let peers: Peers | undefined;
  const apply = async (config: PeersConfig, changed: readonly (keyof PeersConfig)[]): Promise<void> => {
    if (peers === undefined) {
      peers = await openWith(path, config, given);
      for (const id of config.maintain ?? []) peers.maintain(parsePeerId(id));
      return;
    }
    applyLive(peers, config);
    const others = changed.filter((name) => !LIVE.has(name));
    if (others.length > 0) onFault?.(new Error(`${path}: ${others.join(', ')} changed; restart to apply it`));
  };
  const watch = await watchConfig(path, apply, { reader, onFault, realm: given.realm });
  const opened = peers!;
  void opened.closed.then(() => watch[Symbol.dispose]());
  return opened;
}

async function openWith(path: string, file: PeersConfig, given: Partial<PeersOptions>): Promise<Peers> {
  const { keyFile, maskKeyFile, ...config } = file;
  const privateKey = given.privateKey ?? (keyFile === undefined ? undefined : await readKeyFile(keyFile));
  if (privateKey === undefined) {
    throw new P2PError('not_found', 'local', `Cannot open by ${path}: give privateKey, or keyFile in the file`);
  }
  const mask = maskKeyFile === undefined ? undefined : { key: await readMaskKeyFile(maskKeyFile) };
  return openPeers({ ...config, mask, ...given, privateKey });
}

/** Applies what can change while the node is open. */
function applyLive(peers: Peers, { lists, maintain = [], acceptBootstrap = true }: PeersConfig): void {
  peers.acceptBootstrap = acceptBootstrap;
  // Bans that the program made stay.
  peers.lists.replace({ allow: lists?.allow ?? [], deny: lists?.deny ?? [], bans: lists?.bans });
  const wanted = new Set(maintain);
  for (const { id, isMaintained } of peers.list()) if (isMaintained && !wanted.has(id)) peers.drop(id);
  for (const id of wanted) peers.maintain(parsePeerId(id));
}
