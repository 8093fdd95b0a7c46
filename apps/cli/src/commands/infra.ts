/** `shoal infra`: what the peers of an application need of a machine with a public address: a peer to begin with, an observer, a relay and a tracker, on one port. */

import { hkdfSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { openCells } from 'shoal/cell';
import { exportKey, generateKey, type PrivateKey } from 'shoal/keys';
import { writeKeyFile } from 'shoal/key-files';
import { countersMetrics, type Metric, metric } from 'shoal/metrics';
import { ipVersion } from 'shoal/net';
import { openPeers, type Peers } from 'shoal/peers';
import { httpListeners, openTrackerServer, type TrackerServerOptions, trackerToken } from 'shoal/tracker';
import { type CommandContext, type CommonOptions, loadKey } from '../context.ts';
import { asServer, asUsage, Failure, UsageError } from '../failure.ts';
import { placesOf } from '../open-peers.ts';
import { type InfraConfig, readInfraConfig } from './infra-config.ts';
import { tlsOf } from './tracker.ts';

/** Options of `shoal infra`; they come before those of the file. */
export interface InfraOptions extends CommonOptions {
  readonly config?: string | undefined;
  readonly data?: string | undefined;
  readonly bind?: string | undefined;
  readonly host?: string | undefined;
  readonly networkName?: string | undefined;
}

const DEFAULT_BIND = '0.0.0.0:4433';
/** The TTL of cells where the file gives none, as in `openTrackerServer`. */
const CELL_TTL_MS = 300_000;
const DEFAULT_CELL_BYTES = 32_768;
const DEFAULT_MAX_CELLS = 65_536;

/** Serves until Ctrl-C. */
export async function infra(context: CommandContext, options: InfraOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const file: InfraConfig = options.config === undefined ? {} : await readInfraConfig(options.config);
  const data = options.data ?? file.data;
  if (data === undefined)
    throw new UsageError('--data names the folder with all that has to last, or `data` in the file');
  const { bind = file.bind ?? DEFAULT_BIND, host = file.host } = options;
  const { networkName = file.networkName ?? 'shoal' } = options;
  const { store: place = `sqlite:${path.join(data, 'tracker.db')}`, url: publicUrl, ...limits } = file.tracker ?? {};
  // What would be wrong in the line to paste is said before anything is opened.
  asUsage(publicUrl === undefined ? 'Cannot take host' : 'Cannot take tracker.url', () =>
    trackerToken(publicUrl ?? `http://${placeOf(host ?? '127.0.0.1', '1')}`, new Uint8Array(32)),
  );
  const privateKey = await keyIn(data);
  const { cellTtlMs: expireMs = CELL_TTL_MS, maxCellBytes: maxBytes = DEFAULT_CELL_BYTES } = limits;
  await using store = await asServer('Cannot open the tracker', () =>
    openCells(place, { expireMs, maxBytes, maxCells: storedCells(limits.maxCells), realm }),
  );
  let node: Peers | undefined;
  const shared: TrackerServerOptions = {
    ...limits,
    store,
    realm,
    moreMetrics: () => (node === undefined ? [] : metricsOf(node)),
  };
  await using server = await asServer('Cannot serve', () => openTrackerServer({ ...shared, bind, isDetached: true }));
  const { https } = file;
  const tls = await tlsOf(https?.certFile, https?.keyFile);
  await using secure =
    tls === undefined
      ? undefined
      : await asServer('Cannot serve', () => openTrackerServer({ ...shared, tls, bind: https!.bind }));
  await using peers = await asServer('Cannot open', () =>
    openPeers({
      serveRelay: true,
      relays: false,
      minPeers: 0,
      ...file.node,
      privateKey,
      networkName,
      bind,
      cache: path.join(data, 'peers.json'),
      network: httpListeners({ accept: (connection) => server.accept(connection), realm }),
      realm,
      signal: interrupt.signal,
    }),
  );
  node = peers;
  const [own = bind] = placesOf(peers);
  const port = own.slice(own.lastIndexOf(':') + 1);
  const where = host === undefined ? own : placeOf(host, port);
  const { text: tracker } = trackerToken(publicUrl ?? `http://${where}`, secretOf(privateKey));
  const pasted = pastedOf(peers.id, networkName, where, tracker);
  output.show(
    {
      event: 'infra',
      id: peers.id,
      addrs: peers.addrs,
      url: `http://${own}`,
      https: secure?.url,
      options: pasted,
      paste: lineOf(pasted),
    },
    [
      `PeerID ${peers.id}`,
      ...peers.addrs.map((addr) => `  ${addr}`),
      `Health and metrics: http://127.0.0.1:${port}/health /metrics`,
      'For your program, and for nobody who is not to find its peers:',
      `  ${lineOf(pasted)}`,
      `  ${commandOf(pasted)}`,
    ],
  );
  if (!interrupt.signal.aborted) await once(interrupt.signal, 'abort');
  await Promise.all([server.close(), secure?.close()]);
  output.show({ event: 'closed' });
}

/** The options of `openPeers` that lead to this machine. */
interface Pasted {
  readonly networkName: string;
  readonly contacts: readonly string[];
  readonly relays: readonly string[];
  /** Absent where the machine is known by a name: observers are asked by IP. */
  readonly observers?: readonly string[];
  readonly tracker: string;
}

const placeOf = (host: string, port: string): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** What a store in memory has to take so that servers, and not it, decide which cell makes room: those of two servers, and of requests under way. */
function storedCells(maxCells = DEFAULT_MAX_CELLS): number {
  return Math.min(2 * (maxCells + 1024), 16_777_216);
}

function pastedOf(id: string, networkName: string, where: string, tracker: string): Pasted {
  const host = where.slice(0, where.lastIndexOf(':')).replaceAll(/[[\]]/g, '');
  const place = `${id}@${where}`;
  const observers = ipVersion(host) === undefined ? {} : { observers: [where] };
  return { networkName, contacts: [place], relays: [place], ...observers, tracker };
}

function lineOf(pasted: Pasted): string {
  const fields = Object.entries(pasted).map(([name, value]) => `${name}: ${literalOf(value)}`);
  return `openPeers({ privateKey, ${fields.join(', ')} })`;
}

/** A text or a list of texts in JavaScript. */
function literalOf(value: string | readonly string[]): string {
  if (typeof value !== 'string') return `[${value.map(literalOf).join(', ')}]`;
  return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

/** A word of a shell. */
const wordOf = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function commandOf({ networkName, contacts, relays, observers, tracker }: Pasted): string {
  const observer = observers === undefined ? '' : ` --observer ${wordOf(observers[0]!)}`;
  const first = `shoal peers --network-name ${wordOf(networkName)} --contact ${wordOf(contacts[0]!)}`;
  return `${first} --relay ${wordOf(relays[0]!)}${observer} --tracker ${wordOf(tracker)}`;
}

/** The key of a data folder, made at the first start. */
async function keyIn(data: string): Promise<PrivateKey> {
  const file = path.join(data, 'key.pem');
  const fail = (error: Error): never => {
    throw new Failure(`Cannot use ${data}: ${error.message}`, { cause: error });
  };
  await mkdir(data, { recursive: true, mode: 0o700 }).catch(fail);
  await writeKeyFile(file, generateKey()).catch(
    (error: NodeJS.ErrnoException) => error.code === 'EEXIST' || fail(error),
  );
  return loadKey(file);
}

/** The secret of the network at the tracker: the same at each start, as the key is. */
function secretOf(key: PrivateKey): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', exportKey(key, 'pkcs8'), '', 'shoal infra tracker secret 1', 32));
}

function metricsOf(node: Peers): readonly Metric[] {
  const byState = Map.groupBy(node.list(), ({ state }) => state);
  const { relayed } = node;
  return [
    ...countersMetrics(node.counters),
    {
      name: 'shoal_peers',
      help: 'Peers, by state.',
      type: 'gauge',
      samples: [...byState].map(([state, list]) => ({ value: list.length, labels: { state } })),
    },
    ...(relayed === undefined
      ? []
      : [
          metric('gauge', 'shoal_relay_peers', 'Peers with a place at this relay.', relayed.peers.length),
          metric('gauge', 'shoal_relay_guests', 'Others that talk to them.', relayed.guests),
          metric('counter', 'shoal_relay_datagrams_total', 'Datagrams passed on.', relayed.counters.sent),
          metric('counter', 'shoal_relay_bytes_total', 'Bytes passed on.', relayed.counters.sentBytes),
        ]),
  ];
}
