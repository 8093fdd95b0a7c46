/** The numbers by which the engine knows addresses. */

/** How many addresses are remembered that no connection uses. */
const MAX_UNUSED = 4096;

interface Entry<A> {
  readonly key: string;
  readonly address: A;
  /** How many connections use it. */
  uses: number;
}

/**
 * Gives addresses numbers and takes them back.
 *
 * Bounded by the connections that retain addresses, and `maxUnused` others; the longest unused one is forgotten first. A number
 * is never given twice, so a late packet for a forgotten address goes nowhere.
 */
export class AddressTable<A> {
  /** Addresses by number. */
  readonly entries: ReadonlyMap<number, { readonly address: A }>;
  readonly #byKey = new Map<string, number>();
  readonly #entries = new Map<number, Entry<A>>();
  /** Numbers without a use, longest unused first. */
  readonly #unused = new Set<number>();
  readonly #maxUnused: number;
  #next = 1;

  constructor(maxUnused: number = MAX_UNUSED) {
    this.entries = this.#entries;
    this.#maxUnused = maxUnused;
  }

  /** The number of the address that `key` names, known or new. `make` is called for a new one. */
  numberOf(key: string, make: () => A): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      if (this.#unused.delete(known)) this.#unused.add(known);
      return known;
    }
    const number = this.#next;
    // Numbers are 32 bits wide. After four thousand million addresses they begin anew, past those in use.
    do this.#next = this.#next === 0xffff_ffff ? 1 : this.#next + 1;
    while (this.#entries.has(this.#next));
    this.#byKey.set(key, number);
    this.#entries.set(number, { key, address: make(), uses: 0 });
    this.#unused.add(number);
    this.#shrink();
    return number;
  }

  /** The number of the address that `key` names, if it is known. */
  find(key: string): number | undefined {
    return this.#byKey.get(key);
  }

  /** The address with this number, or undefined when it was forgotten. */
  get(number: number): A | undefined {
    return this.#entries.get(number)?.address;
  }

  /** Keeps the address until it is released as often. */
  retain(number: number): void {
    const entry = this.#entries.get(number);
    if (entry === undefined) return;
    entry.uses++;
    this.#unused.delete(number);
  }

  release(number: number): void {
    const entry = this.#entries.get(number);
    if (entry === undefined || entry.uses === 0) return;
    entry.uses--;
    if (entry.uses === 0) {
      this.#unused.add(number);
      this.#shrink();
    }
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  #shrink(): void {
    while (this.#unused.size > this.#maxUnused) {
      const oldest = this.#unused.values().next();
      if (oldest.done === true) return;
      this.#unused.delete(oldest.value);
      this.#byKey.delete(this.#entries.get(oldest.value)!.key);
      this.#entries.delete(oldest.value);
    }
  }
}
