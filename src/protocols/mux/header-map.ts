/** Finds entries by the first bytes of a message, without creating a key. */

/** Has a header; no header of one map is a prefix of another. */
export interface Headed {
  readonly header: Uint8Array;
}

/** Bounded by its owner. */
export class HeaderMap<T extends Headed> {
  /** By hash of the header; several when hashes collide. */
  readonly #byHash = new Map<number, T[]>();
  /** The lengths of headers, ascending, and the number of headers of each length. */
  readonly #lengths = new Map<number, number>();
  #ascending: readonly number[] = [];

  /** The entry whose header is a prefix of `message`. */
  find(message: Uint8Array): T | undefined {
    let hash = FNV_OFFSET;
    let hashed = 0;
    for (const length of this.#ascending) {
      if (length > message.length) return undefined;
      for (; hashed < length; hashed++) hash = Math.imul(hash ^ message[hashed]!, FNV_PRIME);
      const candidates = this.#byHash.get(hash);
      if (candidates === undefined) continue;
      for (const candidate of candidates) if (beginsWith(message, candidate.header)) return candidate;
    }
    return undefined;
  }

  add(item: T): void {
    const { header } = item;
    const hash = hashOf(header);
    const same = this.#byHash.get(hash);
    if (same === undefined) this.#byHash.set(hash, [item]);
    else same.push(item);
    this.#count(header.length, 1);
  }

  delete(item: T): void {
    const hash = hashOf(item.header);
    const left = this.#byHash.get(hash)?.filter((other) => other !== item) ?? [];
    if (left.length === 0) this.#byHash.delete(hash);
    else this.#byHash.set(hash, left);
    this.#count(item.header.length, -1);
  }

  *values(): IterableIterator<T> {
    for (const items of this.#byHash.values()) yield* items;
  }

  #count(length: number, change: number): void {
    const count = (this.#lengths.get(length) ?? 0) + change;
    if (count === 0) this.#lengths.delete(length);
    else this.#lengths.set(length, count);
    this.#ascending = [...this.#lengths.keys()].toSorted((a, b) => a - b);
  }
}

/** FNV-1a, 32 bits. */
const FNV_OFFSET = 0x811c9dc5 | 0;
const FNV_PRIME = 0x0100_0193;

function hashOf(header: Uint8Array): number {
  let hash = FNV_OFFSET;
  for (const byte of header) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return hash;
}

function beginsWith(message: Uint8Array, header: Uint8Array): boolean {
  for (let i = 0; i < header.length; i++) if (message[i] !== header[i]) return false;
  return true;
}
