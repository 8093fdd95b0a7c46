/**
 * A relay, without I/O: reservations, guests, and the budgets of both. It is given messages with their proven senders, and passes
 * datagrams on to clients only. Source: docs/wire/relay.md.
 */

import { type Bytes, copyBytes, equalBytes } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { SourceShares, sourceOf } from '../../base/source-shares.ts';
import { SourceBuckets, TokenBucket } from '../../base/token-bucket.ts';
import type { Addr } from '../../core/addr.ts';
import type { DropReason } from '../../core/counters.ts';
import { encodePeerId, type PeerId } from '../../core/peer-id.ts';
import {
  bytesOfPeerId,
  decodeRelayRequest,
  encodeGone,
  encodeGuest,
  encodeRefused,
  encodeReleased,
  encodeReserved,
  isSpoken,
  MAX_RELAYED_BYTES,
  NEWEST_RELAY_VERSION,
  OLDEST_RELAY_VERSION,
  RELAY_HEADER_BYTES,
  type RelayGoneReason,
  type RelayRefusal,
  type RelayRequest,
  tokenOfReserve,
  turnIntoReceived,
} from './messages.ts';
import type {
  RelayedPeer,
  RelayServerEvent,
  RelaySource,
  RelayTransmit,
  ResolvedRelayBudgets,
} from './server-options.ts';

/** How long a peer's answers reach a guest that has sent to it. */
export const GUEST_MS = 120_000;
/** Peers that a guest may talk to at a time; the least recent one is forgotten. */
const MAX_PEERS_OF_GUEST = 64;
const SWEEP_MS = 5000;
const MAX_SOURCES = 4096;
/** When asking again may help. */
const RETRY_S: Readonly<Record<RelayRefusal, number>> = { full: 30, quota: 60, denied: 600, version: 600, closing: 5 };

interface Client<A extends Addr> extends RelayedPeer<A> {
  readonly idBytes: Bytes;
  addr: A;
  host: string;
  version: number;
  verdict: 'admitted' | 'pending' | 'denied';
  bucket: TokenBucket;
  untilMs: Millis;
  seenMs: Millis;
  receivedBytes: number;
  sentBytes: number;
  /** Of the last granted `reserve`. */
  token: Uint8Array | undefined;
  /** For a guest: to whom it has sent, and when. Bounded by MAX_PEERS_OF_GUEST. */
  readonly sentTo: Map<PeerId, Millis>;
  /** What waits for the verdict: the last `reserve` or the first `send`, each at most one. */
  held: { reserve?: readonly [RelaySource<A>, RelayRequest & { readonly type: 'reserve' }]; send?: Bytes } | undefined;
  /** The last receiver: successive datagrams mostly have the same one. */
  lastTo: { readonly bytes: Bytes; readonly id: PeerId } | undefined;
}

/** The machine. */
export class RelayServer<A extends Addr> implements Machine<RelayTransmit<A>, RelayServerEvent<A>> {
  readonly #outbox = new Outbox<RelayTransmit<A>, RelayServerEvent<A>, 'sweep'>();
  /** Clients with a reservation and guests. Bounded by `maxPeers` and `maxGuests`. */
  readonly #clients = new Map<PeerId, Client<A>>();
  readonly #reserved = new SourceShares<Client<A>>();
  readonly #guests = new SourceShares<Client<A>>();
  readonly #judges: boolean;
  readonly #newest: number;
  #budgets: ResolvedRelayBudgets;
  #total!: TokenBucket;
  #sources!: SourceBuckets;

  /**
   * @param judges - whether a client needs a verdict before it is served.
   * @param newest - the newest version that is spoken.
   */
  constructor(now: Millis, budgets: ResolvedRelayBudgets, judges: boolean, newest: number = NEWEST_RELAY_VERSION) {
    this.#budgets = budgets;
    this.#judges = judges;
    this.#newest = newest;
    this.#limit(now);
  }

  /** Clients with a reservation. */
  get reservations(): number {
    return this.#reserved.size;
  }

  get guests(): number {
    return this.#guests.size;
  }

  /** All that have been admitted, guests too. */
  get clients(): readonly RelayedPeer<A>[] {
    return [...this.#clients.values()].filter(({ verdict }) => verdict === 'admitted');
  }

  /** Those with a reservation now. */
  peers(now: Millis): readonly RelayedPeer<A>[] {
    return [...this.#clients.values()].filter(({ untilMs }) => untilMs > now);
  }

  /** New budgets: they hold for what comes from now on; reservations last as long as they were granted. */
  update(now: Millis, budgets: ResolvedRelayBudgets): void {
    this.#budgets = budgets;
    this.#limit(now);
    for (const client of this.#clients.values()) client.bucket = this.#bucket(now);
    while (this.#guests.size > budgets.maxGuests) this.#forget(this.#guests.oldestOfBusiest!);
  }

  handleMessage(now: Millis, from: RelaySource<A>, bytes: Bytes): void {
    const { version, message } = decodeRelayRequest(bytes, this.#newest);
    if (typeof message === 'string') {
      this.#drop(message === 'malformed' ? 'malformed' : `relay.${message}`);
      const token = message === 'unknown_version' ? tokenOfReserve(bytes) : undefined;
      if (token !== undefined) {
        const spoken = version > this.#newest ? this.#newest : OLDEST_RELAY_VERSION;
        this.#answer(from.addr, encodeRefused(spoken, token, 'version', RETRY_S.version));
      }
      return;
    }
    const known = this.#clients.get(from.id);
    if (known !== undefined) {
      known.seenMs = now;
      known.version = version;
      if (known.addr !== from.addr) this.#move(known, from);
    }
    if (message.type === 'release') {
      if (known !== undefined && known.untilMs > now) this.#end(known);
      this.#answer(from.addr, encodeReleased(version, message.token));
    } else if (message.type === 'reserve') this.#reserve(now, from, known ?? version, message);
    else this.#send(now, from, known ?? version, bytes, message);
  }

  /** Answers a `judge` event. */
  handleVerdict(now: Millis, id: PeerId, admitted: boolean): void {
    const client = this.#clients.get(id);
    if (client?.verdict !== 'pending') return;
    client.verdict = admitted ? 'admitted' : 'denied';
    const { held } = client;
    client.held = undefined;
    if (held?.reserve !== undefined) this.#reserve(now, held.reserve[0], client, held.reserve[1]);
    if (held?.send !== undefined) this.#relay(now, client, held.send, held.send.subarray(2, RELAY_HEADER_BYTES));
  }

  /** Ends a reservation and says so. */
  end(id: PeerId, reason: RelayRefusal): void {
    const client = this.#clients.get(id);
    if (client === undefined) return;
    if (reason === 'denied') client.verdict = 'denied';
    if (client.token !== undefined) {
      this.#answer(client.addr, encodeRefused(client.version, client.token, reason, RETRY_S[reason]));
    }
    this.#end(client);
  }

  /** The connection with a client has ended: it has to make contact again, since a relay dials nobody. */
  handleDisconnected(id: PeerId): void {
    const client = this.#clients.get(id);
    if (client === undefined) return;
    this.#end(client);
    this.#forget(client);
  }

  /** Ends all reservations and says so. */
  close(): void {
    for (const { id } of this.#clients.values()) this.end(id, 'closing');
    this.#clients.clear();
    this.#outbox.disarm('sweep');
  }

  handleTimeout(now: Millis): void {
    if (this.#outbox.takeDue(now).length === 0) return;
    for (const client of this.#clients.values()) {
      if (client.token !== undefined && client.untilMs <= now) this.#end(client);
      if (client.token === undefined && client.seenMs + GUEST_MS <= now) this.#forget(client);
    }
    if (this.#clients.size > 0) this.#outbox.arm('sweep', now + SWEEP_MS);
  }

  poll(): Output<RelayTransmit<A>, RelayServerEvent<A>> {
    return this.#outbox.poll();
  }

  #reserve(
    now: Millis,
    from: RelaySource<A>,
    known: Client<A> | number,
    request: RelayRequest & { readonly type: 'reserve' },
  ): void {
    const { token, minutes } = request;
    const { maxPeers, maxPeersPerSource, maxMinutes, bytesPerSecond } = this.#budgets;
    const client = typeof known === 'number' ? this.#enter(now, from, known) : known;
    const version = typeof known === 'number' ? known : known.version;
    const refuse = (reason: RelayRefusal): void =>
      this.#answer(from.addr, encodeRefused(version, token, reason, RETRY_S[reason]));
    if (client === undefined) return refuse('full');
    if (client.verdict === 'pending') {
      client.held = { ...client.held, reserve: [from, request] };
      return undefined;
    }
    if (client.verdict === 'denied') return refuse('denied');
    if (client.token === undefined) {
      if (this.#reserved.size >= maxPeers) return refuse('full');
      if (this.#reserved.countOf(from.host) >= maxPeersPerSource) return refuse('quota');
      this.#guests.delete(client);
      this.#reserved.add(from.host, client);
      this.#outbox.event({ type: 'reserved', id: client.id });
    }
    const lifetimeS = Math.max(1, Math.round(60 * (minutes === 0 ? maxMinutes : Math.min(minutes, maxMinutes))));
    client.token = token;
    client.untilMs = now + lifetimeS * 1000;
    const grant = { lifetimeS, bytesPerSecond, mtu: from.mtu, observed: from.observed };
    this.#answer(from.addr, encodeReserved(version, token, grant));
    return undefined;
  }

  #send(
    now: Millis,
    from: RelaySource<A>,
    known: Client<A> | number,
    bytes: Bytes,
    { to }: RelayRequest & { readonly type: 'send' },
  ): void {
    const client = typeof known === 'number' ? this.#enter(now, from, known) : known;
    if (typeof known === 'number' && client !== undefined) this.#answer(from.addr, encodeGuest(known));
    if (client === undefined) {
      this.#drop('relay.no_room');
      this.#answer(from.addr, encodeGone(known as number, to, 'no_room'));
    } else if (client.verdict === 'pending') {
      if (client.held?.send === undefined) client.held = { ...client.held, send: bytes };
      else this.#drop('relay.verdict_pending');
    } else this.#relay(now, client, bytes, to);
  }

  #relay(now: Millis, client: Client<A>, bytes: Bytes, to: Uint8Array): void {
    const size = bytes.length - RELAY_HEADER_BYTES;
    if (size > MAX_RELAYED_BYTES) return this.#drop('oversize');
    if (!client.bucket.take(now, bytes.length)) return this.#drop('relay.rate_limited');
    const gone = (reason: RelayGoneReason): void => {
      this.#drop(`relay.${reason}`);
      this.#answer(client.addr, encodeGone(client.version, to, reason));
    };
    // Who is not served takes nothing of what the others share.
    if (client.verdict === 'denied') return gone('denied');
    if (!this.#sources.take(now, sourceOf(client.host), bytes.length)) return this.#drop('relay.source_rate_limited');
    if (!this.#total.take(now, bytes.length)) return this.#drop('relay.total_rate_limited');
    const target = this.#targetOf(client, to);
    const isGuest = client.untilMs <= now;
    if (target === undefined || !(target.untilMs > now || (!isGuest && this.#mayAnswer(now, client, target)))) {
      return gone('no_reservation');
    }
    if (isGuest) this.#note(now, client, target.id);
    client.receivedBytes += size;
    target.sentBytes += size;
    this.#outbox.event({ type: 'relayed', bytes: size });
    const version = isSpoken(target.version, this.#newest) ? target.version : OLDEST_RELAY_VERSION;
    this.#outbox.transmit({ to: target.addr, bytes: turnIntoReceived(bytes, version, client.idBytes), peer: target });
    return undefined;
  }

  /** Whether `guest` has sent to `peer` lately. */
  #mayAnswer(now: Millis, peer: Client<A>, guest: Client<A>): boolean {
    const sentMs = guest.sentTo.get(peer.id);
    return sentMs !== undefined && sentMs + GUEST_MS > now;
  }

  #note(now: Millis, guest: Client<A>, id: PeerId): void {
    guest.sentTo.delete(id);
    if (guest.sentTo.size >= MAX_PEERS_OF_GUEST) guest.sentTo.delete(guest.sentTo.keys().next().value!);
    guest.sentTo.set(id, now);
  }

  #targetOf(client: Client<A>, to: Uint8Array): Client<A> | undefined {
    if (client.lastTo === undefined || !equalBytes(client.lastTo.bytes, to)) {
      client.lastTo = { bytes: copyBytes(to), id: encodePeerId(to) };
    }
    return this.#clients.get(client.lastTo.id);
  }

  /** A client that is not known yet enters as a guest; `undefined` without room for it. */
  #enter(now: Millis, from: RelaySource<A>, version: number): Client<A> | undefined {
    if (this.#guests.size >= this.#budgets.maxGuests) {
      const victim = this.#guests.victimFor(from.host) ?? this.#guests.oldestOfBusiest;
      if (victim === undefined) return undefined;
      this.#forget(victim);
    }
    const client: Client<A> = {
      id: from.id,
      idBytes: bytesOfPeerId(from.id),
      addr: from.addr,
      host: from.host,
      version,
      verdict: this.#judges ? 'pending' : 'admitted',
      bucket: this.#bucket(now),
      sinceMs: now,
      untilMs: 0,
      seenMs: now,
      receivedBytes: 0,
      sentBytes: 0,
      token: undefined,
      sentTo: new Map(),
      held: undefined,
      lastTo: undefined,
    };
    this.#clients.set(from.id, client);
    this.#guests.add(from.host, client);
    if (this.#judges) this.#outbox.event({ type: 'judge', from });
    if (!this.#outbox.isArmed('sweep')) this.#outbox.arm('sweep', now + SWEEP_MS);
    return client;
  }

  /** A client speaks from another address now: it has roamed, or its key is in use twice. */
  #move(client: Client<A>, { addr, host }: RelaySource<A>): void {
    client.addr = addr;
    if (client.host === host) return;
    client.host = host;
    const shares = client.token === undefined ? this.#guests : this.#reserved;
    shares.add(host, client);
  }

  /** Makes a guest of a client with a reservation. */
  #end(client: Client<A>): void {
    if (client.token === undefined) return;
    client.token = undefined;
    client.untilMs = 0;
    this.#reserved.delete(client);
    this.#outbox.event({ type: 'ended', id: client.id });
    if (this.#guests.size >= this.#budgets.maxGuests) this.#clients.delete(client.id);
    else this.#guests.add(client.host, client);
  }

  #forget(client: Client<A>): void {
    this.#guests.delete(client);
    this.#clients.delete(client.id);
  }

  #limit(now: Millis): void {
    const { totalBytesPerSecond: total, bytesPerSecondPerSource: perSource } = this.#budgets;
    this.#total = new TokenBucket(total, total, now);
    this.#sources = new SourceBuckets(perSource, perSource, MAX_SOURCES);
  }

  #bucket(now: Millis): TokenBucket {
    const { bytesPerSecond } = this.#budgets;
    return new TokenBucket(bytesPerSecond, bytesPerSecond, now);
  }

  #answer(to: A, bytes: Bytes): void {
    this.#outbox.transmit({ to, bytes, peer: undefined });
  }

  #drop(reason: DropReason): void {
    this.#outbox.event({ type: 'dropped', reason });
  }
}
