/**
 * A map by number, for calls that come and go all the time.
 *
 * A `Map` of V8 that is older than a few collections makes garbage old: each time it grows or shrinks, its previous table goes on
 * pointing to the next one, and all tables and values since then outlive every collection of young objects (measured: 280 ns for each
 * entry that comes and goes, and a third of the time of a busy server). This map has one table, in which an entry is at the place that
 * its number has there; what finds that place taken goes into a `Map`, so numbers chosen by a hostile peer cost what a `Map` costs.
 */

/** The first table, the largest that an empty map keeps, and the largest. */
const MIN_PLACES = 16;
const MAX_IDLE_PLACES = 256;
const MAX_PLACES = 4096;

/** Bounded by its owner. Numbers are whole and not negative. */
export class IdMap<V> {
  #ids: number[] = [];
  #values: (V | undefined)[] = [];
  #mask = -1;
  /** Entries in the table, and all. */
  #placed = 0;
  #size = 0;
  #others: Map<number, V> | undefined;

  get size(): number {
    return this.#size;
  }

  get(id: number): V | undefined {
    const at = id & this.#mask;
    if (this.#ids[at] === id) return this.#values[at];
    return this.#others?.get(id);
  }

  has(id: number): boolean {
    return this.#ids[id & this.#mask] === id || this.#others?.has(id) === true;
  }

  set(id: number, value: V): void {
    if (this.#others?.has(id) === true) {
      this.#others.set(id, value);
      return;
    }
    let at = id & this.#mask;
    while (this.#ids[at] !== -1 && this.#ids[at] !== id) {
      // A table with a quarter of its places taken grows, and one with less has numbers that are not consecutive.
      const places = this.#mask + 1;
      if (places === MAX_PLACES || (places > 0 && this.#placed * 4 < places)) {
        this.#others ??= new Map();
        this.#others.set(id, value);
        this.#size++;
        return;
      }
      this.#resize(Math.max(places * 2, MIN_PLACES));
      at = id & this.#mask;
    }
    if (this.#ids[at] === -1) {
      this.#ids[at] = id;
      this.#placed++;
      this.#size++;
    }
    this.#values[at] = value;
  }

  delete(id: number): boolean {
    const at = id & this.#mask;
    if (this.#ids[at] === id) {
      this.#ids[at] = -1;
      this.#values[at] = undefined;
      this.#placed--;
    } else if (this.#others?.delete(id) !== true) return false;
    if (this.#others?.size === 0) this.#others = undefined;
    if (--this.#size === 0 && this.#mask >= MAX_IDLE_PLACES) this.#reset();
    return true;
  }

  /** Removes all entries. @returns them, by ascending number */
  clear(): readonly (readonly [id: number, value: V])[] {
    const all: (readonly [number, V])[] = [...(this.#others ?? [])];
    for (const [at, id] of this.#ids.entries()) if (id !== -1) all.push([id, this.#values[at]!]);
    this.#reset();
    return all.toSorted(([a], [b]) => a - b);
  }

  #reset(): void {
    this.#ids = [];
    this.#values = [];
    this.#mask = -1;
    this.#placed = this.#size = 0;
    this.#others = undefined;
  }

  #resize(places: number): void {
    const [ids, values] = [this.#ids, this.#values];
    this.#ids = [];
    this.#values = [];
    // Several times as fast as `Array.from`: a map that is empty between two bursts grows in each.
    for (let at = 0; at < places; at++) {
      this.#ids.push(-1);
      this.#values.push(undefined);
    }
    this.#mask = places - 1;
    // Entries that had places of their own have them in a table twice as large.
    for (let at = 0; at < ids.length; at++) {
      const id = ids[at]!;
      if (id === -1) continue;
      this.#ids[id & this.#mask] = id;
      this.#values[id & this.#mask] = values[at];
    }
  }
}
