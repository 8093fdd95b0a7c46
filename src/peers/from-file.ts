/** Opens a connection manager by a configuration file, and follows the changes of the file. */

import { assertString } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { parsePeerId } from '../core/peer-id.ts';
import { readKeyFile, readMaskKeyFile } from '../identity/key-files.ts';
import type { PeersConfig } from './config.ts';
import { configFiles } from './config-files.ts';
import { type BanEntry, type ListEntry, PeerLists, type ListsSnapshot } from './lists.ts';
import { openPeers } from './open-peers.ts';
import type { PeersOptions } from './options.ts';
import type { Peers } from './peers.ts';
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
 * Only what differs from the former version is applied: what the file gives no more is taken back, and what the program gave or did stays.
 *
 * @throws {TypeError | RangeError} (at once or by rejection) for misuse, and a `ConfigError` that lists the faults of the file.
 * @throws {P2PError} (by rejection) as `openPeers`; `not_found` without a key in options or file.
 */
export async function openPeersFromFile(path: string, options: PeersFileOptions = {}): Promise<Peers> {
  assertString(path, 'path');
  const { reader = configFiles, onFault, ...given } = options;
  let peers: Peers | undefined;
  /** The version that was applied last. */
  let former: PeersConfig = {};
  const apply = async (config: PeersConfig, changed: readonly (keyof PeersConfig)[]): Promise<void> => {
    if (peers === undefined) {
      peers = await openWith(path, config, given);
      for (const id of config.maintain ?? []) peers.maintain(parsePeerId(id));
      former = config;
      return;
    }
    applyLive(peers, given, former, config);
    former = config;
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
  // An option that is given as undefined is not given.
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return openPeers({ ...config, mask, ...set, privateKey });
}

/**
 * Applies what can change while the node is open: only what differs between two versions of the file, so that what the program has
 * decided meanwhile stays, and nothing for a field that the program gave.
 */
function applyLive(peers: Peers, given: Partial<PeersOptions>, former: PeersConfig, next: PeersConfig): void {
  // First, since it alone can fail: lists can be too long with the entries of the program. Nothing is applied then.
  if (given.lists === undefined) {
    const [current, before, after] = [peers.lists.snapshot(), listsOf(former), listsOf(next)];
    peers.lists.replace({
      allow: merged(current.allow, before.allow, after.allow),
      deny: merged(current.deny, before.deny, after.deny),
      bans: merged(current.bans, before.bans, after.bans),
    });
  }
  const { acceptBootstrap = true } = next;
  if (given.acceptBootstrap === undefined && acceptBootstrap !== (former.acceptBootstrap ?? true)) {
    peers.acceptBootstrap = acceptBootstrap;
  }
  const [before, after] = [new Set(former.maintain), new Set(next.maintain)];
  for (const { id, isMaintained } of peers.list()) {
    if (isMaintained && before.has(id) && !after.has(id)) peers.drop(id);
  }
  for (const id of after) if (!before.has(id)) peers.maintain(parsePeerId(id));
}

/** A clock that stands, so that the ends of bans are compared as they are in the file. */
const STILL = { nowMs: (): number => 0, wallMs: (): number => 0 };

/** The lists of a file, complete, each target once and in its canonical form. */
function listsOf({ lists: data = {} }: PeersConfig): ListsSnapshot {
  const lists = new PeerLists({ realm: STILL });
  lists.replace(data);
  return lists.snapshot();
}

/** A list with the difference between two versions of the file; `undefined` when there is none. */
function merged<T extends ListEntry & BanEntry>(
  current: readonly T[],
  former: readonly T[],
  next: readonly T[],
): readonly T[] | undefined {
  if (JSON.stringify(former) === JSON.stringify(next)) return undefined;
  const [result, before, after] = [byTarget(current), byTarget(former), byTarget(next)];
  for (const [target, entry] of before) {
    // What stays in the file is not set again: the program may have removed it.
    if (isSame(entry, after.get(target))) after.delete(target);
    // An entry that differs from that of the file is of the program, and stays.
    else if (isSame(entry, result.get(target))) result.delete(target);
  }
  for (const [target, entry] of after) {
    const there = result.get(target);
    // Of two bans the one that ends later counts: neither program nor file lifts a ban of the other.
    if (there === undefined || endOf(entry) > endOf(there)) result.set(target, entry);
  }
  return [...result.values()];
}

/** Bans that differ by less are the same: their ends are kept in realm time, and clocks are corrected. */
const SAME_END_MS = 1000;

function isSame(one: ListEntry & BanEntry, other: (ListEntry & BanEntry) | undefined): boolean {
  if (other === undefined || one.kind !== other.kind || one.reason !== other.reason || one.by !== other.by)
    return false;
  return endOf(one) === endOf(other) || Math.abs(endOf(one) - endOf(other)) < SAME_END_MS;
}

const endOf = ({ untilMs = Infinity }: BanEntry): number => untilMs;

const byTarget = <T extends BanEntry>(entries: readonly T[]): Map<string, T> =>
  new Map(entries.map((entry) => [entry.target, entry]));
