/**
 * Who may connect: an allow list, a deny list and bans, of PeerIDs, IPs and prefixes. They are live: a change is reported, and its owner
 * checks the connections that exist.
 *
 * A ban and the deny list come before the allow list. An allow list with entries admits nobody else.
 */

import { describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { SourceShares } from '../base/source-shares.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { PeerKind } from '../protocols/peers/hello.ts';
import { type ListTarget, TargetIndex, targetOf } from './target-index.ts';

/** An entry of the allow list or the deny list. */
export interface ListEntry {
  /** A PeerID, an IP, or a prefix such as `10.0.0.0/8` or `2001:db8::/32`. */
  readonly target: string;
  /** The peers that it is about. @default 'both' */
  readonly kind?: PeerKind | 'both' | undefined;
  /** Is part of the verdict. @default none */
  readonly reason?: string | undefined;
}

/** A ban as plain data. */
export interface BanEntry {
  readonly target: string;
  /** @default 'banned' */
  readonly reason?: string | undefined;
  /** When it ends, in ms since the Unix epoch; absent: when it is lifted. */
  readonly untilMs?: number | undefined;
  /** Whether the program made it, or a policy for attacks. @default 'program' */
  readonly by?: 'program' | 'policy' | undefined;
}

/** The lists as plain data, as in a JSON file. An entry may be its target alone. */
export interface ListsData {
  readonly allow?: readonly (string | ListEntry)[] | undefined;
  readonly deny?: readonly (string | ListEntry)[] | undefined;
  readonly bans?: readonly BanEntry[] | undefined;
}

/** The lists as plain data, complete. */
export interface ListsSnapshot {
  readonly allow: readonly ListEntry[];
  readonly deny: readonly ListEntry[];
  readonly bans: readonly BanEntry[];
}

/** Whom a verdict is about; what is not known yet is left out. */
export interface ListSubject {
  readonly id?: PeerId | undefined;
  readonly ip?: string | undefined;
  readonly kind?: PeerKind | undefined;
}

/** A verdict. */
export interface ListVerdict {
  readonly isAllowed: boolean;
  /** `undecided`: allowed so far, since it depends on something that is not known yet. Ask again when it is. */
  readonly rule: 'banned' | 'denied' | 'not_listed' | 'listed' | 'default' | 'undecided';
  /** A sentence. */
  readonly reason: string;
}

/** What has changed, by canonical targets. */
export interface ListChange {
  readonly list: 'allow' | 'deny' | 'bans';
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** How a ban is made. */
export interface BanOptions {
  /** Is part of the verdict. @default 'banned' */
  readonly reason?: string | undefined;
  /** @default Infinity: until it is lifted */
  readonly forMs?: number | undefined;
  /** Bans of a policy make room for those of the program. @default 'program' */
  readonly by?: 'program' | 'policy' | undefined;
  /** The IP from which a banned PeerID came: bans of a policy are shared out by network. @default the target */
  readonly host?: string | undefined;
}

/** Bounds of the lists. */
export interface ListsOptions {
  /** The clocks, for bans that end. */
  readonly realm: Pick<Realm, 'nowMs' | 'wallMs'>;
  /** Entries of the allow list, and of the deny list. @default 65_536 */
  readonly maxEntries?: number | undefined;
  /** @default 16_384 */
  readonly maxBans?: number | undefined;
  /** Called after each change, once for each list. Must not throw. */
  readonly onChange?: ((change: ListChange) => void) | undefined;
}

const MAX_REASON_CHARACTERS = 256;
const MASKS: Readonly<Record<PeerKind | 'both', number>> = { node: 1, client: 2, both: 3 };

interface Listed {
  readonly target: ListTarget;
  readonly kind: PeerKind | 'both';
  readonly reason: string | undefined;
}

interface Ban {
  readonly target: ListTarget;
  readonly reason: string;
  /** In realm time; Infinity: until it is lifted. */
  readonly untilMs: number;
  readonly by: 'program' | 'policy';
}

/** An allow list, a deny list and bans. */
export class PeerLists {
  /** Called after each change, once for each list. Must not throw. */
  onChange: ((change: ListChange) => void) | undefined;
  readonly #options: ListsOptions;
  readonly #maxEntries: number;
  readonly #maxBans: number;
  /** Bounded by `maxEntries`: more are refused. */
  #allow = new TargetIndex<Listed>();
  /** Bounded by `maxEntries`: more are refused. */
  #deny = new TargetIndex<Listed>();
  /** Bounded by `maxBans`: one of a policy makes room, with a share per network, else the one that ends first. */
  #bans = new TargetIndex<Ban>();
  /** The bans of policies. Bounded by the bans. */
  readonly #byPolicy = new SourceShares<string>();

  /** @throws {TypeError | RangeError} for options out of bounds. */
  constructor(options: ListsOptions) {
    this.#options = options;
    this.onChange = options.onChange;
    this.#maxEntries = wholeNumber(options.maxEntries, 'maxEntries', 65_536, 1, 2 ** 20);
    this.#maxBans = wholeNumber(options.maxBans, 'maxBans', 16_384, 1, 2 ** 20);
  }

  /**
   * Adds to the allow list.
   *
   * @throws {TypeError | RangeError} for a text that is not a target, and when the list would be too long; nothing is changed then.
   */
  allow(entries: string | ListEntry | readonly (string | ListEntry)[]): void {
    this.#add('allow', entries);
  }

  /** Adds to the deny list. @throws {TypeError | RangeError} as {@link PeerLists.allow} */
  deny(entries: string | ListEntry | readonly (string | ListEntry)[]): void {
    this.#add('deny', entries);
  }

  /** Takes targets off a list. @returns how many were on it */
  remove(list: 'allow' | 'deny', targets: string | readonly string[]): number {
    const index = list === 'allow' ? this.#allow : this.#deny;
    const parsed = manyOf(targets).map((target, i) => targetOf(target, `${list}[${i}]`));
    const removed = parsed.filter((target) => index.delete(target)).map(({ text }) => text);
    this.#changed({ list, added: [], removed });
    return removed.length;
  }

  /**
   * Bans peers, IPs or networks. A ban that exists gets the new reason and end.
   *
   * @throws {TypeError | RangeError} for a text that is not a target; nothing is banned then.
   */
  ban(targets: string | readonly string[], options: BanOptions = {}): void {
    const { reason = 'banned', by = 'program', host } = options;
    const forMs = quantity(options.forMs, 'forMs', Infinity, 0, Infinity);
    checkReason(reason, 'reason');
    const parsed = manyOf(targets).map((target, i) => targetOf(target, `targets[${i}]`));
    const untilMs = this.#options.realm.nowMs() + forMs;
    const removed: string[] = [];
    for (const target of parsed) removed.push(...this.#setBan({ target, reason, untilMs, by }, host));
    this.#changed({ list: 'bans', added: parsed.map(({ text }) => text), removed });
  }

  /** Lifts bans. @returns how many there were */
  unban(targets: string | readonly string[]): number {
    const parsed = manyOf(targets).map((target, i) => targetOf(target, `targets[${i}]`));
    const removed = parsed.filter((target) => this.#lift(target)).map(({ text }) => text);
    this.#changed({ list: 'bans', added: [], removed });
    return removed.length;
  }

  /** Whether a peer may connect, or be dialled, as far as that is known. Cheap: it is asked for every connection. */
  decide({ id, ip, kind }: ListSubject): ListVerdict {
    const mask = kind === undefined ? 0 : MASKS[kind];
    const ban = this.#findBan(id, ip);
    if (ban !== undefined) return refusal('banned', `${ban.target.text} is banned: ${ban.reason}`);
    // Without a kind, only an entry for both kinds decides.
    const denied = find(this.#deny, id, ip, (each) => (MASKS[each.kind] & mask) !== 0 || each.kind === 'both');
    if (denied !== undefined) return refusal('denied', `the deny list has ${sentence(denied)}`);
    return this.#decideByAllowList(id, ip, mask);
  }

  /** The lists as plain data; what `replace` takes. */
  snapshot(): ListsSnapshot {
    const { realm } = this.#options;
    const shiftMs = realm.wallMs() - realm.nowMs();
    this.#sweep();
    return {
      allow: [...this.#allow.values()].map(plain),
      deny: [...this.#deny.values()].map(plain),
      bans: [...this.#bans.values()].map(({ target, reason, untilMs, by }) => ({
        target: target.text,
        reason,
        ...(untilMs === Infinity ? {} : { untilMs: Math.round(untilMs + shiftMs) }),
        by,
      })),
    };
  }

  /**
   * Replaces the lists that are given, and leaves the others. All is checked before anything is changed.
   *
   * @param label - for messages: `lists` gives `lists.deny[3].target`.
   * @throws {TypeError | RangeError} for data that is not valid, with the path of the fault.
   */
  replace(data: ListsData, label = 'lists'): void {
    assertData(data, label);
    const allow = data.allow === undefined ? undefined : this.#read(data.allow, `${label}.allow`);
    const deny = data.deny === undefined ? undefined : this.#read(data.deny, `${label}.deny`);
    const bans = data.bans === undefined ? undefined : this.#readBans(data.bans, `${label}.bans`);
    for (const [list, entries] of [
      ['allow', allow],
      ['deny', deny],
    ] as const) {
      if (entries === undefined) continue;
      const before = list === 'allow' ? this.#allow : this.#deny;
      const fresh = new TargetIndex<Listed>();
      for (const entry of entries) fresh.set(entry.target, entry);
      if (list === 'allow') this.#allow = fresh;
      else this.#deny = fresh;
      this.#changed({ list, ...differences(before, fresh) });
    }
    if (bans === undefined) return;
    const before = this.#bans;
    this.#bans = new TargetIndex<Ban>();
    this.#byPolicy.clear();
    for (const ban of bans) this.#setBan(ban);
    this.#changed({ list: 'bans', ...differences(before, this.#bans) });
  }

  #decideByAllowList(id: PeerId | undefined, ip: string | undefined, mask: number): ListVerdict {
    const list = this.#allow;
    if (list.size === 0) return { isAllowed: true, rule: 'default', reason: 'no list has it' };
    const listed = find(list, id, ip, (each) => mask === 0 || (MASKS[each.kind] & mask) !== 0);
    // Only a known kind shows whether an entry is about this peer.
    if (listed !== undefined && (mask !== 0 || listed.kind === 'both')) {
      return { isAllowed: true, rule: 'listed', reason: `the allow list has ${sentence(listed)}` };
    }
    if (listed !== undefined) return undecided('its kind is not known yet');
    const mayCome = [
      ...(id === undefined && list.peers > 0 ? ['key'] : []),
      ...(ip === undefined && list.networks > 0 ? ['IP'] : []),
    ];
    if (mayCome.length > 0) return undecided(`its ${mayCome.join(' and ')} may be on the allow list`);
    return refusal('not_listed', 'it is not on the allow list');
  }

  #add(list: 'allow' | 'deny', entries: string | ListEntry | readonly (string | ListEntry)[]): void {
    const read = this.#read(manyOf(entries), list);
    const index = list === 'allow' ? this.#allow : this.#deny;
    const fresh = new Set(
      read.filter(({ target }) => index.get(target) === undefined).map(({ target }) => target.text),
    );
    if (index.size + fresh.size > this.#maxEntries) {
      throw new RangeError(
        `Cannot add to the ${list} list: it would have ${index.size + fresh.size} entries, ${this.#maxEntries} is the most`,
      );
    }
    for (const entry of read) index.set(entry.target, entry);
    this.#changed({ list, added: read.map(({ target }) => target.text), removed: [] });
  }

  #read(entries: readonly (string | ListEntry)[], label: string): readonly Listed[] {
    assertList(entries, label, this.#maxEntries);
    return entries.map((entry, i) => {
      const where = `${label}[${i}]`;
      const { target, kind = 'both', reason } = typeof entry === 'string' ? { target: entry } : objectOf(entry, where);
      if (MASKS[kind] === undefined || !Object.hasOwn(MASKS, kind)) {
        throw new TypeError(
          `Cannot take ${where}.kind: expected 'node', 'client' or 'both', got ${describeValue(kind)}`,
        );
      }
      if (reason !== undefined) checkReason(reason, `${where}.reason`);
      return { target: targetOf(target, typeof entry === 'string' ? where : `${where}.target`), kind, reason };
    });
  }

  #readBans(bans: readonly BanEntry[], label: string): readonly Ban[] {
    assertList(bans, label, this.#maxBans);
    const { realm } = this.#options;
    const [nowMs, wallMs] = [realm.nowMs(), realm.wallMs()];
    const read = bans.map((entry, i): Ban => {
      const where = `${label}[${i}]`;
      const { target, reason = 'banned', untilMs, by = 'program' } = objectOf(entry, where);
      checkReason(reason, `${where}.reason`);
      if (by !== 'program' && by !== 'policy') {
        throw new TypeError(`Cannot take ${where}.by: expected 'program' or 'policy', got ${describeValue(by)}`);
      }
      const endMs = quantity(untilMs, `${where}.untilMs`, Infinity, -Infinity, Infinity);
      return { target: targetOf(target, `${where}.target`), reason, untilMs: nowMs + (endMs - wallMs), by };
    });
    return read.filter(({ untilMs }) => untilMs > nowMs);
  }

  /** @returns the targets of bans that made room. */
  #setBan(ban: Ban, host?: string): readonly string[] {
    const removed: string[] = [];
    const before = this.#bans.get(ban.target);
    // A policy does not shorten what the program decided.
    if (before?.by === 'program' && ban.by === 'policy' && before.untilMs >= ban.untilMs) return removed;
    const from = host ?? hostOf(ban.target);
    if (before === undefined) {
      if (this.#bans.size >= this.#maxBans) this.#sweep();
      while (this.#bans.size >= this.#maxBans) {
        const victim = this.#victimFor(from);
        this.#lift(victim);
        removed.push(victim.text);
      }
    }
    this.#bans.set(ban.target, ban);
    this.#byPolicy.delete(ban.target.text);
    if (ban.by === 'policy') this.#byPolicy.add(from, ban.target.text);
    return removed;
  }

  #victimFor(host: string): ListTarget {
    const text = this.#byPolicy.victimFor(host, 0);
    if (text !== undefined) return targetOf(text, 'target');
    let first: Ban | undefined;
    for (const ban of this.#bans.values()) if (first === undefined || ban.untilMs < first.untilMs) first = ban;
    return first!.target;
  }

  #lift(target: ListTarget): boolean {
    this.#byPolicy.delete(target.text);
    return this.#bans.delete(target);
  }

  /** Removes bans that have ended. */
  #sweep(): void {
    const nowMs = this.#options.realm.nowMs();
    for (const ban of this.#bans.values()) if (nowMs >= ban.untilMs) this.#lift(ban.target);
  }

  #findBan(id: PeerId | undefined, ip: string | undefined): Ban | undefined {
    if (this.#bans.size === 0) return undefined;
    const nowMs = this.#options.realm.nowMs();
    return find(this.#bans, id, ip, ({ untilMs }) => nowMs < untilMs);
  }

  #changed(change: ListChange): void {
    if (change.added.length > 0 || change.removed.length > 0) this.onChange?.(change);
  }
}

function find<T>(
  index: TargetIndex<T>,
  id: PeerId | undefined,
  ip: string | undefined,
  matches: (entry: T) => boolean,
): T | undefined {
  const ofPeer = id === undefined ? undefined : index.ofPeer(id);
  if (ofPeer !== undefined && matches(ofPeer)) return ofPeer;
  if (ip !== undefined) for (const entry of index.ofIp(ip)) if (matches(entry)) return entry;
  return undefined;
}

const refusal = (rule: 'banned' | 'denied' | 'not_listed', reason: string): ListVerdict => ({
  isAllowed: false,
  rule,
  reason,
});

const undecided = (reason: string): ListVerdict => ({ isAllowed: true, rule: 'undecided', reason });

function sentence({ target, kind, reason }: Listed): string {
  return `${target.text}${kind === 'both' ? '' : ` for each ${kind}`}${reason === undefined ? '' : `: ${reason}`}`;
}

const plain = ({ target, kind, reason }: Listed): ListEntry => ({
  target: target.text,
  kind,
  ...(reason === undefined ? {} : { reason }),
});

/** The network with which a ban is counted. */
function hostOf(target: ListTarget): string {
  return target.type === 'peer' ? target.text : target.text.split('/')[0]!;
}

const manyOf = <T extends string | ListEntry>(one: T | readonly T[]): readonly T[] =>
  Array.isArray(one) ? (one as readonly T[]) : [one as T];

function differences(
  before: TargetIndex<{ readonly target: ListTarget }>,
  after: TargetIndex<{ readonly target: ListTarget }>,
): { readonly added: readonly string[]; readonly removed: readonly string[] } {
  const without = (all: typeof before, others: typeof before): readonly string[] =>
    [...all.values()].filter(({ target }) => others.get(target) === undefined).map(({ target }) => target.text);
  return { added: without(after, before), removed: without(before, after) };
}

function assertData(data: unknown, label: string): void {
  for (const key of Object.keys(objectOf(data, label) as object)) {
    if (!['allow', 'deny', 'bans'].includes(key)) {
      throw new TypeError(`Cannot take ${label}: it has ${describeValue(key)}; expected allow, deny and bans only`);
    }
  }
}

function assertList(value: unknown, label: string, max: number): void {
  if (!Array.isArray(value)) throw new TypeError(`Cannot take ${label}: expected a list, got ${describeValue(value)}`);
  if (value.length > max)
    throw new RangeError(`Cannot take ${label}: it has ${value.length} entries, ${max} is the most`);
}

function objectOf<T>(value: T, label: string): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot take ${label}: expected an object, got ${describeValue(value)}`);
  }
  return value;
}

function checkReason(value: unknown, label: string): void {
  if (typeof value !== 'string') {
    throw new TypeError(`Cannot take ${label}: expected a string, got ${describeValue(value)}`);
  }
  if (value.length > MAX_REASON_CHARACTERS) {
    throw new RangeError(
      `Cannot take ${label}: expected at most ${MAX_REASON_CHARACTERS} characters, got ${value.length}`,
    );
  }
}
