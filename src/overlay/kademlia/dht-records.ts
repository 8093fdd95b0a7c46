/** The store of signed records of a DHT node: a peer book, in the terms of the machine. */

import type { Bytes } from '../../base/bytes.ts';
import { decodePeerId, encodePeerId, type PeerId } from '../../core/peer-id.ts';
import { PeerBook } from '../../discovery/peer-book.ts';
import {
  leadsTo,
  MAX_ADDR_BYTES,
  MAX_RECORD_ADDRS,
  type PeerRecord,
  readPeerRecord,
  signPeerRecord,
} from '../../discovery/peer-record.ts';
import { peerIdOfKey } from '../../identity/fingerprints.ts';
import type { PrivateKey } from '../../identity/private-key.ts';
import { packAddr, unpackAddr } from '../../protocols/kademlia/messages.ts';
import type { Records, TakenRecord } from '../../protocols/kademlia/node-types.ts';
import { keyBytes, type KeyText, keyText } from '../../protocols/kademlia/position.ts';

/** What the records of a node need. */
export interface DhtRecordsOptions {
  readonly id: PeerId;
  readonly privateKey: PrivateKey | undefined;
  /** The addresses that the own record names, as texts. */
  readonly addrs: () => readonly string[];
  readonly wallMs: () => number;
  readonly lifetimeMs: number;
  readonly maxRecords: number;
}

/** An address text as records and contacts carry it: with the PeerID in it, in front where the swarm has none there. */
function withPeerId(text: string, id: PeerId): string {
  return text === id || leadsTo(text, id) ? text : `${id}@${text}`;
}

/** Records by peer. Bounded by the limits of the book. */
export class DhtRecords implements Records {
  readonly book: PeerBook;
  readonly #options: DhtRecordsOptions;
  #own: PeerRecord | undefined;

  constructor(options: DhtRecordsOptions) {
    this.#options = options;
    const { maxRecords, lifetimeMs } = options;
    this.book = new PeerBook({ maxPeers: maxRecords, maxBelievedMs: lifetimeMs });
  }

  /** The own record, signed again when an address changes and after half of its life. */
  own(): Bytes | undefined {
    const { privateKey, id, lifetimeMs } = this.#options;
    if (privateKey === undefined) return undefined;
    const texts = this.#options.addrs().map((text) => withPeerId(text, id));
    const addrs = texts.filter((text) => text.length <= MAX_ADDR_BYTES).slice(0, MAX_RECORD_ADDRS);
    if (addrs.length === 0) return undefined;
    const wallMs = Math.floor(this.#options.wallMs());
    const before = this.#own;
    const isSame = before !== undefined && before.addrs.join('\n') === addrs.join('\n');
    if (isSame && wallMs >= before.issuedMs && wallMs < before.issuedMs + lifetimeMs / 2) return before.bytes;
    // Later than the last one, whatever the clock says: others would take it for an old one.
    const issuedMs = Math.max(wallMs, (before?.issuedMs ?? 0) + 1);
    this.#own = signPeerRecord(privateKey, { addrs, issuedMs, lifetimeMs });
    return this.#own.bytes;
  }

  add(
    wallMs: number,
    bytes: Bytes,
    subject: KeyText | undefined,
    from: KeyText,
    source: string,
  ): ReturnType<Records['add']> {
    const read = readPeerRecord(bytes);
    if (read === undefined) return 'refused';
    const id = peerIdOfKey({ algorithm: '', spki: read.spki });
    if (subject !== undefined && keyText(decodePeerId(id)!) !== subject) return 'refused';
    const added = this.book.add(wallMs, bytes, encodePeerId(keyBytes(from)), source);
    if (typeof added !== 'string') return this.#taken(added, true);
    const known = added === 'stale' && this.book.knows(read) ? this.book.get(wallMs, id) : undefined;
    if (known !== undefined) return this.#taken(known, false);
    return added === 'stale' || added === 'expired' || added === 'from_the_future' ? added : 'refused';
  }

  handOn(wallMs: number, id: KeyText): Bytes | undefined {
    return this.book.handOn(wallMs, encodePeerId(keyBytes(id)));
  }

  reached(id: KeyText, addr: string): void {
    // A record that comes later asks the table.
    if (this.book.size === 0) return;
    const text = encodePeerId(keyBytes(id));
    this.book.noteReached(text, withPeerId(unpackAddr(addr, text), text));
  }

  /** The record of a peer with the addresses that are known here. */
  record(wallMs: number, id: PeerId): PeerRecord | undefined {
    return this.book.get(wallMs, id);
  }

  #taken({ id, issuedMs, addrs }: PeerRecord, isNew: boolean): TakenRecord {
    const unproven = addrs.filter((addr) => !this.book.isReached(id, addr)).map((addr) => packAddr(addr, id));
    return { id: keyText(decodePeerId(id)!), issuedMs, isNew, unproven };
  }
}
