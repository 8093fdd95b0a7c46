/**
 * A network emulator, sans-IO: it decides the fate of a packet, and the caller delivers it. Named after the Linux
 * queueing discipline with the same purpose. Two differences: jitter alone never reorders, and a reordered packet has
 * no latency.
 */

import { quantity } from '../../base/checks.ts';

/** The properties of a link. Times in milliseconds, probabilities from 0 to 1. */
export interface NetemConfig {
  /** One-way delay. @default 0 */
  readonly latencyMs?: number | undefined;
  /** Maximum additional delay, uniformly distributed. Packets keep their order. @default 0 */
  readonly jitterMs?: number | undefined;
  /** Share of packets that are lost. @default 0 */
  readonly loss?: number | undefined;
  /** Share of packets that arrive twice. @default 0 */
  readonly duplicate?: number | undefined;
  /** Share of packets that overtake earlier ones: they have no delay. @default 0 */
  readonly reorder?: number | undefined;
  /** Share of packets with one bit flipped. @default 0 */
  readonly corrupt?: number | undefined;
  /** Share of packets truncated at a random position. @default 0 */
  readonly truncate?: number | undefined;
  /** Bytes per second that the link carries. @default Infinity */
  readonly bytesPerSecond?: number | undefined;
  /** Bytes that may wait for the link; further packets are lost. @default 262 144 (256 KiB) */
  readonly queueBytes?: number | undefined;
}

/**
 * Predefined links. The numbers are realistic round numbers, not measurements.
 *
 * | preset | latency | jitter | loss | duplicate | reorder | bytes/s | queue |
 * | --- | --- | --- | --- | --- | --- | --- | --- |
 * | `perfect` | 0 | 0 | 0 | 0 | 0 | ∞ | – |
 * | `lan` | 0.2 ms | 0.1 ms | 0 | 0 | 0 | 125 000 000 | 1 MiB |
 * | `wifi` | 3 ms | 4 ms | 0.2 % | 0 | 0.1 % | 12 500 000 | 512 KiB |
 * | `cellular` | 40 ms | 20 ms | 1 % | 0 | 0.5 % | 2 500 000 | 512 KiB |
 * | `satellite` | 300 ms | 10 ms | 0.5 % | 0 | 0 | 1 250 000 | 1 MiB |
 * | `lossy` | 50 ms | 20 ms | 10 % | 2 % | 5 % | ∞ | – |
 */
export const NETEM_PRESETS: Readonly<Record<NetemPreset, NetemConfig>> = {
  perfect: {},
  lan: { latencyMs: 0.2, jitterMs: 0.1, bytesPerSecond: 125_000_000, queueBytes: 1_048_576 },
  wifi: { latencyMs: 3, jitterMs: 4, loss: 0.002, reorder: 0.001, bytesPerSecond: 12_500_000, queueBytes: 524_288 },
  cellular: {
    latencyMs: 40,
    jitterMs: 20,
    loss: 0.01,
    reorder: 0.005,
    bytesPerSecond: 2_500_000,
    queueBytes: 524_288,
  },
  satellite: { latencyMs: 300, jitterMs: 10, loss: 0.005, bytesPerSecond: 1_250_000, queueBytes: 1_048_576 },
  lossy: { latencyMs: 50, jitterMs: 20, loss: 0.1, duplicate: 0.02, reorder: 0.05 },
};

/** A name in {@link NETEM_PRESETS}. */
export type NetemPreset = 'perfect' | 'lan' | 'wifi' | 'cellular' | 'satellite' | 'lossy';

/** The change of a packet's bytes. */
export type Mangling =
  | { readonly type: 'flip'; readonly bit: number }
  | { readonly type: 'truncate'; readonly length: number };

/** One arrival of a packet. */
export interface Arrival {
  readonly atMs: number;
  readonly mangling?: Mangling | undefined;
}

/** The fate of a packet: its arrivals, or the reason for its loss. */
export type Fate =
  | { readonly type: 'arrives'; readonly arrivals: readonly Arrival[] }
  | { readonly type: 'lost'; readonly reason: 'loss' | 'queue' };

/** {@link NetemConfig} with defaults filled in. */
type Resolved = { readonly [K in keyof NetemConfig]-?: number };

const DEFAULT_QUEUE_BYTES = 262_144;

/**
 * Checks a config or looks up a preset.
 *
 * @throws {TypeError | RangeError} for an unknown preset or a number out of range.
 */
export function resolveNetem(config: NetemConfig | NetemPreset): Resolved {
  const given = typeof config === 'string' ? NETEM_PRESETS[config] : config;
  if (typeof given !== 'object' || given === null) {
    throw new TypeError(`Cannot take netem: expected a config or one of ${Object.keys(NETEM_PRESETS).join(', ')}`);
  }
  const share = (name: 'loss' | 'duplicate' | 'reorder' | 'corrupt' | 'truncate'): number =>
    quantity(given[name], `netem ${name}`, 0, 0, 1);
  return {
    latencyMs: quantity(given.latencyMs, 'netem latencyMs', 0, 0, Number.MAX_SAFE_INTEGER),
    jitterMs: quantity(given.jitterMs, 'netem jitterMs', 0, 0, Number.MAX_SAFE_INTEGER),
    loss: share('loss'),
    duplicate: share('duplicate'),
    reorder: share('reorder'),
    corrupt: share('corrupt'),
    truncate: share('truncate'),
    bytesPerSecond: quantity(given.bytesPerSecond, 'netem bytesPerSecond', Infinity, 1, Infinity),
    queueBytes: quantity(given.queueBytes, 'netem queueBytes', DEFAULT_QUEUE_BYTES, 0, Infinity),
  };
}

/** One direction of one link. */
export class Netem {
  readonly #config: Resolved;
  readonly #random: () => number;
  /** When the link has sent everything queued. */
  #busyUntilMs = 0;
  /** Jitter keeps the order: nothing arrives before this, unless it overtakes. */
  #lastArrivalMs = 0;

  /**
   * @param config - the properties of the link.
   * @param random - returns numbers from 0 to 1; a seeded source makes the run reproducible.
   */
  constructor(config: NetemConfig | NetemPreset, random: () => number) {
    this.#config = resolveNetem(config);
    this.#random = random;
  }

  /** The fate of a packet of `bytes` bytes sent `now`. */
  handlePacket(now: number, bytes: number): Fate {
    const { loss, duplicate, bytesPerSecond, queueBytes } = this.#config;
    const startMs = Math.max(now, this.#busyUntilMs);
    if (bytesPerSecond !== Infinity) {
      const queued = ((startMs - now) * bytesPerSecond) / 1000;
      if (queued > 0 && queued + bytes > queueBytes) return { type: 'lost', reason: 'queue' };
      this.#busyUntilMs = startMs + (bytes * 1000) / bytesPerSecond;
    }
    const sentMs = bytesPerSecond === Infinity ? now : this.#busyUntilMs;
    if (this.#happens(loss)) return { type: 'lost', reason: 'loss' };
    const arrivals = [this.#arrival(sentMs, bytes)];
    if (this.#happens(duplicate)) arrivals.push(this.#arrival(sentMs, bytes));
    return { type: 'arrives', arrivals };
  }

  #arrival(sentMs: number, bytes: number): Arrival {
    const { latencyMs, jitterMs, reorder } = this.#config;
    const mangling = this.#mangle(bytes);
    if (this.#happens(reorder)) return { atMs: sentMs, mangling };
    const atMs = Math.max(sentMs + latencyMs + (jitterMs === 0 ? 0 : jitterMs * this.#random()), this.#lastArrivalMs);
    this.#lastArrivalMs = atMs;
    return { atMs, mangling };
  }

  #mangle(bytes: number): Mangling | undefined {
    const { corrupt, truncate } = this.#config;
    if (bytes === 0) return undefined;
    if (this.#happens(corrupt)) return { type: 'flip', bit: Math.floor(this.#random() * bytes * 8) };
    if (this.#happens(truncate)) return { type: 'truncate', length: Math.floor(this.#random() * bytes) };
    return undefined;
  }

  #happens(probability: number): boolean {
    return probability > 0 && this.#random() < probability;
  }
}

/** Applies `mangling` to `packet`; changes it in place or returns its beginning. */
export function mangle<B extends Uint8Array>(packet: B, mangling: Mangling | undefined): B {
  if (mangling === undefined) return packet;
  if (mangling.type === 'truncate') return packet.subarray(0, mangling.length) as B;
  const at = mangling.bit >> 3;
  packet[at] = packet[at]! ^ (1 << (mangling.bit & 7));
  return packet;
}
