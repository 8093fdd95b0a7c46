/** The peers that were heard on the interfaces of this host. */

import { toHex } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { SourceShares } from '../../base/source-shares.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Announcement } from './announcement.ts';

/** A peer on a LAN of this host, as it has announced itself. */
export interface LanPeer {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  /** Tells processes with one key apart: 16 hexadecimal digits. */
  readonly instance: string;
  /** Best first; of all interfaces on which it was heard. */
  readonly addrs: readonly string[];
  /** The interfaces on which it was heard. */
  readonly interfaces: readonly string[];
  /** The IP that it was heard from last. */
  readonly ip: string;
  /** When it was heard last: wall time, in milliseconds since the Unix epoch. */
  readonly seenMs: number;
  /** When it expires unless it is heard again, on the same clock. */
  readonly expiresMs: number;
}

interface Heard {
  readonly addrs: readonly string[];
  readonly expires: Millis;
}

interface Entry {
  peer: LanPeer;
  issuedMs: number;
  /** By interface. Bounded by the interfaces of the machine. */
  readonly heard: Map<string, Heard>;
  /** When it was heard on no interface for its lifetime. */
  expires: Millis;
}

/** What an announcement changed. */
export type Noted = 'new' | 'changed' | 'same';

export class LanPeers {
  readonly #max: number;
  readonly #lifetimeMs: number;
  /** By PeerID and instance. Bounded by `max`, with a share for each host. */
  readonly #entries = new Map<string, Entry>();
  readonly #shares = new SourceShares<string>();
  /** Those of the entries. */
  readonly #instances = new Set<string>();

  constructor(max: number, lifetimeMs: number) {
    this.#max = max;
    this.#lifetimeMs = lifetimeMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The peers that have not expired, in the order in which they were first heard. */
  list(now: Millis): readonly LanPeer[] {
    this.expire(now);
    return Array.from(this.#entries.values(), ({ peer }) => peer);
  }

  /** Whether an announcement is later than all of this instance before. */
  isNewer(id: PeerId, instance: Uint8Array, issuedMs: number): boolean {
    return issuedMs > (this.#entries.get(keyOf(id, instance))?.issuedMs ?? -1);
  }

  /** Whether a peer with this instance is known, whoever it is. */
  knows(instance: Uint8Array): boolean {
    return this.#instances.has(toHex(instance));
  }

  /** Whether the instance of this peer is known. */
  has(id: PeerId, instance: Uint8Array): boolean {
    return this.#entries.has(keyOf(id, instance));
  }

  /**
   * Remembers an announcement.
   *
   * @param addrs - those of its addresses that a peer on that interface may name; at least one.
   */
  note(
    now: Millis,
    wallMs: number,
    { interfaceName, ip }: { readonly interfaceName: string; readonly ip: string },
    { id, publicKey, instance, issuedMs }: Announcement,
    addrs: readonly string[],
  ): { readonly peer: LanPeer; readonly noted: Noted } {
    const key = keyOf(id, instance);
    const known = this.#entries.get(key);
    const heard = known?.heard ?? new Map<string, Heard>();
    const expires = now + this.#lifetimeMs;
    heard.set(interfaceName, { addrs, expires });
    for (const [each, { expires: at }] of heard) if (at <= now) heard.delete(each);
    const all = [...new Set([...heard.values()].flatMap((one) => one.addrs))];
    const peer: LanPeer = {
      id,
      publicKey,
      instance: toHex(instance),
      addrs: all,
      interfaces: [...heard.keys()],
      ip,
      seenMs: wallMs,
      expiresMs: wallMs + this.#lifetimeMs,
    };
    if (known === undefined) {
      this.#makeRoom(now, ip);
      this.#entries.set(key, { peer, issuedMs, heard, expires });
      this.#shares.add(ip, key);
      this.#instances.add(peer.instance);
      return { peer, noted: 'new' };
    }
    const isSame = all.length === known.peer.addrs.length && all.every((addr, i) => addr === known.peer.addrs[i]);
    known.peer = peer;
    known.expires = expires;
    known.issuedMs = Math.max(known.issuedMs, issuedMs);
    return { peer, noted: isSame ? 'same' : 'changed' };
  }

  /** Forgets what was heard on an interface that is gone. */
  forgetInterface(interfaceName: string): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.heard.delete(interfaceName)) continue;
      if (entry.heard.size === 0) this.#delete(key);
      else {
        const addrs = [...new Set([...entry.heard.values()].flatMap((one) => one.addrs))];
        entry.peer = { ...entry.peer, addrs, interfaces: [...entry.heard.keys()] };
      }
    }
  }

  /** Removes the peers that were not heard for their lifetime. */
  expire(now: Millis): void {
    for (const [key, { expires }] of this.#entries) if (expires <= now) this.#delete(key);
  }

  #makeRoom(now: Millis, ip: string): void {
    if (this.#entries.size < this.#max) return;
    this.expire(now);
    if (this.#entries.size < this.#max) return;
    this.#delete(this.#shares.victimFor(ip) ?? this.#entries.keys().next().value!);
  }

  #delete(key: string): void {
    this.#instances.delete(this.#entries.get(key)!.peer.instance);
    this.#entries.delete(key);
    this.#shares.delete(key);
  }
}

function keyOf(id: PeerId, instance: Uint8Array): string {
  return `${id} ${toHex(instance)}`;
}
