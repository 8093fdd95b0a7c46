/**
 * The file of a peer cache: JSON, one part for each network name, so that networks that share a file do not mix.
 *
 * ```json
 * {"format":"shoal peer cache","version":1,"networks":[{"name":"my-app","savedMs":0,"peers":[{"id":"…","addrs":[{"addr":"…",
 * "proof":"dialled","firstMs":0,"provenMs":0,"successes":1,"failures":0,"failedMs":0}]}]}]}
 * ```
 */

import { type Bytes, decodeText, encodeText } from '../base/bytes.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import { leadsTo, MAX_ADDR_BYTES } from './peer-record.ts';
import { type CachedAddr, type CachedPeer, MAX_CACHED_ADDRS, MAX_COUNT } from './peer-scores.ts';

/** Bytes of a file; longer ones are not read. */
export const MAX_CACHE_BYTES = 8_388_608;
/** Networks in one file: the one that was saved first is dropped. */
const MAX_NETWORKS = 16;
/** Peers of one network that are read. */
export const MAX_CACHED_PEERS = 4096;
/** UTF-8 bytes of a network name, as on the LAN. */
const MAX_NAME_BYTES = 255;
const FORMAT = 'shoal peer cache';
const VERSION = 1;

/** The part of one network. */
export interface CachedNetwork {
  readonly name: string;
  readonly savedMs: number;
  readonly peers: readonly CachedPeer[];
}

/** Why bytes are no cache. `version`: a later release wrote them. */
export type CacheFormatFault = 'corrupt' | 'version';

/** Whether `name` is the name of a network: 1 to 255 bytes of UTF-8. */
export function isNetworkName(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.isWellFormed() && encodeText(name).length <= MAX_NAME_BYTES;
}

/** Reads a file. Entries that are invalid are left out; a file that is no cache is a fault. Never throws. */
export function decodeCache(bytes: Uint8Array): readonly CachedNetwork[] | CacheFormatFault {
  const root = parseJson(bytes);
  if (root?.['format'] !== FORMAT) return 'corrupt';
  const version = root['version'];
  if (version !== VERSION)
    return typeof version === 'number' && Number.isInteger(version) && version > VERSION ? 'version' : 'corrupt';
  if (!Array.isArray(root['networks'])) return 'corrupt';
  const networks = new Map<string, CachedNetwork>(); // Bounded by MAX_NETWORKS.
  for (const each of root['networks'].slice(0, MAX_NETWORKS).map(fieldsOf)) {
    const { name, savedMs, peers } = each;
    if (!isNetworkName(name) || networks.has(name) || !Array.isArray(peers)) continue;
    networks.set(name, { name, savedMs: timeOf(savedMs), peers: readPeers(peers) });
  }
  return [...networks.values()];
}

/** Writes a file with this part in the place of that of the same name. Other parts stay as they are. */
export function encodeCache(others: readonly CachedNetwork[], own: CachedNetwork): Bytes {
  const rest = others.filter(({ name }) => name !== own.name).toSorted((a, b) => b.savedMs - a.savedMs);
  const networks = [own, ...rest.slice(0, MAX_NETWORKS - 1)];
  return encodeText(`${JSON.stringify({ format: FORMAT, version: VERSION, networks })}\n`);
}

function readPeers(values: readonly unknown[]): CachedPeer[] {
  const peers = new Map<PeerId, CachedPeer>(); // Bounded by MAX_CACHED_PEERS.
  for (const { id, addrs } of values.slice(0, MAX_CACHED_PEERS).map(fieldsOf)) {
    if (!isPeerId(id) || peers.has(id) || !Array.isArray(addrs)) continue;
    const read = addrs.slice(0, MAX_CACHED_ADDRS).flatMap((addr) => readAddr(id, addr) ?? []);
    const unique = read.filter(({ addr }, i) => read.findIndex((each) => each.addr === addr) === i);
    if (unique.length > 0) peers.set(id, { id, addrs: unique });
  }
  return [...peers.values()];
}

function readAddr(id: PeerId, value: unknown): CachedAddr | undefined {
  const { addr, proof, firstMs, provenMs, successes, failures, failedMs } = fieldsOf(value);
  if (typeof addr !== 'string' || !isAddrText(id, addr)) return undefined;
  if (proof !== 'dialled' && proof !== 'dial_back') return undefined;
  return {
    addr,
    proof,
    firstMs: timeOf(firstMs),
    provenMs: timeOf(provenMs),
    successes: countOf(successes),
    failures: countOf(failures),
    failedMs: timeOf(failedMs),
  };
}

/** Printable ASCII, as all addresses are, that names no other peer. */
export function isAddrText(id: PeerId, addr: string): boolean {
  return addr.length <= MAX_ADDR_BYTES && /^[\x21-\x7e]+$/.test(addr) && (!addr.includes('@') || leadsTo(addr, id));
}

function parseJson(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const text = bytes.length > MAX_CACHE_BYTES ? undefined : decodeText(bytes);
  if (text === undefined) return undefined;
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return undefined; // Not JSON, or nested too deeply.
  }
}

/** The own fields of an object; none of anything else. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { __proto__: null, ...value } : {};
}

/** A time that a clock can show; else 0. */
function timeOf(value: unknown): number {
  return typeof value === 'number' && value >= 0 && value <= 8.64e15 ? Math.floor(value) : 0;
}

function countOf(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? Math.min(Math.floor(value), MAX_COUNT) : 0;
}
