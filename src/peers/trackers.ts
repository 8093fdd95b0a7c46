/** The trackers of `openPeers`: where the node announces its addresses, and looks for others. */

import { assertSwitch } from '../base/checks.ts';
import { leadsTo } from '../discovery/peer-record.ts';
import { openTracker } from '../discovery/tracker/tracker.ts';
import type { Tracker, TrackerFault, TrackerOptions } from '../discovery/tracker/tracker-options.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import { parseTrackerToken } from '../protocols/cell/token.ts';

/** How trackers are used. */
export interface PeersTrackerOptions extends Pick<TrackerOptions, 'ttlMs' | 'everyMs' | 'maxCellBytes' | 'fetch'> {
  /** One or several tokens. */
  readonly at: string | readonly string[];
  /** Whether this node announces itself; otherwise it only looks for others. @default true for a `node`, false for a `client` */
  readonly announce?: boolean | undefined;
}

/** Trackers at a time. */
const MAX_TRACKERS = 16;

/** The tokens of the option, and how they are used. @throws {TypeError | RangeError} for what is no token; it is not quoted */
export function trackersOf(
  option: string | readonly string[] | PeersTrackerOptions | undefined,
): readonly [tokens: readonly string[], options: Partial<PeersTrackerOptions>] {
  if (option === undefined) return [[], {}];
  const isPlain = typeof option !== 'object' || option === null || Array.isArray(option);
  const options: Partial<PeersTrackerOptions> = isPlain ? {} : (option as PeersTrackerOptions);
  const { at = option, announce } = options;
  const tokens: unknown = typeof at === 'string' ? [at] : at;
  if (!Array.isArray(tokens) || tokens.length > MAX_TRACKERS) {
    throw new TypeError(`Cannot take tracker: expected the URL of a tracker, or up to ${MAX_TRACKERS} of them`);
  }
  assertSwitch(announce, 'tracker.announce');
  for (const token of tokens) parseTrackerToken(token as string);
  return [tokens as readonly string[], options];
}

/** What trackers need to know of the node. */
export interface TrackersContext {
  readonly id: PeerId;
  readonly realm: Realm;
  readonly isClient: boolean;
  readonly ownAddrs: () => readonly string[];
  readonly fault: (source: string, text: string, cause?: unknown) => void;
}

/** Opens the trackers of the option, with a name for each. */
export function openTrackers(
  option: Parameters<typeof trackersOf>[0],
  { id, realm, isClient, ownAddrs, fault }: TrackersContext,
): readonly { readonly name: string; readonly source: Tracker; readonly close: () => Promise<void> }[] {
  const [tokens, { announce = !isClient, ttlMs, everyMs, maxCellBytes, fetch }] = trackersOf(option);
  const own = (): readonly string[] => ownAddrs().filter((addr) => leadsTo(addr, id));
  return tokens.map((at, i) => {
    const name = tokens.length === 1 ? 'tracker' : `tracker ${i + 1}`;
    const onFault = ({ text, cause }: TrackerFault): void => fault(name, text, cause);
    const addrs = announce ? own : undefined;
    const source = openTracker({ at, id, addrs, ttlMs, everyMs, maxCellBytes, fetch, realm, onFault });
    return { name, source, close: () => source.close() };
  });
}
