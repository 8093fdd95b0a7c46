/** A cache of peers that can be dialled, for the next start: over a file, or a store of the user. */

import { describeValue, assertFunction, assertString, quantity, wholeNumber } from '../base/checks.ts';
import type { Candidate, CandidateSource, FailedCandidate, ReachedCandidate } from '../core/candidate.ts';
import type { PeerId } from '../core/peer-id.ts';
import { assertRealm, type Realm, type Timer } from '../core/realm.ts';
import { CLOSE_DEADLINE_MS } from '../runtime/close-latch.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import { Waits } from '../runtime/waits.ts';
import { cacheFile } from '#cache-file';
import {
  type CachedNetwork,
  type CacheFormatFault,
  decodeCache,
  encodeCache,
  isAddrText,
  isNetworkName,
  MAX_CACHED_PEERS,
} from './cache-format.ts';
import { backendOf, type CacheBackend, type PeerCacheStore } from './cache-store.ts';
import { type CachedPeer, PeerScores } from './peer-scores.ts';

/**
 * What may go wrong with a cache, none of which loses what is in memory:
 *
 * | code | meaning |
 * | --- | --- |
 * | `corrupt` | what was saved is no cache; a file is kept aside, as `<file>.corrupt-1` to `-4` |
 * | `version` | a later release saved it: it stays as it is, and nothing is saved |
 * | `unreadable` | it cannot be read |
 * | `unwritable` | it cannot be saved, for example on a full disk; tried again every half minute |
 * | `in_use` | another process has the cache of this network name; this one reads only, until that one has ended |
 */
export type PeerCacheFaultCode = CacheFormatFault | 'unreadable' | 'unwritable' | 'in_use';

/** A fault of a cache. */
export interface PeerCacheFault {
  readonly code: PeerCacheFaultCode;
  /** A sentence. */
  readonly text: string;
  /** The file that holds what was no cache. */
  readonly keptAs?: string | undefined;
  readonly cause?: unknown;
}

/** Options of {@link openPeerCache}: `path` or `store`, not both. */
export interface PeerCacheOptions {
  /** A file. The cache makes it when it does not exist, and its folder too. */
  readonly path?: string | undefined;
  /** A place of one's own for the bytes; it belongs to one cache at a time. */
  readonly store?: PeerCacheStore | undefined;
  /** Networks that share a file do not see each other's peers. 1 to 255 bytes of UTF-8. */
  readonly networkName: string;
  /** Peers that are kept, at most 4096; a full cache drops the worst of the prefix (/24, /64) with the most. @default 200 */
  readonly maxPeers?: number | undefined;
  /** How long after a change it is saved. @default 2000 */
  readonly saveAfterMs?: number | undefined;
  /** @default the system realm. With a virtual clock use a store: files are read and written in real time. */
  readonly realm?: Realm | undefined;
  /** Called for each fault; for one that lasts, once. Must not throw. */
  readonly onFault?: ((fault: PeerCacheFault) => void) | undefined;
}

/** A cache of peers, as a source of candidates. Closing it saves. */
export interface PeerCache extends CandidateSource, AsyncDisposable {
  /** What is known, best first, with the kind of proof and its time. */
  readonly peers: readonly CachedPeer[];
  /** Whether another process has the cache: nothing is saved then. */
  readonly isReadOnly: boolean;
  /** The addresses of a peer, best first; without one, of all peers, mixed so that no prefix (/24, /64) stands first alone. */
  candidates(id?: PeerId): readonly Candidate[];
  /** Takes a peer in when `proof` says that its address can be dialled. */
  reached(outcome: ReachedCandidate): void;
  /** Lowers the score of an address, at most once an hour. An address where another peer is now is removed. */
  failed(outcome: FailedCandidate): void;
  /** Removes a peer. */
  forget(id: PeerId): boolean;
  /** Saves now. @returns whether everything is saved. Never rejects: faults are reported. */
  save(): Promise<boolean>;
  /** Saves, and lets another process have the cache. Ends within a second. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** The time limit of a call to a store. */
const STORE_TIMEOUT_MS = 10_000;
const RETRY_MS = 30_000;

/**
 * Opens a cache. A cache that cannot be read is empty, and says why; it never keeps a program from starting.
 *
 * @throws {TypeError | RangeError} (by rejection) for invalid options, and for nothing else.
 */
export async function openPeerCache(options: PeerCacheOptions): Promise<PeerCache> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const cache = new Cache(options);
  await cache.open();
  return cache;
}

class Cache implements PeerCache {
  readonly #realm: Realm;
  readonly #backend: CacheBackend;
  readonly #networkName: string;
  readonly #saveAfterMs: number;
  readonly #onFault: ((fault: PeerCacheFault) => void) | undefined;
  readonly #scores: PeerScores;
  readonly #waits: Waits;
  /** Faults that last: reported once. Bounded by the codes. */
  readonly #lasting = new Set<PeerCacheFaultCode>();
  #isReadOnly = true;
  /** What is saved is no cache, and that was reported. */
  #isDamaged = false;
  /** Counts changes; those up to `#saved` are saved. */
  #changes = 0;
  #saved = 0;
  #saving: Promise<boolean> | undefined;
  #timer: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: PeerCacheOptions) {
    const { path, store, networkName, realm = systemRealm, onFault } = options;
    assertRealm(realm);
    if (onFault !== undefined) assertFunction(onFault, 'onFault');
    if (!isNetworkName(networkName)) {
      throw new TypeError(
        `Cannot take networkName: expected 1 to 255 bytes of text, got ${describeValue(networkName)}`,
      );
    }
    if ((path === undefined) === (store === undefined))
      throw new TypeError('Cannot open a cache: give a path or a store');
    if (path !== undefined) assertString(path, 'path');
    if (path === '') throw new TypeError('Cannot take path: expected the name of a file, got ""');
    for (const verb of store === undefined ? [] : (['load', 'save'] as const)) {
      assertFunction(Reflect.get(Object(store), verb), `store.${verb}`);
    }
    this.#realm = realm;
    this.#backend = store === undefined ? cacheFile(path!) : backendOf(store);
    this.#networkName = networkName;
    this.#saveAfterMs = quantity(options.saveAfterMs, 'saveAfterMs', 2000, 0, 3_600_000);
    this.#onFault = onFault;
    this.#scores = new PeerScores(wholeNumber(options.maxPeers, 'maxPeers', 200, 1, MAX_CACHED_PEERS));
    this.#waits = new Waits(realm);
  }

  get peers(): readonly CachedPeer[] {
    return this.#scores.list(this.#wallMs());
  }

  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  async open(): Promise<void> {
    const isClaimed = await this.#claim();
    await this.#read();
    // What another process has is looked at again later, and so is a folder that cannot be written.
    if (!isClaimed) this.#arm(RETRY_MS);
  }

  candidates(id?: PeerId): readonly Candidate[] {
    return this.#scores.candidates(this.#wallMs(), id);
  }

  reached(outcome: ReachedCandidate): void {
    if (!isAddrText(outcome.id, outcome.addr)) return;
    if (this.#scores.reached(this.#wallMs(), outcome)) this.#changed();
  }

  failed(outcome: FailedCandidate): void {
    if (this.#scores.failed(this.#wallMs(), outcome)) this.#changed();
  }

  forget(id: PeerId): boolean {
    const isKnown = this.#scores.delete(id);
    if (isKnown) this.#changed();
    return isKnown;
  }

  save(): Promise<boolean> {
    this.#saving ??= this.#saveAll().finally(() => (this.#saving = undefined));
    return this.#saving;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #wallMs(): number {
    return Math.floor(this.#realm.wallMs());
  }

  async #end(): Promise<void> {
    this.#timer?.cancel();
    const call = { what: () => `save ${this.#backend.name}`, defaultTimeoutMs: CLOSE_DEADLINE_MS };
    const saved = async (): Promise<void> => {
      if (this.#changes > this.#saved) await this.save();
      await this.#backend.release();
    };
    await this.#waits.wait<void>(call, (wait) => void saved().then(wait.resolve, wait.reject)).catch(() => undefined);
    this.#waits.close();
  }

  #changed(): void {
    this.#changes++;
    this.#arm(this.#saveAfterMs);
  }

  #arm(afterMs: number): void {
    if (this.#timer !== undefined || this.#closing !== undefined) return;
    const due = (): void => {
      this.#timer = undefined;
      void this.save();
    };
    this.#timer = clockOf(this.#realm).setTimer(this.#realm.nowMs() + afterMs, due, { background: true });
  }

  /** Never rejects. */
  async #saveAll(): Promise<boolean> {
    while (this.#isReadOnly || this.#changes > this.#saved) {
      if (this.#isReadOnly) {
        if (!(await this.#claim())) break;
        await this.#read(); // What the other process has saved since.
        continue;
      }
      const changes = this.#changes;
      const wallMs = this.#wallMs();
      const own: CachedNetwork = { name: this.#networkName, savedMs: wallMs, peers: this.#scores.list(wallMs) };
      let damage: CacheFormatFault | undefined;
      const change = (saved: Uint8Array | undefined): Uint8Array => {
        const others = saved === undefined ? [] : decodeCache(saved);
        damage = typeof others === 'string' && (others === 'version' || !this.#isDamaged) ? others : undefined;
        if (damage !== undefined) throw new Error('What was saved is no cache');
        return encodeCache(typeof others === 'string' ? [] : others, own);
      };
      try {
        await this.#call('save', () => this.#backend.update(change));
      } catch (cause) {
        if (damage !== undefined && (await this.#setAside(damage))) continue;
        const text = `Cannot save the cache to ${this.#backend.name}; its peers stay in memory`;
        if (damage === undefined) this.#fault({ code: 'unwritable', text, cause });
        break;
      }
      this.#isDamaged = false;
      this.#saved = changes;
      this.#lasting.delete('unwritable');
    }
    const isSaved = this.#changes === this.#saved;
    if (this.#isReadOnly || !isSaved) this.#arm(RETRY_MS);
    return isSaved;
  }

  /** @returns whether this cache may save. Never rejects. */
  async #claim(): Promise<boolean> {
    try {
      this.#isReadOnly = !(await this.#call('claim', () => this.#backend.claim(this.#networkName)));
    } catch (cause) {
      this.#fault({ code: 'unwritable', text: `Cannot lock the cache in ${this.#backend.name}`, cause });
      return false;
    }
    if (this.#isReadOnly) {
      const text = `Another process has the cache in ${this.#backend.name}: nothing is saved while it runs`;
      this.#fault({ code: 'in_use', text });
    } else for (const code of ['in_use', 'unwritable'] as const) this.#lasting.delete(code);
    return !this.#isReadOnly;
  }

  /** Takes in what is saved. Never rejects. */
  async #read(): Promise<void> {
    const { name } = this.#backend;
    let bytes: Uint8Array | undefined;
    try {
      bytes = await this.#call('read', () => this.#backend.load());
    } catch (cause) {
      this.#fault({ code: 'unreadable', text: `Cannot read the cache in ${name}`, cause });
      return;
    }
    if (bytes === undefined) return;
    const networks = bytes instanceof Uint8Array ? decodeCache(bytes) : 'corrupt';
    if (typeof networks === 'string') await this.#setAside(networks);
    else {
      const own = networks.find((each) => each.name === this.#networkName);
      this.#scores.add(this.#wallMs(), own?.peers ?? []);
    }
  }

  /** @returns whether it may be replaced now. Never rejects. */
  async #setAside(code: CacheFormatFault): Promise<boolean> {
    const { name } = this.#backend;
    if (code === 'version') {
      this.#fault({
        code,
        text: `A later release saved the cache in ${name}: it stays as it is, and nothing is saved`,
      });
      return false;
    }
    let keptAs: string | undefined;
    try {
      if (!this.#isReadOnly) keptAs = await this.#call('keep', () => this.#backend.setAside());
    } catch (cause) {
      this.#fault({ code, text: `The cache in ${name} is damaged, and cannot be kept under another name`, cause });
      return false;
    }
    const kept = keptAs === undefined ? 'it is not used' : `it is kept as ${keptAs}`;
    this.#fault({ code, text: `The cache in ${name} is damaged; ${kept}`, keptAs });
    this.#isDamaged = !this.#isReadOnly;
    return this.#isDamaged;
  }

  #call<T>(verb: string, act: () => Promise<T>): Promise<T> {
    const what = (): string => `${verb} ${this.#backend.name}`;
    return this.#waits.wait<T>({ what, defaultTimeoutMs: STORE_TIMEOUT_MS }, (wait) => {
      act().then(wait.resolve, wait.reject);
    });
  }

  #fault(fault: PeerCacheFault): void {
    if (fault.code !== 'corrupt' && fault.code !== 'unreadable') {
      if (this.#lasting.has(fault.code)) return;
      this.#lasting.add(fault.code);
    }
    try {
      this.#onFault?.(fault);
    } catch (cause) {
      this.#realm.trace?.({ layer: 'cache', type: 'handler_error', atMs: this.#realm.nowMs(), cause });
    }
  }
}
