/**
 * The server of a tracker: cells over HTTP, by the rules of go-p2p's, with rates and quotas per source, metrics and health. It stores in any store of cells, and several
 * servers may use one.
 */

import { createHttpServer, openHttpServer } from '#http-server';
import { systemNetwork } from '#system-network';
import { encodeText } from '../../base/bytes.ts';
import { assertFunction, assertSwitch, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { formatSocketAddress, isLoopbackIp, type SocketAddress } from '../../base/ip.ts';
import { sourceOf } from '../../base/source-shares.ts';
import { SourceBuckets } from '../../base/token-bucket.ts';
import { assertRealm, type Realm, type Timer } from '../../core/realm.ts';
import { type CellStore, DEFAULT_CELL_BYTES, MAX_CELL_BYTES } from '../../cells/cell.ts';
import { cellHandler, type CellHttpResponse, signedCellCheck } from '../../cells/http-handler.ts';
import { openCells } from '../../cells/open-cells.ts';
import { metric, type Metric, PROMETHEUS_TYPE, prometheusText } from '../../metrics/metric.ts';
import { DEFAULT_BINDS, bindFirst } from '../../net/default-bind.ts';
import {
  type HttpFault,
  type HttpReply,
  type HttpRequest,
  type HttpServer,
  type HttpServerLimits,
  type HttpServerOptions,
  resolveHttpLimits,
} from '../../net/http.ts';
import { assertNetwork, type RawConnection } from '../../net/network.ts';
import { parseIpSocketAddress } from '../../net/socket-address.ts';
import { CURRENT_HEADER, SIGNER_HEADER } from '../../protocols/cell/http-form.ts';
import { clockOf, systemRealm } from '../../runtime/system-realm.ts';
import { CellIndex } from './cell-index.ts';
import type { TrackerServer, TrackerServerOptions } from './server-options.ts';

/** Sources whose rates are remembered. */
const MAX_SOURCES = 65_536;
/** How many requests come at once: a program that opens asks and writes for several networks. */
const BURST = 5;
/** How often cells whose time is over are looked for. */
const EXPIRE_EVERY_MS = 10_000;
/** New cells of requests under way, which make others go only once they are there. */
const MAX_UNCOUNTED = 1024;
/** The deadline of the store for one request. */
const STORE_TIMEOUT_MS = 10_000;
/** How long a look at the health may take, and how long its answer counts: a look is a reading of the store. */
const HEALTH_TIMEOUT_MS = 3000;
const HEALTH_MS = 1000;
/** A key that no cell of a tracker has. */
const HEALTH_KEY = 'health';
/** What a request came to, for metrics. */
const OUTCOMES = [
  'read',
  'created',
  'swapped',
  'conflict',
  'malformed',
  'refused',
  'failed',
  'limited',
  'quota',
] as const;
type Outcome = (typeof OUTCOMES)[number];

interface Resolved {
  readonly maxCells: number;
  readonly maxCellsPerSource: number;
  readonly cellTtlMs: number;
  readonly maxCellBytes: number;
  readonly requestsPerSecond: number;
  readonly cellsPerMinute: number;
  readonly http: HttpServerLimits;
  readonly realm: Realm;
}

function resolve(options: TrackerServerOptions): Resolved {
  const { realm = systemRealm } = options;
  assertRealm(realm);
  assertSwitch(options.trustProxy, 'trustProxy');
  const maxCellBytes = wholeNumber(options.maxCellBytes, 'maxCellBytes', DEFAULT_CELL_BYTES, 1024, MAX_CELL_BYTES);
  return {
    maxCells: wholeNumber(options.maxCells, 'maxCells', 65_536, 1, 16_777_216),
    maxCellsPerSource: wholeNumber(options.maxCellsPerSource, 'maxCellsPerSource', 1024, 1, 16_777_216),
    cellTtlMs: quantity(options.cellTtlMs, 'cellTtlMs', 300_000, 1000, Infinity),
    maxCellBytes,
    requestsPerSecond: quantity(options.requestsPerSecond, 'requestsPerSecond', 50, 0.001, Infinity),
    cellsPerMinute: quantity(options.cellsPerMinute, 'cellsPerMinute', 120, 0.001, Infinity),
    http: { ...resolveHttpLimits(options.http), maxBodyBytes: maxCellBytes },
    realm,
  };
}

/**
 * Opens the server of a tracker.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {P2PError} (by rejection) `in_use`, `unreachable`, and what opening the store rejects with.
 */
export function openTrackerServer(options: TrackerServerOptions = {}): Promise<TrackerServer> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const resolved = resolve(options);
  const { network = systemNetwork, metrics = 'loopback', moreMetrics, store = 'memory', bind } = options;
  assertNetwork(network);
  if (moreMetrics !== undefined) assertFunction(moreMetrics, 'moreMetrics');
  if (!['off', 'loopback', 'public'].includes(metrics)) {
    throw new TypeError(`Cannot take metrics: expected 'off', 'loopback' or 'public', got ${describeValue(metrics)}`);
  }
  const binds = bind === undefined ? DEFAULT_BINDS : [parseIpSocketAddress(bind, 'bind')];
  const { realm, maxCellBytes: maxBytes, cellTtlMs: expireMs } = resolved;
  const maxCells = resolved.maxCells + MAX_UNCOUNTED;
  const opening = typeof store === 'string' ? openCells(store, { realm, maxCells, maxBytes, expireMs }) : undefined;
  if (opening === undefined && typeof (store as CellStore)?.cas !== 'function') {
    throw new TypeError(`Cannot take store: expected cells, got ${describeValue(store)}`);
  }
  return open(options, resolved, binds, opening ?? (store as CellStore), opening !== undefined);
}

async function open(
  options: TrackerServerOptions,
  resolved: Resolved,
  binds: readonly SocketAddress[],
  opening: CellStore | Promise<CellStore>,
  ownsStore: boolean,
): Promise<TrackerServer> {
  const store = await opening;
  try {
    const server = new LiveServer(store, ownsStore, options, resolved);
    const { network = systemNetwork } = options;
    const http = (bind: SocketAddress): HttpServerOptions => server.httpOptions(bind, network);
    server.http =
      options.isDetached === true
        ? createHttpServer(http(binds[0]!))
        : await bindFirst(binds, (bind) => openHttpServer(http(bind)));
    return server;
  } catch (error) {
    if (ownsStore) await store.close();
    throw error;
  }
}

class LiveServer implements TrackerServer {
  http!: HttpServer;
  readonly #store: CellStore;
  readonly #ownsStore: boolean;
  readonly #options: TrackerServerOptions;
  readonly #limits: Resolved;
  readonly #handle: ReturnType<typeof cellHandler>;
  readonly #index: CellIndex;
  readonly #requests: SourceBuckets;
  readonly #creations: SourceBuckets;
  readonly #counts = new Map<Outcome, number>(); // Bounded by the outcomes.
  readonly #faults = new Map<HttpFault, number>(); // Bounded by the faults.
  #evicted = 0;
  #expired = 0;
  #writtenBytes = 0;
  #timer: Timer | undefined;
  #health:
    | { readonly atMs: number; readonly result: Promise<{ readonly ok: boolean; readonly tookMs: number }> }
    | undefined;
  #closing: Promise<void> | undefined;

  constructor(store: CellStore, ownsStore: boolean, options: TrackerServerOptions, limits: Resolved) {
    this.#store = store;
    this.#ownsStore = ownsStore;
    this.#options = options;
    this.#limits = limits;
    this.#handle = cellHandler(store, { check: signedCellCheck });
    this.#index = new CellIndex(limits.maxCells, limits.cellTtlMs);
    this.#requests = new SourceBuckets(limits.requestsPerSecond, limits.requestsPerSecond * BURST, MAX_SOURCES);
    this.#creations = new SourceBuckets(limits.cellsPerMinute / 60, limits.cellsPerMinute, MAX_SOURCES);
    this.#arm();
  }

  get url(): string {
    const { ip, port } = this.http.address;
    const host = ip === '0.0.0.0' || ip === '::' ? '127.0.0.1' : ip;
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${formatSocketAddress(host, port)}`;
  }

  httpOptions(bind: SocketAddress, network: HttpServerOptions['network']): HttpServerOptions {
    const { tls, trustProxy } = this.#options;
    return {
      bind,
      network,
      realm: this.#limits.realm,
      tls,
      trustProxy,
      limits: this.#limits.http,
      handle: (request) => this.#serve(request),
      admit: (ip) => this.#admit(ip),
      onFault: (fault) => void this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1),
    };
  }

  accept(connection: RawConnection): void {
    this.http.accept(connection);
  }

  health(): Promise<{ readonly ok: boolean; readonly tookMs: number }> {
    const { realm } = this.#limits;
    const nowMs = realm.nowMs();
    if (this.#health === undefined || nowMs - this.#health.atMs >= HEALTH_MS) {
      const read = this.#store.get(HEALTH_KEY, { timeoutMs: HEALTH_TIMEOUT_MS });
      const tookMs = (): number => realm.nowMs() - nowMs;
      const result = read.then(
        () => ({ ok: true, tookMs: tookMs() }),
        () => ({ ok: false, tookMs: tookMs() }),
      );
      this.#health = { atMs: nowMs, result };
    }
    return this.#health.result;
  }

  metrics(): readonly Metric[] {
    const outcomes = OUTCOMES.map((outcome) => ({ value: this.#counts.get(outcome) ?? 0, labels: { outcome } }));
    return [
      {
        name: 'shoal_tracker_requests_total',
        help: 'Requests, by what came of them.',
        type: 'counter',
        samples: outcomes,
      },
      {
        name: 'shoal_tracker_faults_total',
        help: 'Connections that were closed and requests that were refused before they were read.',
        type: 'counter',
        samples: [...this.#faults].map(([fault, value]) => ({ value, labels: { fault } })),
      },
      metric(
        'counter',
        'shoal_tracker_written_bytes_total',
        'Bytes of the values that were written.',
        this.#writtenBytes,
      ),
      metric('counter', 'shoal_tracker_evicted_total', 'Cells that made room for others.', this.#evicted),
      metric('counter', 'shoal_tracker_expired_total', 'Cells whose time was over.', this.#expired),
      metric('gauge', 'shoal_tracker_cells', 'Cells that were written here and hold.', this.#index.size),
      metric('gauge', 'shoal_tracker_connections', 'Open connections.', this.http.connections),
      metric('gauge', 'shoal_tracker_sources', 'Networks whose rates are remembered.', this.#requests.size),
    ];
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(): Promise<void> {
    this.#timer?.cancel();
    await this.http.close();
    if (this.#ownsStore) await this.#store.close();
  }

  #arm(): void {
    const { realm } = this.#limits;
    const look = (): void => {
      this.#expired += this.#index.expire(realm.nowMs());
      this.#arm();
    };
    this.#timer = clockOf(realm).setTimer(realm.nowMs() + EXPIRE_EVERY_MS, look, { background: true });
  }

  #admit(ip: string): boolean {
    if (this.#requests.take(this.#limits.realm.nowMs(), sourceOf(ip))) return true;
    this.#count('limited');
    return false;
  }

  async #serve(request: HttpRequest): Promise<HttpReply> {
    const { method, path, header, body, ip, signal } = request;
    if (method === 'GET' && (path === '/health' || path === '/metrics')) return this.#ownPage(path, ip);
    const call = { signal, timeoutMs: STORE_TIMEOUT_MS };
    const key = path.slice(1);
    const isNew = method !== 'GET' && !this.#index.has(key);
    if (isNew) {
      const refusal = this.#refuseCell(ip);
      if (refusal !== undefined) return refusal;
    }
    const taken = { method, path, current: header(CURRENT_HEADER), signer: header(SIGNER_HEADER), body };
    const response = await this.#handle(taken, call);
    this.#count(response.outcome);
    const { outcome } = response;
    // Only a new cell takes from the quota: what was refused, or was there before, gives it back.
    if (isNew && outcome !== 'created') this.#creations.giveBack(sourceOf(ip), 1);
    if (outcome === 'created' || outcome === 'swapped') await this.#wrote(key, ip, response);
    return { status: response.status, body: response.body };
  }

  #refuseCell(ip: string): HttpReply | undefined {
    const nowMs = this.#limits.realm.nowMs();
    if (this.#index.countOf(ip) < this.#limits.maxCellsPerSource && this.#creations.take(nowMs, sourceOf(ip)))
      return undefined;
    this.#count('quota');
    const body = encodeText('too many cells from here\n');
    return { status: 429, body, headers: { 'Retry-After': '60' } };
  }

  async #wrote(key: string, ip: string, { body }: CellHttpResponse): Promise<void> {
    this.#writtenBytes += body.length;
    const victim = this.#index.has(key) ? undefined : this.#index.victimFor(ip);
    this.#index.wrote(key, ip, this.#limits.realm.nowMs());
    if (victim === undefined) return;
    this.#index.delete(victim);
    this.#evicted++;
    await this.#empty(victim).catch(() => undefined); // It ends by its time.
  }

  async #empty(key: string): Promise<void> {
    const call = { timeoutMs: STORE_TIMEOUT_MS };
    await this.#store.cas(key, await this.#store.get(key, call), new Uint8Array(0), call);
  }

  async #ownPage(path: string, ip: string): Promise<HttpReply> {
    if (path === '/health') {
      const { ok, tookMs } = await this.health();
      const body = encodeText(`${JSON.stringify({ ok, store: this.#store.kind, tookMs: Math.round(tookMs) })}\n`);
      return { status: ok ? 200 : 503, body, headers: { 'Content-Type': 'application/json' } };
    }
    const { metrics = 'loopback', moreMetrics } = this.#options;
    if (metrics === 'off' || (metrics === 'loopback' && !isLoopbackIp(ip))) {
      return { status: 404, body: encodeText('no such page\n') };
    }
    const body = encodeText(prometheusText([...this.metrics(), ...(moreMetrics?.() ?? [])]));
    return { status: 200, body, headers: { 'Content-Type': PROMETHEUS_TYPE } };
  }

  #count(what: Outcome): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}
