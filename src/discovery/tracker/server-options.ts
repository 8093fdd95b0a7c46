/** The contract of a tracker's server. */

import type { CellStore } from '../../cells/cell.ts';
import type { Realm } from '../../core/realm.ts';
import type { Metric } from '../../metrics/metric.ts';
import type { HttpServerLimits, HttpTls } from '../../net/http.ts';
import type { Network, RawConnection } from '../../net/network.ts';

/** Who may read `/metrics`: nobody, programs on this machine, everybody. */
export type MetricsAccess = 'off' | 'loopback' | 'public';

/** What a tracker's server allows. */
export interface TrackerLimits {
  /** Cells that this server has seen written and that hold. When they are all taken, the one of the network with the most makes room. @default 65 536 */
  readonly maxCells?: number | undefined;
  /** Of those, cells that were first written from one /24 or /64. @default 1024 */
  readonly maxCellsPerSource?: number | undefined;
  /** A cell that was not written for this long is empty, in milliseconds. @default 300 000; go-p2p has 60 000 */
  readonly cellTtlMs?: number | undefined;
  /** The longest cell, in bytes. @default 32 768, as go-p2p */
  readonly maxCellBytes?: number | undefined;
  /** Requests per second of one /24 or /64; five times as many at once. @default 50 */
  readonly requestsPerSecond?: number | undefined;
  /** Cells that one /24 or /64 may begin per minute. @default 120 */
  readonly cellsPerMinute?: number | undefined;
  /** Connections, headers, times. */
  readonly http?: Partial<Omit<HttpServerLimits, 'maxBodyBytes'>> | undefined;
}

/** Options of `openTrackerServer`. */
export interface TrackerServerOptions extends TrackerLimits {
  /** `memory`, `file:FOLDER`, `sqlite:PATH`, `redis://…`, `nats://…`, or a store, which stays open. @default 'memory' */
  readonly store?: string | CellStore | undefined;
  /** Where to listen, `ip:port`; port 0: any. @default '[::]:0' or '0.0.0.0:0' */
  readonly bind?: string | undefined;
  /** Whether it does not listen: its connections come by `accept`, from listeners on `bind`. @default false */
  readonly isDetached?: boolean | undefined;
  /** Certificate chain and private key in PEM, for HTTPS. @default HTTP: cells are sealed and signed in any case */
  readonly tls?: HttpTls | undefined;
  /** Whether a connection from this machine is that of a proxy, whose `X-Forwarded-For` says for whom. @default false */
  readonly trustProxy?: boolean | undefined;
  /** @default 'loopback' */
  readonly metrics?: MetricsAccess | undefined;
  /** More metrics for `/metrics`. @default none */
  readonly moreMetrics?: (() => readonly Metric[]) | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
  /** @default this system's */
  readonly network?: Network | undefined;
}

/** A running server of a tracker. */
export interface TrackerServer extends AsyncDisposable {
  /** `http://127.0.0.1:5000`: where a program on this machine reaches it. */
  readonly url: string;
  /** What it has done. */
  metrics(): readonly Metric[];
  /** Whether the store answers, and how long that took in milliseconds. Never rejects. */
  health(): Promise<{ readonly ok: boolean; readonly tookMs: number }>;
  /** Serves a connection that came another way. */
  accept(connection: RawConnection): void;
  /** Stops listening, lets requests under way end, for up to a second, and closes a store that it has opened. Never rejects. */
  close(): Promise<void>;
}
