/** `shoal dht`: a node of the DHT of a network, or one question to it. */

import { once } from 'node:events';
import { parsePeerId } from 'shoal';
import { encodeText } from 'shoal/bytes';
import type { Dht, LookupExplanation } from 'shoal/kademlia';
import type { PeerAddr, Peers } from 'shoal/peers';
import type { CommandContext } from '../context.ts';
import { asUsage, Failure, UsageError } from '../failure.ts';
import { openPeersOf, placesOf, type PeersCommandOptions } from '../open-peers.ts';

/** What `shoal dht` does. */
export type DhtAction = 'join' | 'put' | 'get' | 'announce' | 'lookup' | 'table';

/** Options of `shoal dht`. */
export interface DhtCommandOptions extends PeersCommandOptions {
  /** Milliseconds. */
  readonly timeout: number;
  /** Milliseconds that what is stored lives. */
  readonly ttl: number;
  /** Of `lookup`: a key whose providers are wanted. */
  readonly provided?: boolean | undefined;
}

/** A node of the DHT while it is used. */
interface Use {
  readonly context: CommandContext;
  readonly node: Peers;
  readonly dht: Dht<PeerAddr>;
  readonly args: readonly string[];
  readonly options: DhtCommandOptions;
}

/** How many arguments each action takes. */
const ARGUMENTS: Readonly<Record<DhtAction, readonly [min: number, max: number, form: string]>> = {
  join: [0, 0, ''],
  put: [2, 2, ' KEY VALUE'],
  get: [1, 1, ' KEY'],
  announce: [0, 1024, ' [KEY...]'],
  lookup: [1, 1, ' PEERID'],
  table: [0, 0, ''],
};

/** @throws {Failure} when no node of the DHT answers, or what is wanted is not there. */
export async function dht(
  context: CommandContext,
  action: DhtAction,
  args: readonly string[],
  options: DhtCommandOptions,
): Promise<void> {
  const [min, max, form] = ARGUMENTS[action];
  if (args.length < min || args.length > max) throw new UsageError(`Expected: shoal dht ${action}${form}`);
  if (action === 'lookup' && options.provided !== true) asUsage('Cannot look up', () => parsePeerId(args[0]!.trim()));
  const stays = action === 'join' || action === 'announce';
  const kind = stays ? 'node' : 'client';
  await using node = await openPeersOf(context, options, { kind, minPeers: 1, dht: { announce: false } });
  const use: Use = { context, node, dht: node.dht!, args, options };
  if (action === 'join') show(use);
  await join(use, action === 'join');
  switch (action) {
    case 'join':
      await stay(use, 0);
      break;
    case 'put':
      await put(use);
      break;
    case 'get':
      await get(use);
      break;
    case 'announce':
      await stay(use, await announce(use));
      break;
    case 'lookup':
      await lookup(use);
      break;
    case 'table':
      table(use);
      break;
  }
}

/** How others begin from this node. */
function show({ context: { output }, node }: Use): void {
  const [place] = placesOf(node);
  const command = `shoal dht join --contact '${node.id}@${place}'`;
  output.show({ event: 'dht', id: node.id, addrs: node.addrs, command }, [
    `PeerID ${node.id}`,
    ...node.addrs.map((addr) => `  ${addr}`),
    `Join from elsewhere: ${command}`,
  ]);
}

/** Waits for peers, and joins by them. @param mayBeFirst - whether it goes on without anybody */
async function join({ context, node, dht, options }: Use, mayBeFirst: boolean): Promise<void> {
  const { interrupt } = context;
  const { signal } = interrupt;
  const { peers: met } = await Promise.race([node.ready, once(signal, 'abort').then(() => ({ peers: [] }))]);
  if (signal.aborted) return;
  const ids = met.map(({ id }) => id);
  if (ids.length > 0) await dht.join(ids, { signal, timeoutMs: options.timeout }).catch(() => undefined);
  const { contacts } = dht.inspect();
  if (contacts === 0 && !mayBeFirst) {
    throw new Failure('No node of the DHT answered: give one that runs `shoal dht join` with --contact, or --lan');
  }
}

/** Serves until Ctrl-C. */
async function stay({ context: { output, interrupt }, dht }: Use, published: number): Promise<void> {
  const { contacts } = dht.inspect();
  output.show({ event: 'dht_serving', contacts, published }, `serving until Ctrl-C; ${contacts} contacts`);
  if (!interrupt.signal.aborted) await once(interrupt.signal, 'abort');
  output.show({ event: 'closed' });
}

async function put({ context: { output, interrupt }, dht, args, options }: Use): Promise<void> {
  const [key, value] = args as [string, string];
  const call = { ttlMs: options.ttl, republish: false, signal: interrupt.signal, timeoutMs: options.timeout };
  const { accepted, asked } = await asUsage('Cannot put', () => dht.put(encodeText(key), encodeText(value), call));
  const nodes = accepted[0] ?? 0;
  output.show({ event: 'dht_put', key, nodes, asked }, `${nodes} nodes store ${key} (${asked} requests)`);
  if (nodes === 0) throw new Failure(`No node took ${key}: it may be that of another peer until it expires`);
}

async function get({ context: { output, interrupt }, dht, args, options }: Use): Promise<void> {
  const [key] = args as [string];
  const call = { signal: interrupt.signal, timeoutMs: options.timeout };
  const { value, ttlMs, explain } = await asUsage('Cannot get', () => dht.get(encodeText(key), call));
  if (value === undefined) throw new Failure(`There is no value for ${key}: ${explain.text}`);
  const fields = { key, value: Buffer.from(value).toString('base64'), ttlMs, lookup: plain(explain) };
  output.show({ event: 'dht_value', ...fields }, [Buffer.from(value).toString(), `  ${explain.text}`]);
}

/** @returns how many keys are announced. */
async function announce({ context: { output, interrupt }, node, dht, args, options }: Use): Promise<number> {
  const call = { ttlMs: options.ttl, signal: interrupt.signal, timeoutMs: options.timeout };
  const keys = args.length === 0 ? undefined : args.map((key) => encodeText(key));
  if (keys !== undefined) await dht.announce(undefined, call);
  const { accepted, asked, records } = await asUsage('Cannot announce', () => dht.announce(keys, call));
  const nodes = Math.min(...accepted);
  output.show({ event: 'dht_announced', id: node.id, keys: args.length, nodes, asked, records }, [
    `${nodes} nodes and more know where ${args.length === 0 ? node.id : `${args.length} keys`} can be had (${asked} requests)`,
  ]);
  return args.length;
}

async function lookup({ context: { output, interrupt }, dht, args, options }: Use): Promise<void> {
  const wanted = args[0]!.trim();
  const call = { signal: interrupt.signal, timeoutMs: options.timeout };
  const { records, explain } = await (options.provided === true
    ? dht.providers(encodeText(wanted), call)
    : dht.lookup(wanted, call));
  for (const { id, addrs, issuedMs, expiresMs } of records) {
    output.show({ event: 'dht_record', id, addrs, issuedMs, expiresMs }, [id, ...addrs.map((addr) => `  ${addr}`)]);
  }
  output.show({ event: 'dht_lookup', wanted, records: records.length, lookup: plain(explain) }, explain.text);
  if (records.length === 0) throw new Failure(`Nobody has announced ${wanted}`);
}

function table({ context: { output }, dht }: Use): void {
  const contacts = dht.table();
  for (const { id, sharedBits, rttMs, failures } of contacts) {
    const rtt = rttMs === undefined ? '' : `, ${Math.round(rttMs)} ms`;
    output.show(
      { event: 'dht_contact', id, sharedBits, rttMs, failures },
      `${String(sharedBits).padStart(3)} bits  ${id}${rtt}`,
    );
  }
  const { estimatedNodes } = dht.inspect();
  const nodes = estimatedNodes === undefined ? undefined : Math.round(estimatedNodes);
  const words = `${contacts.length} contacts${nodes === undefined ? '' : `, about ${nodes} nodes`}`;
  output.show({ event: 'dht_table', contacts: contacts.length, estimatedNodes: nodes }, words);
}

/** What of a lookup is shown as an object. */
function plain({
  hops,
  asked,
  answered,
  failed,
  ended,
  tookMs,
  text,
}: LookupExplanation): Readonly<Record<string, unknown>> {
  return { hops, asked, answered, failed, ended, tookMs, text };
}
