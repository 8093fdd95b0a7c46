/**
 * Flow control windows, granted from one budget, so that unread data of peers fills little memory, however many they
 * are. Each connection has a small window. It gets a larger one when it begins, while there is room, and again as it is read.
 *
 * Credit cannot be taken back from a peer. So the connections of one source leave each other a part of what their source may have,
 * and when one of them has less than its even part, the others get no new credit until they are down to theirs.
 */

import type { Millis } from '../../base/machine.ts';

/** What every connection has in each direction without asking: half of a first flight (RFC 9002 §7.2: 14 720 bytes). */
export const FIRST_WINDOW_BYTES = 8192;
/** A window that is used grows by as much. */
const GROWTH = 4;
/** A receive window grows when so much of it has been read since it last did. */
const READ_SHARE = 1 / 2;
/** The part of what is free that a new connection gets, and of what is left for its source, if that has other connections. */
const BEGIN_SHARE = 1 / 4;
/** The part of what is left for its source that a window may grow by, if that has other connections. */
const GROW_SHARE = 1 / 2;
/** The part of the budget that the connections of one source may have. */
const SOURCE_SHARE = 1 / 2;
/** Less than this part of its even part is far less. */
const FAR_LESS = 1 / 2;
/** A connection that has read nothing for so long gives its growth back under pressure. */
const IDLE_MS = 5000;
/** Windows that can be taken back are looked for at most so often. */
const RECLAIM_MS = 1000;

/** The windows of one connection, in bytes. */
export class Windows {
  readonly source: string;
  readonly maxReceive: number;
  readonly maxSend: number;
  receive: number;
  /** The whole, or less under pressure. */
  send: number;
  /** Credit that the peer still has from a larger window. */
  owed = 0;
  /** Since the last growth. */
  read = 0;
  usedMs = 0;
  /** The connection has ended: what is still read of it earns nothing. */
  over = false;

  constructor(source: string, maxReceive: number, maxSend: number) {
    this.source = source;
    this.maxReceive = maxReceive;
    this.maxSend = maxSend;
    this.receive = Math.min(FIRST_WINDOW_BYTES, maxReceive);
    this.send = maxSend;
  }

  /** The receive window that it has in any case. */
  get first(): number {
    return Math.min(FIRST_WINDOW_BYTES, this.maxReceive);
  }

  /** What the peer may send beyond that. */
  get growth(): number {
    return this.receive + this.owed - this.first;
  }
}

/** What the connections of one source have beyond the first windows. */
interface Source {
  growth: number;
  /** Those that have more, or could not get it. Bounded by the connections. */
  readonly members: Set<Windows>;
  /** While one of them has far less than its even part: how much that is, and until when no other grows beyond it. */
  even: number;
  evenUntilMs: Millis;
}

const isIdle = ({ usedMs }: Windows, nowMs: Millis): boolean => nowMs - usedMs >= IDLE_MS;

/** The budget of one endpoint. */
export class WindowBudget {
  readonly #maxBytes: number;
  readonly #elsewhere: () => number;
  readonly #apply: (windows: Windows) => void;
  /** Sources with growth. Bounded by the connections. */
  readonly #sources = new Map<string, Source>();
  #granted = 0;
  /** What each connection may have on its way. */
  #maxSend = Infinity;
  #reclaimedMs = -Infinity;

  /**
   * @param elsewhere - bytes that are held outside of the engine and count as well.
   * @param apply - tells the engine of changed windows.
   */
  constructor(maxBytes: number, elsewhere: () => number, apply: (windows: Windows) => void) {
    this.#maxBytes = maxBytes;
    this.#elsewhere = elsewhere;
    this.#apply = apply;
  }

  /** What is granted beyond the first windows, in bytes. */
  get granted(): number {
    return this.#granted;
  }

  /** A connection begins: it gets a part of what is free, with its first window in the handshake. */
  begin(windows: Windows, nowMs: Millis): void {
    windows.usedMs = nowMs;
    const share = Math.floor(Math.min(this.#free * BEGIN_SHARE, this.#ofSource(windows, BEGIN_SHARE)));
    const bytes = Math.min(windows.maxReceive - windows.receive, share, this.#free - windows.growth);
    if (bytes <= 0) return;
    this.#account(windows, bytes);
    windows.receive += bytes;
  }

  /** It has gone through the handshake: one that got nothing before it does now. */
  open(windows: Windows, nowMs: Millis): void {
    const before = windows.receive;
    if (windows.growth === 0) this.begin(windows, nowMs);
    if (this.pressed || windows.receive !== before) this.#press(windows);
  }

  /** Notes that bytes were read, which is when a receive window may grow. */
  handleRead(windows: Windows, bytes: number, nowMs: Millis): void {
    if (windows.over) return;
    windows.usedMs = nowMs;
    const paid = Math.min(windows.owed, bytes);
    if (paid > 0) {
      windows.owed -= paid;
      this.#account(windows, -paid);
    }
    windows.read += bytes;
    if (windows.read < windows.receive * READ_SHARE || windows.receive >= windows.maxReceive) return;
    windows.read = 0;
    const wanted = Math.min(windows.receive * GROWTH, windows.maxReceive) - windows.receive;
    if (this.#room(windows) < wanted) {
      this.#reclaim(nowMs);
      this.#even(windows, nowMs);
    }
    const more = Math.min(wanted, this.#room(windows), this.#underEven(windows, nowMs));
    if (more < FIRST_WINDOW_BYTES && more < wanted) return;
    this.#account(windows, more);
    windows.receive += more;
    this.#apply(windows);
  }

  /** Whether send windows are reduced. */
  get pressed(): boolean {
    return this.#maxSend !== Infinity;
  }

  /** Sets what each connection may have on its way; `Infinity`: its whole send window. */
  limitSends(bytes: number, all: Iterable<Windows>): void {
    const maxSend = Math.max(FIRST_WINDOW_BYTES, Math.floor(bytes));
    if (maxSend === this.#maxSend) return;
    this.#maxSend = maxSend;
    for (const windows of all) this.#press(windows);
  }

  /** The connection is over. */
  forget(windows: Windows): void {
    const { growth } = windows;
    windows.receive = windows.first;
    windows.owed = 0;
    windows.over = true;
    if (growth > 0) this.#account(windows, -growth);
    const source = this.#sources.get(windows.source);
    source?.members.delete(windows);
    if (source?.members.size === 0) this.#sources.delete(windows.source);
  }

  get #free(): number {
    return this.#maxBytes - this.#granted - this.#elsewhere();
  }

  #press(windows: Windows): void {
    windows.send = Math.min(this.#maxSend, windows.maxSend);
    this.#apply(windows);
  }

  /**
   * What a connection may have more: at most half of what is free, and its part of what is left for its source. Where its source has
   * others, no more than leaves an even part for one more connection of that source, because granted credit cannot be revoked.
   */
  #room(windows: Windows): number {
    const room = Math.min(this.#free - windows.growth, Math.floor(this.#ofSource(windows, GROW_SHARE)));
    const members = this.#sources.get(windows.source)?.members;
    const count = (members?.size ?? 0) + (members?.has(windows) === true ? 0 : 1);
    if (count === 1) return room;
    const even = Math.floor((this.#maxBytes * SOURCE_SHARE) / (count + 1));
    return Math.min(room, Math.max(even - windows.growth, 0));
  }

  /** What is left for the source of a connection, or the part of it if others of that source have some. */
  #ofSource(windows: Windows, part: number): number {
    const source = this.#sources.get(windows.source);
    const left = this.#maxBytes * SOURCE_SHARE - (source?.growth ?? 0);
    const others = (source?.members.size ?? 0) - (source?.members.has(windows) === true ? 1 : 0);
    return others > 0 ? left * part : left;
  }

  /** Counts what a connection has got, or given back. */
  #account(windows: Windows, bytes: number): void {
    let source = this.#sources.get(windows.source);
    if (source === undefined)
      this.#sources.set(windows.source, (source = { growth: 0, members: new Set(), even: 0, evenUntilMs: -Infinity }));
    this.#granted += bytes;
    source.growth += bytes;
    if (bytes > 0) source.members.add(windows);
  }

  /** How much a connection may grow while others of its source have less than their part. */
  #underEven(windows: Windows, nowMs: Millis): number {
    const source = this.#sources.get(windows.source);
    return source === undefined || nowMs >= source.evenUntilMs ? Infinity : Math.max(source.even - windows.growth, 0);
  }

  /** Takes back windows that are not used. */
  #reclaim(nowMs: Millis): void {
    if (nowMs - this.#reclaimedMs < RECLAIM_MS) return;
    this.#reclaimedMs = nowMs;
    for (const { members } of this.#sources.values()) {
      for (const windows of members) if (isIdle(windows, nowMs)) this.#shrink(windows, windows.first);
    }
  }

  /** Takes back what others of its source have beyond their even part, where `windows` has far less than its own. */
  #even(windows: Windows, nowMs: Millis): void {
    const source = this.#sources.get(windows.source);
    if (source === undefined || nowMs < source.evenUntilMs - RECLAIM_MS) return;
    source.members.add(windows);
    const used = [...source.members].filter((member) => !isIdle(member, nowMs));
    const even = Math.floor((this.#maxBytes * SOURCE_SHARE) / used.length);
    if (windows.growth >= even * FAR_LESS) return;
    source.even = even;
    source.evenUntilMs = nowMs + 2 * RECLAIM_MS;
    for (const other of used) this.#shrink(other, other.first + even);
  }

  /** The credit that the peer has beyond `bytes` is not renewed when it is used up. */
  #shrink(windows: Windows, bytes: number): void {
    const receive = Math.max(windows.first, bytes - windows.owed);
    if (receive >= windows.receive) return;
    windows.owed += windows.receive - receive;
    windows.receive = receive;
    windows.read = 0;
    this.#apply(windows);
  }
}
