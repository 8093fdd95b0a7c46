/** Makes tokens. */

import { type Realm } from '../../core/realm.ts';
import { TOKEN_SECRET_BYTES, trackerToken, type TrackerToken } from '../../protocols/cell/token.ts';
import { systemRealm } from '../../runtime/system-realm.ts';

/**
 * Makes the token of a new network. Everybody who has it can find the peers of that network, and announce peers.
 *
 * @param endpoint - the tracker: `https://tracker.example.org`.
 * @throws {TypeError} for an endpoint that is no such URL.
 */
export function createTrackerToken(endpoint: string, realm: Realm = systemRealm): TrackerToken {
  return trackerToken(endpoint, realm.random(TOKEN_SECRET_BYTES));
}
