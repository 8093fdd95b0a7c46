/**
 * `shoal/tracker`: peers that announce themselves in a cell and look each other up there, and the server of such cells. Exports only.
 *
 * @example
 * ```ts
 * await using server = await openTrackerServer({ store: 'sqlite:tracker.db', bind: '0.0.0.0:8080' });
 * const { text } = createTrackerToken(server.url);
 * await using peers = await openPeers({ privateKey, tracker: text });
 * ```
 */

export { openTracker, trackerCell } from './tracker.ts';
export { type Tracker, type TrackerFault, type TrackerFaultCode, type TrackerOptions } from './tracker-options.ts';
export { createTrackerToken, type CreateTrackerTokenOptions } from './create-token.ts';
export { httpListeners, type HttpListenersOptions } from './http-listeners.ts';
export { openTrackerServer } from './server.ts';
export {
  type MetricsAccess,
  type TrackerLimits,
  type TrackerServer,
  type TrackerServerOptions,
} from './server-options.ts';
export { type HttpServerLimits, type HttpTls } from '../../net/http.ts';
export {
  MAX_TRACKER_SHARDS,
  parseTrackerToken,
  TOKEN_SECRET_BYTES,
  trackerToken,
  type TrackerToken,
} from '../../protocols/cell/token.ts';
export {
  encodeTrackerState,
  expiryOf,
  type ParsedState,
  parseTrackerState,
  TRACKER_LIMITS,
  type TrackerAddr,
  type TrackerState,
} from '../../protocols/cell/tracker-state.ts';
