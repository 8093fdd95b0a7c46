/** How long an answer may take, from the round trips that were measured (RFC 6298). */

/** Before anything was measured. */
const INITIAL_MS = 2000;
const MIN_MS = 250;
const MAX_MS = 5000;
/** The first request to a node may have to open a session: two round trips more. */
const FIRST_CONTACT = 3;

/** The round trips of all nodes together; each contact has its own smoothed one beside it. */
export class RoundTrips {
  #smoothedMs: number | undefined;
  #variationMs = 0;

  /** Takes a measured round trip. @param before - the smoothed round trip of that node @returns the new one */
  measured(ms: number, before: number | undefined): number {
    const smoothed = (this.#smoothedMs ??= ms);
    this.#variationMs += (Math.abs(ms - smoothed) - this.#variationMs) / 4;
    this.#smoothedMs = smoothed + (ms - smoothed) / 8;
    return before === undefined ? ms : before + (ms - before) / 8;
  }

  /**
   * When a request without an answer is given up.
   *
   * @param nodeMs - the smoothed round trip of that node, if it has answered before
   * @param tries - earlier tries of this request
   */
  timeoutMs(nodeMs: number | undefined, tries: number): number {
    if (this.#smoothedMs === undefined) return INITIAL_MS;
    const base = nodeMs === undefined ? FIRST_CONTACT * this.#smoothedMs : nodeMs;
    return Math.min(Math.max(base + 4 * this.#variationMs, MIN_MS) * 2 ** tries, MAX_MS);
  }
}
