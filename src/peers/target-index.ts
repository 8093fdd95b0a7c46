/** Entries by PeerID, IP and prefix, found without looking at each of them. */

import { describeValue } from '../base/checks.ts';
import { canonicalIp, ipBytes } from '../base/ip.ts';
import { type IpPrefix, maskBytes, parseIpPrefix } from '../base/ip-prefix.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';

/** A PeerID, or a network: an IP is the network of itself. */
export type ListTarget =
  | { readonly type: 'peer'; readonly text: string; readonly id: PeerId }
  | { readonly type: 'network'; readonly text: string; readonly prefix: IpPrefix };

/** Reads a PeerID, an IP or a prefix; `undefined` for another text. The text of a single IP is without its bits. */
export function parseTarget(text: string): ListTarget | undefined {
  if (isPeerId(text)) return { type: 'peer', text, id: text };
  const prefix = parseIpPrefix(text);
  if (prefix === undefined) return undefined;
  const isOne = prefix.bits === 8 * prefix.bytes.length;
  return { type: 'network', text: isOne ? prefix.text.slice(0, prefix.text.indexOf('/')) : prefix.text, prefix };
}

/**
 * The same for what the program wrote.
 *
 * @throws {TypeError} for a text that names neither, with what was probably meant.
 */
export function targetOf(text: unknown, label: string): ListTarget {
  const target = typeof text === 'string' ? parseTarget(text) : undefined;
  if (target !== undefined) return target;
  throw new TypeError(
    `Cannot take ${label}: expected a PeerID, an IP or a prefix such as 10.0.0.0/8, got ${describeValue(text)}${hint(text)}`,
  );
}

function hint(text: unknown): string {
  if (typeof text !== 'string') return '';
  if (text.includes('%')) return '; a zone is not part of an address that others have';
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : canonicalIp(text.slice(0, slash));
  return ip === undefined ? '' : `; ${ip} is an address in that network, or the number of bits is not right`;
}

/** Entries by target. Bounded by its owner. */
export class TargetIndex<T> {
  readonly #entries = new Map<string, T>();
  /** Networks by family and number of bits, each by its first bytes. At most 33 and 129 numbers, so a look-up is that many at most. */
  readonly #networks: Readonly<Record<4 | 16, Map<number, Map<string, T>>>> = { 4: new Map(), 16: new Map() };
  #networkCount = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Entries whose target is a PeerID. */
  get peers(): number {
    return this.#entries.size - this.#networkCount;
  }

  /** Entries whose target is a network. */
  get networks(): number {
    return this.#networkCount;
  }

  values(): Iterable<T> {
    return this.#entries.values();
  }

  get({ text }: ListTarget): T | undefined {
    return this.#entries.get(text);
  }

  set(target: ListTarget, entry: T): void {
    const isNew = !this.#entries.has(target.text);
    this.#entries.set(target.text, entry);
    if (target.type === 'peer') return;
    const { bytes, bits } = target.prefix;
    const byBits = this.#networks[bytes.length as 4 | 16];
    const networks = byBits.get(bits);
    if (networks === undefined) byBits.set(bits, new Map([[keyOf(bytes, bits), entry]]));
    else networks.set(keyOf(bytes, bits), entry);
    if (isNew) this.#networkCount++;
  }

  /** @returns whether it was there */
  delete(target: ListTarget): boolean {
    if (!this.#entries.delete(target.text)) return false;
    if (target.type === 'peer') return true;
    const { bytes, bits } = target.prefix;
    const byBits = this.#networks[bytes.length as 4 | 16];
    const networks = byBits.get(bits)!;
    networks.delete(keyOf(bytes, bits));
    if (networks.size === 0) byBits.delete(bits);
    this.#networkCount--;
    return true;
  }

  /** The entry of a PeerID. */
  ofPeer(id: PeerId): T | undefined {
    return this.#entries.get(id);
  }

  /**
   * The entries of the networks in which an IP is, in no order.
   *
   * @param ip - any text; one that is no IP is in no network. IPv4-mapped addresses are IPv4, a zone is ignored.
   */
  *ofIp(ip: string): Iterable<T> {
    if (this.#networkCount === 0) return;
    const canonical = canonicalIp(ip);
    if (canonical === undefined) return;
    const bytes = ipBytes(canonical)!;
    for (const [bits, networks] of this.#networks[bytes.length as 4 | 16]) {
      const entry = networks.get(keyOf(maskBytes(bytes, bits), bits));
      if (entry !== undefined) yield entry;
    }
  }
}

/** The first bytes of a network as a text, one character for each. */
function keyOf(bytes: Uint8Array, bits: number): string {
  return String.fromCharCode(...bytes.subarray(0, (bits + 7) >> 3));
}
