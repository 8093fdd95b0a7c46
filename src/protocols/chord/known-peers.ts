/** Nodes that were seen before: from them a ring is found again. */

/** Nodes that are remembered, those that the program gave apart. */
const MAX_KNOWN = 32;
/** Nodes that the program gave. */
const MAX_GIVEN = 64;

/** Takes turns among nodes that were given or have answered. */
export class KnownPeers {
  /** Bounded by {@link MAX_GIVEN}. */
  readonly #given = new Set<string>();
  /** Bounded by {@link MAX_KNOWN}: the one that answered longest ago goes. */
  readonly #reached = new Set<string>();
  #turn = 0;

  /** The program gave these. */
  give(addrs: readonly string[]): void {
    for (const addr of addrs) if (this.#given.size < MAX_GIVEN) this.#given.add(addr);
  }

  reached(addr: string): void {
    this.#reached.delete(addr);
    this.#reached.add(addr);
    if (this.#reached.size > MAX_KNOWN) this.#reached.delete(this.#reached.values().next().value!);
  }

  /** Another one each time. @param but - not this one. */
  next(but: string): string | undefined {
    const all = [...new Set([...this.#given, ...this.#reached])].filter((addr) => addr !== but);
    return all[this.#turn++ % Math.max(1, all.length)];
  }
}
