/** `shoal tracker`: the server at which the peers of networks announce themselves and look each other up. */

import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createSecureContext } from 'node:tls';
import { createTrackerToken, type MetricsAccess, openTrackerServer, type TrackerServer } from 'shoal/tracker';
import type { CommandContext, CommonOptions } from '../context.ts';
import { asServer, asUsage, Failure, UsageError } from '../failure.ts';

/** Options of `shoal tracker`. */
export interface TrackerCommandOptions extends CommonOptions {
  readonly bind?: string | undefined;
  readonly store: string;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly trustProxy?: boolean | undefined;
  readonly metrics: MetricsAccess;
  readonly maxCells?: number | undefined;
  readonly maxCellBytes?: number | undefined;
  /** Seconds. */
  readonly cellTtl?: number | undefined;
  readonly requestsPerSecond?: number | undefined;
  readonly cellsPerMinute?: number | undefined;
  readonly token?: boolean | undefined;
  /** Where others reach it, for the token. */
  readonly url?: string | undefined;
  readonly shards: number;
}

/** Serves until Ctrl-C. */
export async function tracker(context: CommandContext, options: TrackerCommandOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { bind, store, trustProxy, metrics, cellTtl } = options;
  const { maxCells, maxCellBytes, requestsPerSecond, cellsPerMinute } = options;
  const limits = { maxCells, maxCellBytes, requestsPerSecond, cellsPerMinute };
  const tokenAt = (at: string): string =>
    asUsage('Cannot take --url', () => createTrackerToken(at, { shards: options.shards }).text);
  if (options.url !== undefined) tokenAt(options.url); // A wrong one is said before anything is opened.
  const tls = await tlsOf(options.tlsCert, options.tlsKey);
  const cellTtlMs = cellTtl === undefined ? undefined : cellTtl * 1000;
  await using server = await asServer('Cannot serve', () =>
    openTrackerServer({ bind, store, tls, trustProxy, metrics, cellTtlMs, realm, ...limits }),
  );
  const { url } = server;
  output.show({ event: 'listening', url }, `Tracker at ${url}`);
  if (options.token === true) {
    const token = tokenAt(options.url ?? url);
    output.show({ event: 'token', token }, `A new network, for all its peers and nobody else: ${token}`);
  }
  if (!interrupt.signal.aborted) await once(interrupt.signal, 'abort');
  await server.close();
  output.show({ event: 'closed', ...totalsOf(server) }, summaryOf(server));
}

/** @throws {UsageError | Failure} for one without the other, and for files that cannot be read or used. */
export async function tlsOf(
  certFile: string | undefined,
  keyFile: string | undefined,
): Promise<{ readonly cert: string; readonly key: string } | undefined> {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) throw new UsageError('HTTPS needs a certificate and its key');
  try {
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
    createSecureContext({ cert, key }); // Both are PEM, and belong together.
    return { cert, key };
  } catch (error) {
    throw new Failure(`Cannot use the certificate: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function totalsOf(server: TrackerServer): { readonly received: number; readonly answered: number } {
  const samples = server.metrics().find(({ name }) => name === 'shoal_tracker_requests_total')?.samples ?? [];
  const of = (...outcomes: readonly string[]): number =>
    samples.filter(({ labels }) => outcomes.includes(labels!['outcome']!)).reduce((sum, { value }) => sum + value, 0);
  const answered = of('read', 'created', 'swapped', 'conflict');
  return { received: answered + of('malformed', 'refused', 'failed', 'limited', 'quota'), answered };
}

function summaryOf(server: TrackerServer): string {
  const { received, answered } = totalsOf(server);
  return `${received} requests, ${answered} answers`;
}
