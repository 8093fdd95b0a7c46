/**
 * A client of a TURN server (RFC 8656), without I/O: one allocation, the permissions and channels of its peers, and the datagrams between.
 */

import { type Bytes, copyBytes, encodeText } from '../../base/bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { attributeOf, decodeXorAddress, encodeXorAddress, type StunError } from '../stun/attributes.ts';
import { STUN_ATTRIBUTE, STUN_BINDING, STUN_TRANSACTION_ID_BYTES } from '../stun/constants.ts';
import { decodeStun, type DecodedStunMessage, encodeStun, type StunAttribute } from '../stun/message.ts';
import { decodeChannelData, encodeChannelData, isChannelData } from './channel-data.ts';
import {
  ALLOCATION_S,
  FIRST_CHANNEL,
  LAST_CHANNEL,
  PERMISSION_MS,
  TURN_ATTRIBUTE,
  TURN_METHOD,
  UDP_PROTOCOL,
} from './constants.ts';
import type { TurnCredentials } from './credentials.ts';
import { type TurnOutcome, Transactions } from './transactions.ts';

/** How a client works. */
export interface TurnClientOptions {
  readonly credentials: TurnCredentials;
  /** The realm of the server. @default any */
  readonly realm?: string | undefined;
  /** Whether the transport is a stream: nothing is repeated, and channel data is padded. @default false */
  readonly isReliable?: boolean | undefined;
  /** Which relayed address is wanted. @default 4 */
  readonly family?: 4 | 6 | undefined;
  readonly random: (length: number) => Uint8Array;
}

/** What failed: the server's error, or no answer. */
export type TurnFailure = StunError | 'timeout';

/** What a client reports. */
export type TurnEvent =
  | { readonly type: 'allocated'; readonly relayed: SocketAddress; readonly mapped: SocketAddress | undefined }
  /** There is no allocation, or none any more. The last event. */
  | { readonly type: 'failed'; readonly failure: TurnFailure }
  /** Peers at an IP may send from now on. */
  | { readonly type: 'permitted'; readonly ip: string }
  /** The server lets no peer at this IP send, or take datagrams. */
  | { readonly type: 'forbidden'; readonly ip: string; readonly failure: TurnFailure }
  | { readonly type: 'data'; readonly peer: SocketAddress; readonly data: Bytes }
  | {
      readonly type: 'dropped';
      readonly reason: 'malformed' | 'turn.unexpected' | 'turn.queue_full' | 'turn.forbidden';
    };

/** Peers at an IP. */
interface Permission {
  readonly ip: string;
  isGranted: boolean;
  isAsked: boolean;
  /** Wanted until the end, by `permit`. */
  isKept: boolean;
  usedMs: Millis;
  renewMs: Millis;
  /** Datagrams that wait for the permission. Bounded by MAX_HELD. */
  held: { readonly peer: Peer; readonly data: Bytes }[];
}

/** A peer with its channel. */
interface Peer {
  readonly address: SocketAddress;
  readonly permission: Permission;
  /** Datagrams sent to it since it has no channel. */
  sent: number;
  channel: number | undefined;
  /** Until when the channel is bound. */
  boundMs: Millis;
  usedMs: Millis;
  isAsked: boolean;
}

/** Permissions are renewed a minute before they end, and so are channels, whose binding renews the permission too. */
const RENEW_MS: number = PERMISSION_MS - 60_000;
/** IPs with permissions; the least recently used one that is not kept makes room. */
const MAX_PERMISSIONS = 256;
const MAX_PEERS = 1024;
const MAX_HELD = 32;
/** A peer gets a channel, whose header is 4 bytes in place of 36 and more, with this many datagrams. */
const BUSY_DATAGRAMS = 8;
/** A peer is forgotten after this time without a datagram. */
const IDLE_MS = 300_000;
/** NATs forget idle mappings of UDP after 30 s and more. */
const KEEP_MS = 20_000;
/** How soon a failed renewal is tried again. */
const RETRY_MS = 5000;

const keyOf = ({ ip, port }: SocketAddress): string => formatSocketAddress(ip, port);

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** The machine. It sends to the server only. */
export class TurnClient implements Machine<Bytes, TurnEvent> {
  readonly #outbox = new Outbox<Bytes, TurnEvent, 'transactions' | 'refresh' | 'renew' | 'keep'>();
  readonly #options: TurnClientOptions;
  readonly #transactions: Transactions;
  /** By IP. Bounded by MAX_PERMISSIONS. */
  readonly #permissions = new Map<string, Permission>();
  /** By socket address. Bounded by MAX_PEERS. */
  readonly #peers = new Map<string, Peer>();
  /** By number. Bounded by the numbers: a number stays with its peer, since it may not be given to another one soon. */
  readonly #channels = new Map<number, SocketAddress>();
  /** By socket address. Bounded as `#channels`. */
  readonly #numbers = new Map<string, number>();
  #state: 'new' | 'allocating' | 'allocated' | 'ended' = 'new';
  #lifetimeS = ALLOCATION_S;
  #untilMs: Millis = Infinity;

  constructor(options: TurnClientOptions) {
    this.#options = options;
    this.#transactions = new Transactions({
      isReliable: options.isReliable ?? false,
      credentials: options.credentials,
      realm: options.realm,
      random: options.random,
      transmit: (bytes) => this.#outbox.transmit(bytes),
    });
  }

  /** Datagrams that wait for a permission. */
  get held(): number {
    let held = 0;
    for (const permission of this.#permissions.values()) held += permission.held.length;
    return held;
  }

  get permissions(): number {
    return this.#permissions.size;
  }

  get channels(): number {
    return this.#channels.size;
  }

  /** Asks for an allocation: `allocated` or `failed` comes of it. */
  allocate(now: Millis): void {
    if (this.#state !== 'new') return;
    this.#state = 'allocating';
    const { family = 4 } = this.#options;
    const attributes: StunAttribute[] = [
      { type: TURN_ATTRIBUTE.REQUESTED_TRANSPORT, value: Uint8Array.of(UDP_PROTOCOL, 0, 0, 0) },
      { type: TURN_ATTRIBUTE.LIFETIME, value: u32(ALLOCATION_S) },
      { type: STUN_ATTRIBUTE.SOFTWARE, value: encodeText('shoal') },
    ];
    if (family === 6) {
      attributes.push({ type: TURN_ATTRIBUTE.REQUESTED_ADDRESS_FAMILY, value: Uint8Array.of(2, 0, 0, 0) });
    }
    this.#ask(
      now,
      TURN_METHOD.ALLOCATE,
      () => attributes,
      (at, outcome) => this.#allocated(at, outcome),
    );
  }

  /** Lets peers at an IP send, until the end. */
  permit(now: Millis, ip: string): void {
    const permission = this.#permissionOf(now, ip);
    if (permission === undefined) return this.#drop('turn.queue_full');
    permission.isKept = true;
    if (permission.isGranted) this.#outbox.event({ type: 'permitted', ip });
    else this.#askPermission(now, permission);
    return undefined;
  }

  /** Sends a datagram to a peer, once the server permits it. @param data - kept while it waits. */
  send(now: Millis, address: SocketAddress, data: Uint8Array): void {
    if (this.#state !== 'allocated') return;
    const peer = this.#peerOf(now, address);
    if (peer === undefined) return this.#drop('turn.queue_full');
    const { permission } = peer;
    peer.usedMs = now;
    permission.usedMs = now;
    if (permission.isGranted) return this.#transmit(now, peer, data);
    if (permission.held.length >= MAX_HELD) return this.#drop('turn.queue_full');
    permission.held.push({ peer, data: copyBytes(data) });
    this.#askPermission(now, permission);
    return undefined;
  }

  /** Ends the allocation. Nothing is sent or taken after the last message. */
  close(now: Millis): void {
    if (this.#state === 'allocated') {
      const lifetime = [{ type: TURN_ATTRIBUTE.LIFETIME, value: u32(0) }];
      this.#transactions.clear();
      this.#transactions.ask(
        now,
        TURN_METHOD.REFRESH,
        () => lifetime,
        () => undefined,
      );
    }
    this.#end();
  }

  /** Takes a message of the server: a datagram, or one message of the stream. */
  handleMessage(now: Millis, bytes: Bytes): void {
    if (this.#state === 'ended') return;
    if (isChannelData(bytes)) {
      const read = decodeChannelData(bytes);
      const address = read === undefined ? undefined : this.#channels.get(read.channel);
      if (read === undefined) this.#drop('malformed');
      else if (address === undefined) this.#drop('turn.unexpected');
      else this.#deliver(now, address, read.data);
      return;
    }
    const message = decodeStun(bytes);
    if (message === undefined) this.#drop('malformed');
    else if (message.class === 'indication' && message.method === TURN_METHOD.DATA) this.#data(now, message);
    else if (!this.#transactions.handle(now, bytes, message)) this.#drop('turn.unexpected');
    this.#arm();
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'transactions') this.#transactions.handleTimeout(now);
      else if (timer === 'refresh') this.#refresh(now);
      else if (timer === 'keep') this.#keepOpen(now);
      else this.#renew(now);
    }
    this.#arm();
  }

  poll(): Output<Bytes, TurnEvent> {
    return this.#outbox.poll();
  }

  #ask(
    now: Millis,
    method: number,
    attributes: (transactionId: Uint8Array) => readonly StunAttribute[],
    done: (now: Millis, outcome: TurnOutcome) => void,
  ): boolean {
    const asked = this.#transactions.ask(now, method, attributes, (at, outcome) => {
      if (this.#state !== 'ended') done(at, outcome);
    });
    this.#arm();
    return asked;
  }

  #allocated(now: Millis, outcome: TurnOutcome): void {
    if (outcome.type !== 'success') return this.#fail(failureOf(outcome));
    const { message } = outcome;
    const relayed = addressIn(message, TURN_ATTRIBUTE.XOR_RELAYED_ADDRESS);
    if (relayed === undefined) return this.#fail({ code: 500, reason: 'it gives no relayed address' });
    this.#state = 'allocated';
    this.#extend(now, message);
    this.#outbox.arm('renew', now + RETRY_MS);
    this.#outbox.arm('keep', now + KEEP_MS);
    this.#outbox.event({ type: 'allocated', relayed, mapped: addressIn(message, STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS) });
    return undefined;
  }

  /** The allocation lasts from now on as long as the server says. */
  #extend(now: Millis, message: DecodedStunMessage): void {
    const value = attributeOf(message, TURN_ATTRIBUTE.LIFETIME);
    const said = value?.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0) : ALLOCATION_S;
    this.#lifetimeS = Math.max(1, said);
    this.#untilMs = now + this.#lifetimeS * 1000;
    this.#outbox.arm('refresh', now + this.#lifetimeS * 500);
  }

  /** An indication, which is not answered: it keeps the mappings of NATs on the way (RFC 8656 §3.7). */
  #keepOpen(now: Millis): void {
    this.#outbox.arm('keep', now + KEEP_MS);
    const transactionId = this.#options.random(STUN_TRANSACTION_ID_BYTES);
    const message = { class: 'indication', method: STUN_BINDING, transactionId, attributes: [] } as const;
    this.#outbox.transmit(encodeStun(message));
  }

  #refresh(now: Millis): void {
    if (now >= this.#untilMs) return this.#fail('timeout');
    const lifetime = [{ type: TURN_ATTRIBUTE.LIFETIME, value: u32(ALLOCATION_S) }];
    const asked = this.#ask(
      now,
      TURN_METHOD.REFRESH,
      () => lifetime,
      (at, outcome) => {
        if (outcome.type === 'success') this.#extend(at, outcome.message);
        else if (outcome.type === 'error') this.#fail(outcome.error);
        else this.#outbox.arm('refresh', Math.min(at + RETRY_MS, this.#untilMs));
      },
    );
    if (!asked) this.#outbox.arm('refresh', Math.min(now + 1000, this.#untilMs));
    return undefined;
  }

  #permissionOf(now: Millis, ip: string): Permission | undefined {
    const known = this.#permissions.get(ip);
    if (known !== undefined) return known;
    if (this.#permissions.size >= MAX_PERMISSIONS && !this.#forgetPermission()) return undefined;
    const permission: Permission = {
      ip,
      isGranted: false,
      isAsked: false,
      isKept: false,
      usedMs: now,
      renewMs: 0,
      held: [],
    };
    this.#permissions.set(ip, permission);
    return permission;
  }

  /** The least recently used one that nobody has asked to keep. */
  #forgetPermission(): boolean {
    let oldest: Permission | undefined;
    for (const permission of this.#permissions.values()) {
      if (!permission.isKept && (oldest === undefined || permission.usedMs < oldest.usedMs)) oldest = permission;
    }
    if (oldest === undefined) return false;
    this.#forget(oldest);
    return true;
  }

  #forget(permission: Permission): void {
    for (const [key, peer] of this.#peers) if (peer.permission === permission) this.#peers.delete(key);
    this.#permissions.delete(permission.ip);
  }

  #peerOf(now: Millis, address: SocketAddress): Peer | undefined {
    const key = keyOf(address);
    const known = this.#peers.get(key);
    if (known !== undefined) return known;
    const permission = this.#permissionOf(now, address.ip);
    if (permission === undefined) return undefined;
    if (this.#peers.size >= MAX_PEERS) this.#peers.delete(this.#peers.keys().next().value!);
    const peer = { address, permission, sent: 0, channel: undefined, boundMs: 0, usedMs: now, isAsked: false };
    this.#peers.set(key, peer);
    return peer;
  }

  #askPermission(now: Millis, permission: Permission): void {
    if (permission.isAsked || this.#state !== 'allocated') return;
    permission.isAsked = true;
    const { ip } = permission;
    const asked = this.#ask(
      now,
      TURN_METHOD.CREATE_PERMISSION,
      (id) => [peerAddress({ ip, port: 0 }, id)],
      (at, outcome) => {
        permission.isAsked = false;
        if (this.#permissions.get(ip) !== permission) return;
        if (outcome.type === 'success') this.#granted(at, permission);
        else this.#forbidden(at, permission, failureOf(outcome));
      },
    );
    // With all transactions under way it is tried again when permissions are looked through.
    if (!asked) permission.isAsked = false;
  }

  #granted(now: Millis, permission: Permission): void {
    permission.renewMs = now + RENEW_MS;
    if (!permission.isGranted) this.#outbox.event({ type: 'permitted', ip: permission.ip });
    permission.isGranted = true;
    const { held } = permission;
    permission.held = [];
    for (const { peer, data } of held) this.#transmit(now, peer, data);
  }

  #forbidden(now: Millis, permission: Permission, failure: TurnFailure): void {
    const { ip } = permission;
    for (const _ of permission.held) this.#drop('turn.forbidden');
    permission.held = [];
    permission.isGranted = false;
    permission.renewMs = now + RETRY_MS;
    if (!permission.isKept) this.#forget(permission);
    this.#outbox.event({ type: 'forbidden', ip, failure });
  }

  #transmit(now: Millis, peer: Peer, data: Uint8Array): void {
    if (peer.channel !== undefined && now < peer.boundMs) {
      this.#outbox.transmit(encodeChannelData(peer.channel, data, this.#options.isReliable ?? false));
      return;
    }
    const transactionId = this.#options.random(STUN_TRANSACTION_ID_BYTES);
    const attributes = [peerAddress(peer.address, transactionId), { type: TURN_ATTRIBUTE.DATA, value: data }];
    const message = { class: 'indication', method: TURN_METHOD.SEND, transactionId, attributes } as const;
    this.#outbox.transmit(encodeStun(message, { fingerprint: false }));
    if (++peer.sent >= BUSY_DATAGRAMS) this.#bind(now, peer);
  }

  #bind(now: Millis, peer: Peer): void {
    if (peer.isAsked) return;
    const key = keyOf(peer.address);
    const number = this.#numbers.get(key) ?? FIRST_CHANNEL + this.#numbers.size;
    if (number > LAST_CHANNEL) return;
    this.#numbers.set(key, number);
    this.#channels.set(number, peer.address);
    peer.isAsked = true;
    const attributes = (id: Uint8Array): readonly StunAttribute[] => [
      { type: TURN_ATTRIBUTE.CHANNEL_NUMBER, value: u32(number * 0x1_0000) },
      peerAddress(peer.address, id),
    ];
    const asked = this.#ask(now, TURN_METHOD.CHANNEL_BIND, attributes, (at, outcome) => {
      peer.isAsked = false;
      // Without a channel indications go on.
      if (outcome.type !== 'success') return;
      peer.channel = number;
      // Used for as long as its permission holds, which the binding has renewed; the channel itself lasts twice as long.
      peer.boundMs = at + PERMISSION_MS;
      peer.permission.renewMs = at + RENEW_MS;
    });
    if (!asked) peer.isAsked = false;
  }

  /** Renews permissions and channels that are in use, and forgets the others. */
  #renew(now: Millis): void {
    this.#outbox.arm('renew', now + RETRY_MS);
    for (const [key, peer] of this.#peers) {
      if (now >= peer.usedMs + IDLE_MS) this.#peers.delete(key);
      else if (peer.channel !== undefined && now >= peer.boundMs - (PERMISSION_MS - RENEW_MS)) this.#bind(now, peer);
    }
    for (const permission of this.#permissions.values()) {
      if (!permission.isKept && now >= permission.usedMs + IDLE_MS) this.#forget(permission);
      else if (now >= permission.renewMs) this.#askPermission(now, permission);
    }
  }

  #data(now: Millis, message: DecodedStunMessage): void {
    const peer = addressIn(message, TURN_ATTRIBUTE.XOR_PEER_ADDRESS);
    const data = attributeOf(message, TURN_ATTRIBUTE.DATA);
    if (peer === undefined || peer.port === 0 || data === undefined) this.#drop('malformed');
    else this.#deliver(now, peer, data as Bytes);
  }

  /** What a peer sends keeps its permission, as what it is sent does. */
  #deliver(now: Millis, peer: SocketAddress, data: Bytes): void {
    const permission = this.#permissions.get(peer.ip);
    if (permission !== undefined) permission.usedMs = now;
    this.#outbox.event({ type: 'data', peer, data });
  }

  #fail(failure: TurnFailure): void {
    this.#outbox.event({ type: 'failed', failure });
    this.#end();
  }

  #end(): void {
    this.#state = 'ended';
    this.#transactions.clear();
    for (const timer of ['transactions', 'refresh', 'renew', 'keep'] as const) this.#outbox.disarm(timer);
    this.#permissions.clear();
    this.#peers.clear();
  }

  #arm(): void {
    if (this.#state !== 'ended') this.#outbox.arm('transactions', this.#transactions.nextMs);
  }

  #drop(reason: (TurnEvent & { readonly type: 'dropped' })['reason']): void {
    this.#outbox.event({ type: 'dropped', reason });
  }
}

function peerAddress(address: SocketAddress, transactionId: Uint8Array): StunAttribute {
  return { type: TURN_ATTRIBUTE.XOR_PEER_ADDRESS, value: encodeXorAddress(address, transactionId) };
}

function addressIn(message: DecodedStunMessage, type: number): SocketAddress | undefined {
  const value = attributeOf(message, type);
  return value === undefined ? undefined : decodeXorAddress(value, message.transactionId);
}

function failureOf(outcome: Exclude<TurnOutcome, { readonly type: 'success' }>): TurnFailure {
  return outcome.type === 'error' ? outcome.error : 'timeout';
}
