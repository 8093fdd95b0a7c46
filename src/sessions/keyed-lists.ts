/** Values in ordered lists, one list for each key. */

/** Each value is in one list at most. Bounded by its owner. */
export class KeyedLists<K, V> {
  readonly #keys = new Map<V, K>();
  readonly #lists = new Map<K, V[]>();

  /** Values in all lists. */
  get size(): number {
    return this.#keys.size;
  }

  /** Keys that have a list. */
  get lists(): number {
    return this.#lists.size;
  }

  /** All values, in order of insertion. */
  values(): Iterable<V> {
    return this.#keys.keys();
  }

  has(value: V): boolean {
    return this.#keys.has(value);
  }

  first(key: K): V | undefined {
    return this.#lists.get(key)?.[0];
  }

  all(key: K): readonly V[] {
    return this.#lists.get(key) ?? [];
  }

  /** Inserts a value into the list of a key, at `index`. */
  insert(key: K, value: V, index: number): void {
    this.#keys.set(value, key);
    const list = this.#lists.get(key);
    if (list === undefined) this.#lists.set(key, [value]);
    else list.splice(index, 0, value);
  }

  /** @returns whether it was in a list */
  delete(value: V): boolean {
    const key = this.#keys.get(value);
    if (key === undefined) return false;
    this.#keys.delete(value);
    const list = this.#lists.get(key)!;
    list.splice(list.indexOf(value), 1);
    if (list.length === 0) this.#lists.delete(key);
    return true;
  }

  clear(): void {
    this.#keys.clear();
    this.#lists.clear();
  }
}
