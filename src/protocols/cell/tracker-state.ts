/**
 * What a tracker's cell holds once it is opened: the addresses of peers, as JSON. Source: go-p2p's celltracker, docs/wire/cells.md.
 */

import { type Bytes, decodeText, encodeText } from '../../base/bytes.ts';
import { printableText } from '../../base/reason.ts';
import { isPeerId, type PeerId } from '../../core/peer-id.ts';
import { civilTimeOf, unixMsOf } from '../../identity/calendar.ts';

/** An address that a peer has announced. */
export interface TrackerAddr {
  readonly addr: string;
  /** When it was announced: RFC 3339 with up to nine digits of a second, as it stands in the cell. */
  readonly timestamp: string;
  /** The same in milliseconds since the Unix epoch. */
  readonly atMs: number;
  /** For how long it holds, in nanoseconds. */
  readonly ttlNs: number;
}

/** Peers with their addresses. */
export type TrackerState = ReadonlyMap<PeerId, readonly TrackerAddr[]>;

/** What was found in a cell. */
export interface ParsedState {
  readonly state: TrackerState;
  /** Entries that were left out: of another form, or more than the limits allow. */
  readonly dropped: number;
}

/** The limits of what is read and written. */
export const TRACKER_LIMITS = {
  /** Peers in one cell. */
  maxPeers: 16_384,
  /** As in a signed record of a peer. */
  maxAddrsPerPeer: 16,
  /** As contacts. */
  maxAddrCharacters: 512,
  /** A day: nobody is believed to stay where he is for longer without saying so again. */
  maxTtlMs: 86_400_000,
} as const;

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/** The Unix time in milliseconds; `undefined` for what is no time in RFC 3339. */
export function parseTimestamp(text: string): number | undefined {
  const [, ...parts] = RFC3339.exec(text) ?? [];
  const [year, month, day, hour, minute, second, fraction = '', sign, offsetHours, offsetMinutes] = parts;
  if (year === undefined) return undefined;
  const numbers = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [y, mo, d, h, mi, s] = numbers;
  const ms = unixMsOf({ year: y, month: mo, day: d, hour: h, minute: mi, second: s });
  if (ms === undefined) return undefined;
  const offset = sign === undefined ? 0 : (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60_000;
  return ms + Math.floor(Number(`0.${fraction || '0'}`) * 1000) - (sign === '-' ? -offset : offset);
}

const digits = (value: number, length: number): string => String(value).padStart(length, '0');

/** RFC 3339 in UTC with milliseconds, and without trailing zeros, as Go writes it. */
export function formatTimestamp(unixMs: number): string {
  const { year, month, day, hour, minute, second } = civilTimeOf(unixMs);
  const ms = Math.floor(unixMs) % 1000;
  const fraction = ms === 0 ? '' : `.${digits(ms, 3)}`.replace(/0+$/, '');
  const date = `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
  return `${date}T${digits(hour, 2)}:${digits(minute, 2)}:${digits(second, 2)}${fraction}Z`;
}

/** Until when an address holds: at most {@link TRACKER_LIMITS}.maxTtlMs from when it was announced. */
export function expiryOf({ atMs, ttlNs }: TrackerAddr): number {
  return atMs + Math.min(ttlNs / 1e6, TRACKER_LIMITS.maxTtlMs);
}

/** Reads the JSON of a cell; `undefined` when it is of another form as a whole. No bytes are an empty state. Never throws. */
export function parseTrackerState(bytes: Uint8Array): ParsedState | undefined {
  if (bytes.length === 0) return { state: new Map(), dropped: 0 };
  const text = decodeText(bytes);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const peers = Object.hasOwn(value, 'peers') ? value['peers'] : {};
  if (peers !== null && !isObject(peers)) return undefined;
  const state = new Map<PeerId, readonly TrackerAddr[]>();
  let dropped = 0;
  for (const [id, list] of Object.entries(peers ?? {})) {
    if (!isPeerId(id) || state.size >= TRACKER_LIMITS.maxPeers || !(list === null || Array.isArray(list))) {
      dropped++;
      continue;
    }
    const entries = (list ?? []) as readonly unknown[];
    const addrs = entries.slice(0, TRACKER_LIMITS.maxAddrsPerPeer).flatMap((each) => addrOf(each) ?? []);
    dropped += entries.length - addrs.length;
    state.set(id, addrs);
  }
  return { state, dropped };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function addrOf(value: unknown): TrackerAddr | undefined {
  if (!isObject(value)) return undefined;
  const { addr, timestamp, ttl } = value;
  if (typeof addr !== 'string' || typeof timestamp !== 'string' || typeof ttl !== 'number') return undefined;
  if (addr.length === 0 || addr.length > TRACKER_LIMITS.maxAddrCharacters || printableText(addr) !== addr)
    return undefined;
  const atMs = parseTimestamp(timestamp);
  if (atMs === undefined || !(ttl >= 0)) return undefined;
  return { addr, timestamp, atMs, ttlNs: ttl };
}

/** The JSON of a state, with the peers in ascending order, as Go writes maps. */
export function encodeTrackerState(state: TrackerState): Bytes {
  const peers = [...state].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const plain = peers.map(([id, addrs]): [string, unknown] => [
    id,
    addrs.map(({ addr, timestamp, ttlNs }) => ({ addr, timestamp, ttl: ttlNs })),
  ]);
  return encodeText(JSON.stringify({ peers: Object.fromEntries(plain) }));
}
