/**
 * The beacon, without I/O: asks on each interface who is there, answers those who ask, and remembers the peers that are heard.
 * docs/wire/beacon.md defines what goes over the wire.
 *
 * What costs little is checked first: the sizes, the seal of the network, the rate of the host. Signatures are
 * checked from a bounded queue with a share for each host, a few in one turn, and a bounded number in a second.
 */

import { x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, copyBytes, equalBytes, toHex } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { SourceShares } from '../../base/source-shares.ts';
import { SourceBuckets, TokenBucket } from '../../base/token-bucket.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { X25519PrivateKey } from '../../crypto/suite.ts';
import { defaultKeyRegistry } from '../../identity/ecdsa-p256.ts';
import { peerIdOfKey } from '../../identity/fingerprints.ts';
import type { Signer } from '../../identity/key-algorithm.ts';
import { type Announcement, INSTANCE_BYTES } from './announcement.ts';
import {
  BeaconCodec,
  type DatagramFault,
  NONCE_BYTES,
  type OpenedAnswer,
  type OpenedQuery,
  type OpenedRecord,
} from './datagram.ts';
import { type LanPeer, LanPeers } from './lan-peers.ts';

/** An interface of this host. */
export interface BeaconInterface {
  readonly name: string;
  /** Any text that tells the networks that it is attached to from others. */
  readonly networks: string;
}

/** Where a datagram came from. */
export interface BeaconSource extends SocketAddress {
  /** The interface whose network the IP belongs to. */
  readonly interfaceName: string;
}

/** A datagram to send. */
export interface BeaconTransmit {
  readonly interfaceName: string;
  /** `undefined`: everybody on the LAN. */
  readonly to: SocketAddress | undefined;
  readonly bytes: Bytes;
}

/** Why a datagram was dropped. */
export type BeaconDrop =
  | DatagramFault
  /** More than the rate of its source, or of all. */
  | 'beacon.rate_limited'
  /** The queue of signatures to check is full, and the source has its share. */
  | 'queue_full'
  /** This query was received before. */
  | 'beacon.replayed'
  /** The answer belongs to no query of the last seconds. */
  | 'beacon.unasked'
  | 'beacon.bad_signature'
  /** A query with a time more than two minutes off, or not later than one before: it is answered and not believed. */
  | 'beacon.stale'
  /** It has no address that a peer on this LAN may name. */
  | 'beacon.foreign_addrs';

/** What happened. */
export type BeaconEvent =
  | { readonly type: 'seen'; readonly peer: LanPeer; readonly noted: 'new' | 'changed' | 'same' }
  /** Another process announces itself with this node's key. */
  | { readonly type: 'key_elsewhere'; readonly source: BeaconSource; readonly instance: string }
  | { readonly type: 'dropped'; readonly reason: BeaconDrop };

/** What a beacon needs. */
export interface BeaconOptions {
  readonly signer: Signer;
  /** Only nodes with the same name see each other: 1 to 255 bytes of UTF-8. */
  readonly networkName: string;
  /** `length` unpredictable bytes: the realm's `random`. */
  readonly random: (length: number) => Uint8Array;
  /** The node's own addresses that peers on the LAN of an interface can dial, best first. Must not throw. */
  readonly addrsOn: (interfaceName: string) => readonly string[];
  /** The address as this host dials it, if a peer with this id on that LAN may name it; else `undefined`. Must not throw. */
  readonly admitAddr: (addr: string, interfaceName: string, id: PeerId) => string | undefined;
  /** Whether it answers queries. @default true */
  readonly answers?: boolean | undefined;
  /** Peers that are remembered. @default 1024 */
  readonly maxPeers?: number | undefined;
}

/** The first repetition of a query; the pause then doubles up to {@link MAX_PAUSE_MS}. */
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 60_000;
/** Between two rounds of queries, whatever asks for them. */
const MIN_PAUSE_MS = 250;
/** A round because of somebody whose clock differs comes at most this often. */
const STALE_PAUSE_MS = 1000;
/** A peer is forgotten when three rounds have passed without it. */
export const PEER_LIFETIME_MS: number = 3 * MAX_PAUSE_MS;
/** How far the time of a query may be off. */
const MAX_SKEW_MS = 120_000;
/** How old a record of DNS-SD may be, by the clock of its sender; caches keep it for 75 minutes. */
const MAX_RECORD_SKEW_MS = 7_200_000;
/** An answer counts for so long. */
const ANSWERABLE_MS = 10_000;
/** Queries whose answers count, and nonces of others' queries that are remembered. */
const MAX_NONCES = 512;
/** Interfaces of one host. */
const MAX_INTERFACES = 64;
/** Datagrams of one IP: as many nodes as a host may have, that start together. */
const PER_SOURCE = { perSecond: 16, burst: 64, maxSources: 1024 } as const;
/** Signatures checked in all. */
const CHECKS = { perSecond: 200, burst: 128 } as const;
/** Answers in all. */
const ANSWERS = { perSecond: 100, burst: 64 } as const;
/** Datagrams that wait for their signatures to be checked: the answers of a LAN with so many nodes. */
const MAX_WAITING = 256;
/** Each about 0.3 ms, with the answer. */
const CHECKS_PER_TURN = 4;

interface Asked {
  readonly key: X25519PrivateKey;
  readonly interfaceName: string;
  readonly atMs: Millis;
}

interface Waiting {
  readonly source: BeaconSource;
  readonly opened: OpenedQuery | OpenedAnswer | OpenedRecord;
}

/** The machine. */
export class Beacon implements Machine<BeaconTransmit, BeaconEvent> {
  readonly id: PeerId;
  /** Random; tells this process from others with the same key. */
  readonly instance: Bytes;
  /** Whether it answers queries; may be changed at any time. */
  answers: boolean;
  readonly #options: BeaconOptions;
  readonly #codec: BeaconCodec;
  readonly #outbox = new Outbox<BeaconTransmit, BeaconEvent, 'query' | 'check'>();
  readonly #peers: LanPeers;
  /** Bounded by {@link MAX_INTERFACES}. */
  readonly #interfaces = new Map<string, string>();
  /** By nonce, oldest first. Bounded by {@link MAX_NONCES}. */
  readonly #asked = new Map<string, Asked>();
  /** Nonces of others' queries, oldest first. Bounded by {@link MAX_NONCES}. */
  readonly #heard = new Set<string>();
  /** From peers that are not known, in order of arrival. Bounded by {@link MAX_WAITING}, with {@link Beacon.#repeated}. */
  readonly #unknown = new Set<Waiting>();
  /** From peers that are known, as it seems. */
  readonly #repeated = new Set<Waiting>();
  readonly #shares = new SourceShares<Waiting>();
  readonly #sources = new SourceBuckets(PER_SOURCE.perSecond, PER_SOURCE.burst, PER_SOURCE.maxSources);
  readonly #checks: TokenBucket;
  readonly #answerRate: TokenBucket;
  #checked = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #lastRoundMs = -Infinity;
  #lastIssuedMs = 0;
  #wallOffsetMs = 0;

  constructor(now: Millis, options: BeaconOptions) {
    this.#options = options;
    this.#codec = new BeaconCodec(options.networkName);
    this.#peers = new LanPeers(options.maxPeers ?? 1024, PEER_LIFETIME_MS);
    this.#checks = new TokenBucket(CHECKS.perSecond, CHECKS.burst, now);
    this.#answerRate = new TokenBucket(ANSWERS.perSecond, ANSWERS.burst, now);
    this.id = peerIdOfKey(options.signer.publicKey);
    this.instance = copyBytes(options.random(INSTANCE_BYTES));
    this.answers = options.answers ?? true;
  }

  /** The peers heard within their lifetime. */
  peers(now: Millis): readonly LanPeer[] {
    return this.#peers.list(now);
  }

  /** Datagrams whose signatures are to be checked. */
  get waiting(): number {
    return this.#unknown.size + this.#repeated.size;
  }

  /**
   * Replaces the interfaces. Asks at once when one is new or is in other networks than before; what was heard there is
   * forgotten.
   */
  setInterfaces(now: Millis, wallMs: number, interfaces: readonly BeaconInterface[]): void {
    const before = new Map(this.#interfaces);
    this.#interfaces.clear();
    for (const { name, networks } of interfaces.slice(0, MAX_INTERFACES)) this.#interfaces.set(name, networks);
    for (const [name, networks] of before) {
      if (this.#interfaces.get(name) !== networks) this.#peers.forgetInterface(name);
    }
    if ([...this.#interfaces].some(([name, networks]) => before.get(name) !== networks)) this.query(now, wallMs);
  }

  /** Asks now, and again at growing intervals from the shortest on. */
  query(now: Millis, wallMs: number): void {
    this.#wallOffsetMs = wallMs - now;
    this.#pauseMs = FIRST_PAUSE_MS;
    const earliest = this.#lastRoundMs + MIN_PAUSE_MS;
    if (now >= earliest) this.#ask(now);
    else this.#outbox.arm('query', earliest);
  }

  /** Takes a datagram. @param source - its interface is one of those of {@link Beacon.setInterfaces}. */
  handleDatagram(now: Millis, wallMs: number, source: BeaconSource, datagram: Uint8Array): void {
    this.#wallOffsetMs = wallMs - now;
    const opened = this.#codec.open(datagram);
    if (typeof opened === 'string') {
      this.#drop(opened);
      return;
    }
    if (opened.kind === 'query' && equalBytes(opened.announcement.instance, this.instance)) return;
    if (!this.#sources.take(now, source.ip)) this.#drop('beacon.rate_limited');
    else if (opened.kind === 'query' && this.#wasHeard(opened.nonce)) this.#drop('beacon.replayed');
    else if (opened.kind === 'answer' && this.#askedFor(now, opened) === undefined) this.#drop('beacon.unasked');
    else this.#enqueue(now, { source, opened });
  }

  /** Takes a record that came in the TXT record of an instance. */
  handleRecord(now: Millis, wallMs: number, source: BeaconSource, record: Uint8Array): void {
    this.#wallOffsetMs = wallMs - now;
    const opened = this.#codec.openRecord(record);
    if (opened === undefined) this.#drop('beacon.other_network');
    else if (equalBytes(opened.announcement.instance, this.instance)) return;
    else if (!this.#sources.take(now, source.ip)) this.#drop('beacon.rate_limited');
    else this.#enqueue(now, { source, opened });
  }

  /** The record of this node on an interface; `undefined` when it has no address there. */
  record(now: Millis, wallMs: number, interfaceName: string): Bytes | undefined {
    this.#wallOffsetMs = wallMs - now;
    const { signer, random, addrsOn } = this.#options;
    const addrs = addrsOn(interfaceName);
    if (addrs.length === 0) return undefined;
    return this.#codec.record(signer, random(NONCE_BYTES), this.#fields(now, addrs));
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'query') this.#ask(now);
      else this.#check(now);
    }
  }

  poll(): Output<BeaconTransmit, BeaconEvent> {
    return this.#outbox.poll();
  }

  #drop(reason: BeaconDrop): void {
    this.#outbox.event({ type: 'dropped', reason });
  }

  #ask(now: Millis): void {
    const { signer, random, addrsOn } = this.#options;
    const key = x25519PrivateKey(random(32));
    for (const interfaceName of this.#interfaces.keys()) {
      const nonce = random(NONCE_BYTES);
      if (this.#asked.size >= MAX_NONCES) this.#asked.delete(this.#asked.keys().next().value!);
      this.#asked.set(toHex(nonce), { key, interfaceName, atMs: now });
      const bytes = this.#codec.query(signer, nonce, key.publicKey, this.#fields(now, addrsOn(interfaceName)));
      this.#outbox.transmit({ interfaceName, to: undefined, bytes });
    }
    this.#lastRoundMs = now;
    this.#outbox.arm('query', now + this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS);
  }

  #fields(now: Millis, addrs: readonly string[]): Pick<Announcement, 'instance' | 'issuedMs' | 'addrs'> {
    const issuedMs = Math.max(Math.floor(now + this.#wallOffsetMs), this.#lastIssuedMs + 1, 0);
    this.#lastIssuedMs = issuedMs;
    return { instance: this.instance, issuedMs, addrs };
  }

  #wasHeard(nonce: Bytes): boolean {
    const key = toHex(nonce);
    if (this.#heard.has(key)) return true;
    if (this.#heard.size >= MAX_NONCES) this.#heard.delete(this.#heard.keys().next().value!);
    this.#heard.add(key);
    return false;
  }

  #askedFor(now: Millis, { queryNonce }: OpenedAnswer): Asked | undefined {
    const asked = this.#asked.get(toHex(queryNonce));
    return asked !== undefined && now < asked.atMs + ANSWERABLE_MS ? asked : undefined;
  }

  #enqueue(now: Millis, item: Waiting): void {
    const { ip } = item.source;
    if (this.waiting >= MAX_WAITING) {
      const victim = this.#shares.victimFor(ip);
      this.#drop('queue_full');
      if (victim === undefined || victim.source.ip === ip) return;
      this.#remove(victim);
    }
    const { opened } = item;
    const isKnown = opened.kind !== 'answer' && this.#peers.knows(opened.announcement.instance);
    (isKnown ? this.#repeated : this.#unknown).add(item);
    this.#shares.add(ip, item);
    if (!this.#outbox.isArmed('check')) this.#outbox.arm('check', now);
  }

  #check(now: Millis): void {
    for (let done = 0; done < CHECKS_PER_TURN && this.waiting > 0; done++) {
      if (!this.#checks.take(now)) {
        this.#outbox.arm('check', now + 1000 / CHECKS.perSecond);
        return;
      }
      // Who is new does not wait behind those who are only still there; of four checks one is theirs.
      const isTheirs = this.#checked++ % CHECKS_PER_TURN === 0;
      const [first, second] = isTheirs ? [this.#repeated, this.#unknown] : [this.#unknown, this.#repeated];
      const item = (first.size > 0 ? first : second).values().next().value!;
      this.#remove(item);
      if (item.opened.kind === 'query') this.#handleQuery(now, item.source, item.opened);
      else if (item.opened.kind === 'answer') this.#handleAnswer(now, item.source, item.opened);
      else this.#handleRecord(now, item.source, item.opened);
    }
    if (this.waiting > 0) this.#outbox.arm('check', now);
  }

  #remove(item: Waiting): void {
    this.#shares.delete(item);
    if (!this.#repeated.delete(item)) this.#unknown.delete(item);
  }

  #handleQuery(now: Millis, source: BeaconSource, query: OpenedQuery): void {
    const binding = concatBytes(query.nonce, query.replyKey);
    const { announcements } = this.#codec;
    const announcement = announcements.verify(query.announcement, 'query', binding, defaultKeyRegistry);
    if (announcement === undefined) {
      this.#drop('beacon.bad_signature');
      return;
    }
    const { id, instance, issuedMs, addrs } = announcement;
    this.#answer(now, source, query);
    if (this.#isOwnKey(source, announcement) || addrs.length === 0) return;
    if (Math.abs(issuedMs - now - this.#wallOffsetMs) <= MAX_SKEW_MS && this.#peers.isNewer(id, instance, issuedMs)) {
      this.#note(now, source, announcement);
      return;
    }
    this.#drop('beacon.stale');
    // Its clock differs, or somebody repeats what it once said. An answer to an own query cannot be repeated.
    if (!this.#peers.has(id, instance) && now >= this.#lastRoundMs + STALE_PAUSE_MS) this.#ask(now);
  }

  #answer(now: Millis, { interfaceName, ip, port }: BeaconSource, query: OpenedQuery): void {
    const { signer, random, addrsOn } = this.#options;
    const addrs = this.answers ? addrsOn(interfaceName) : [];
    if (addrs.length === 0) return;
    if (!this.#answerRate.take(now)) {
      this.#drop('beacon.rate_limited');
      return;
    }
    const fields = this.#fields(now, addrs);
    const bytes = this.#codec.answer(signer, random(NONCE_BYTES), random(32), query, fields);
    if (bytes !== undefined) this.#outbox.transmit({ interfaceName, to: { ip, port }, bytes });
  }

  #handleAnswer(now: Millis, source: BeaconSource, answer: OpenedAnswer): void {
    const asked = this.#askedFor(now, answer);
    const unsealed = asked === undefined ? undefined : this.#codec.unseal(answer, asked.key);
    const announcement =
      unsealed &&
      this.#codec.announcements.verify(unsealed.announcement, 'answer', unsealed.binding, defaultKeyRegistry);
    if (asked === undefined || announcement === undefined) {
      this.#drop('beacon.bad_signature');
      return;
    }
    const heardOn = { ...source, interfaceName: asked.interfaceName };
    if (this.#isOwnKey(heardOn, announcement)) return;
    this.#note(now, heardOn, announcement);
  }

  #handleRecord(now: Millis, source: BeaconSource, { nonce, announcement }: OpenedRecord): void {
    const verified = this.#codec.announcements.verify(announcement, 'record', nonce, defaultKeyRegistry);
    if (verified === undefined) {
      this.#drop('beacon.bad_signature');
      return;
    }
    if (this.#isOwnKey(source, verified)) return;
    const { id, instance, issuedMs } = verified;
    // What the node has said since counts; the same record again says that it is still there.
    if (!this.#peers.isNewer(id, instance, issuedMs + 1)) return;
    if (Math.abs(issuedMs - now - this.#wallOffsetMs) > MAX_RECORD_SKEW_MS) this.#drop('beacon.stale');
    else this.#note(now, source, verified);
  }

  #isOwnKey(source: BeaconSource, { id, instance }: Announcement): boolean {
    if (id !== this.id) return false;
    this.#outbox.event({ type: 'key_elsewhere', source, instance: toHex(instance) });
    return true;
  }

  #note(now: Millis, source: BeaconSource, announcement: Announcement): void {
    const { admitAddr } = this.#options;
    const addrs = announcement.addrs.flatMap((addr) => admitAddr(addr, source.interfaceName, announcement.id) ?? []);
    if (addrs.length === 0) {
      this.#drop('beacon.foreign_addrs');
      return;
    }
    const { peer, noted } = this.#peers.note(now, now + this.#wallOffsetMs, source, announcement, addrs);
    this.#outbox.event({ type: 'seen', peer, noted });
  }
}
