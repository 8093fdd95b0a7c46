/** Where a peer cache is kept. */

/** A user's place for the bytes of a cache: a database, a browser's storage, memory in tests. */
export interface PeerCacheStore {
  /** What was saved last; `undefined` when nothing was. */
  load(): Promise<Uint8Array | undefined>;
  /** Replaces what was saved, as a whole or not at all. `bytes` belong to the store. */
  save(bytes: Uint8Array): Promise<void>;
}

/** A store as the cache uses it: a user's, or a file. */
export interface CacheBackend {
  /** For messages: a path. */
  readonly name: string;
  load(): Promise<Uint8Array | undefined>;
  /** Replaces what is saved by what `change` makes of it. No other process saves meanwhile, where that can be known. */
  update(change: (saved: Uint8Array | undefined) => Uint8Array): Promise<void>;
  /**
   * Keeps what `load` gave, which is no cache, under another name, of which there is a bounded number.
   *
   * @returns the name; `undefined` where that is not possible.
   */
  setAside(): Promise<string | undefined>;
  /** Claims the part of a network for this cache. @returns false while another process has it */
  claim(networkName: string): Promise<boolean>;
  /** Gives the claim up. Never rejects. */
  release(): Promise<void>;
}

/** A user's store: it belongs to one cache, and keeps nothing aside. */
export function backendOf(store: PeerCacheStore): CacheBackend {
  return {
    name: 'the store',
    load: () => store.load(),
    update: async (change) => store.save(change(await store.load())),
    setAside: () => Promise.resolve(undefined),
    claim: () => Promise.resolve(true),
    release: () => Promise.resolve(),
  };
}
