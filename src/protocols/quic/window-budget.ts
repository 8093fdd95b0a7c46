/**
 * Flow control windows, granted from one budget, so that peers whose data nobody reads fill little memory, however many they
 * are. A connection has a small window for certain, more of it while there is plenty, and yet more as it is read.
 */

/** What every connection has in each direction without asking: half of a first flight (RFC 9002 §7.2: 14 720 bytes). */
export const FIRST_WINDOW_BYTES = 8192;
/** A window that is used grows by as much. */
const GROWTH = 4;
/** A receive window grows when so much of it has been read since it last did. */
const READ_SHARE = 1 / 2;
/** The part of what is free that a new connection gets. */
const BEGIN_SHARE = 1 / 4;
/** The part of the budget that the connections of one source may have. */
const SOURCE_SHARE = 1 / 2;
/** A connection that has read nothing for so long gives its growth back under pressure. */
const IDLE_MS = 5000;
/** Pressure is looked for at most so often. */
const RECLAIM_MS = 1000;

/** The windows of one connection, in bytes. */
export class Windows {
  readonly source: string;
  readonly maxReceive: number;
  readonly maxSend: number;
  receive: number;
  /** The whole, or the first window under pressure. */
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

/** The budget of one endpoint. */
export class WindowBudget {
  readonly #maxBytes: number;
  readonly #elsewhere: () => number;
  readonly #apply: (windows: Windows) => void;
  /** Connections that have more than the first windows. Bounded by the connections. */
  readonly #grown = new Set<Windows>();
  /** Growth by source. Bounded by the same. */
  readonly #bySource = new Map<string, number>();
  #granted = 0;
  #pressed = false;
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
  begin(windows: Windows, nowMs: number): void {
    windows.usedMs = nowMs;
    const share = Math.floor(this.#free * BEGIN_SHARE);
    const bytes = Math.min(windows.maxReceive - windows.receive, share, this.#room(windows));
    if (bytes <= 0) return;
    this.#account(windows, bytes);
    windows.receive += bytes;
  }

  /** It has gone through the handshake: one that got nothing before it does now. */
  open(windows: Windows, nowMs: number): void {
    const before = windows.receive;
    if (windows.growth === 0) this.begin(windows, nowMs);
    if (this.#pressed || windows.receive !== before) this.#press(windows);
  }

  /** Notes that bytes were read, which is when a receive window may grow. */
  handleRead(windows: Windows, bytes: number, nowMs: number): void {
    if (windows.over) return;
    windows.usedMs = nowMs;
    const paid = Math.min(windows.owed, bytes);
    if (paid > 0) {
      windows.owed -= paid;
      this.#account(windows, -paid);
      if (windows.growth === 0) this.#grown.delete(windows);
    }
    windows.read += bytes;
    if (windows.read < windows.receive * READ_SHARE || windows.receive >= windows.maxReceive) return;
    windows.read = 0;
    const wanted = Math.min(windows.receive * GROWTH, windows.maxReceive) - windows.receive;
    if (this.#room(windows) < wanted) this.#reclaim(nowMs);
    const more = Math.min(wanted, this.#room(windows));
    if (more < FIRST_WINDOW_BYTES && more < wanted) return;
    this.#account(windows, more);
    windows.receive += more;
    this.#apply(windows);
  }

  /** Whether send windows are the first ones. */
  get pressed(): boolean {
    return this.#pressed;
  }

  /** Sets the send windows of all: whole ones, or the first ones under pressure. */
  setPressure(pressed: boolean, all: Iterable<Windows>): void {
    if (pressed === this.#pressed) return;
    this.#pressed = pressed;
    for (const windows of all) this.#press(windows);
  }

  /** The connection is over. */
  forget(windows: Windows): void {
    if (this.#grown.has(windows)) this.#account(windows, -windows.growth);
    windows.receive = windows.first;
    windows.owed = 0;
    windows.over = true;
    this.#grown.delete(windows);
  }

  get #free(): number {
    return this.#maxBytes - this.#granted - this.#elsewhere();
  }

  #press(windows: Windows): void {
    windows.send = this.#pressed ? Math.min(FIRST_WINDOW_BYTES, windows.maxSend) : windows.maxSend;
    this.#apply(windows);
  }

  /** What a connection may have more: all of it as much as is left for all others, all of a source its share. */
  #room(windows: Windows): number {
    const ofSource = this.#bySource.get(windows.source) ?? 0;
    return Math.min(this.#free - windows.growth, this.#maxBytes * SOURCE_SHARE - ofSource);
  }

  #account(windows: Windows, bytes: number): void {
    this.#granted += bytes;
    const ofSource = (this.#bySource.get(windows.source) ?? 0) + bytes;
    if (ofSource > 0) this.#bySource.set(windows.source, ofSource);
    else this.#bySource.delete(windows.source);
    if (bytes > 0) this.#grown.add(windows);
  }

  /** Takes windows back that are not used: the credit that the peer has is not renewed until it is used up. */
  #reclaim(nowMs: number): void {
    if (nowMs - this.#reclaimedMs < RECLAIM_MS) return;
    this.#reclaimedMs = nowMs;
    for (const windows of this.#grown) {
      if (nowMs - windows.usedMs < IDLE_MS || windows.receive === windows.first) continue;
      windows.owed += windows.receive - windows.first;
      windows.receive = windows.first;
      windows.read = 0;
      this.#apply(windows);
    }
  }
}
