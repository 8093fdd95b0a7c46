/** Makes tokens. */

import type { Realm } from '../../core/realm.ts';
import { TOKEN_SECRET_BYTES, trackerToken, type TrackerToken } from '../../protocols/cell/token.ts';
import { systemRealm } from '../../runtime/system-realm.ts';

/** Options of {@link createTrackerToken}. */
export interface CreateTrackerTokenOptions {
  /**
   * How many cells the peers share, by PeerID, 1 to 4096: about one for every fifty peers. go-p2p's clients know networks with one cell only.
   * @default 1
   */
  readonly shards?: number | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
}

/**
 * Makes the token of a new network. Everybody who has it can find the peers of that network, and announce peers.
 *
 * @param endpoint - the tracker: `https://tracker.example.org`.
 * @throws {TypeError | RangeError} for an endpoint that is no such URL, and invalid options.
 */
export function createTrackerToken(endpoint: string, options: CreateTrackerTokenOptions = {}): TrackerToken {
  const { shards = 1, realm = systemRealm } = options;
  return trackerToken(endpoint, realm.random(TOKEN_SECRET_BYTES), shards);
}
