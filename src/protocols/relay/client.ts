/**
 * A reservation at one relay, without I/O: asks for it, renews it, notices its loss, and asks again until it is released.
 * Source: docs/wire/relay.md §3.
 */

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import {
  encodeRelease,
  encodeReserve,
  NEWEST_RELAY_VERSION,
  OLDEST_RELAY_VERSION,
  RELAY_TOKEN_BYTES,
  type RelayGrant,
  type RelayRefusal,
  type RelayReply,
} from './messages.ts';

/** `idle`: not wanted, or released. */
export type RelayClientState = 'idle' | 'reserving' | 'reserved' | 'lost' | 'refused';

/** Why there is no reservation. */
export type RelayLoss = RelayRefusal | 'timeout' | 'unreachable';

/** How a client asks. */
export interface RelayClientOptions {
  /** Random bytes: tokens, and how much longer a pause is. */
  readonly random: (length: number) => Uint8Array;
  /** For how long; 0: as long as the relay gives. @default 0 */
  readonly minutes?: number | undefined;
  /** @default the newest that is spoken here */
  readonly newest?: number | undefined;
}

/** A message to the relay. */
export interface RelayClientTransmit {
  readonly bytes: Bytes;
  readonly token: Uint8Array;
}

/** What a client reports: another state, or other terms. */
export type RelayClientEvent = { readonly type: 'changed' } | { readonly type: 'stale' };

/** The pause before a request is repeated; it doubles. */
const FIRST_REPEAT_MS = 200;
/** Sendings of one request: at 0, 200, 600, 1400 and 3000 ms. */
const MAX_SENDS = 5;
/** A reservation is renewed at half its lifetime, and at the latest after this time: NATs forget idle mappings of UDP after 30 s. */
const MAX_RENEW_MS = 20_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** How often a relay can make a client renew by saying that it is a guest. */
const GUEST_NOTICE_MS = 1000;

interface Request {
  readonly kind: 'reserve' | 'release';
  readonly token: Uint8Array;
  readonly sinceMs: Millis;
  sends: number;
}

/** The machine. */
export class RelayClient implements Machine<RelayClientTransmit, RelayClientEvent> {
  readonly #outbox = new Outbox<RelayClientTransmit, RelayClientEvent, 'repeat' | 'renew' | 'retry'>();
  readonly #options: RelayClientOptions;
  #version: number;
  #state: RelayClientState = 'idle';
  #reason: RelayLoss | undefined;
  #grant: RelayGrant | undefined;
  #untilMs: Millis = 0;
  /** Of the last granted request. */
  #token: Uint8Array | undefined;
  #request: Request | undefined;
  #retryMs = FIRST_RETRY_MS;
  #guestMs = Number.NEGATIVE_INFINITY;

  constructor(options: RelayClientOptions) {
    this.#options = options;
    this.#version = options.newest ?? NEWEST_RELAY_VERSION;
  }

  get state(): RelayClientState {
    return this.#state;
  }

  /** Why it is `lost` or `refused`. */
  get reason(): RelayLoss | undefined {
    return this.#reason;
  }

  /** The terms; `undefined` without a reservation. */
  get grant(): RelayGrant | undefined {
    return this.#grant;
  }

  /** When the reservation ends if it is not renewed; 0 without one. */
  get untilMs(): Millis {
    return this.#untilMs;
  }

  /** The version in which the relay is spoken to. */
  get version(): number {
    return this.#version;
  }

  /** Asks for a reservation at once, and keeps it from then on. */
  reserve(now: Millis): void {
    if (this.#state === 'reserved' || this.#request?.kind === 'reserve') return;
    this.#outbox.disarm('retry');
    this.#ask(now, 'reserve');
    if (this.#state !== 'idle') return;
    this.#retryMs = FIRST_RETRY_MS;
    this.#become('reserving');
  }

  /** Wants none any more, and tells the relay. */
  release(now: Millis): void {
    if (this.#state === 'idle') return;
    this.#outbox.disarm('renew');
    this.#outbox.disarm('retry');
    this.#ask(now, 'release');
    this.#lose('idle', undefined);
  }

  /** Takes an answer or a notice; those with datagrams are not for this machine. */
  handleReply(now: Millis, version: number, reply: Exclude<RelayReply, { readonly type: 'received' | 'gone' }>): void {
    if (reply.type === 'guest') {
      if (this.#state !== 'reserved' || this.#request !== undefined || now < this.#guestMs + GUEST_NOTICE_MS) return;
      this.#guestMs = now;
      this.#ask(now, 'reserve');
      return;
    }
    const request = this.#request;
    const isAnswer = request !== undefined && equalBytes(request.token, reply.token);
    if (reply.type === 'refused') {
      const isGranted = this.#token !== undefined && equalBytes(this.#token, reply.token);
      if ((isAnswer && request.kind === 'reserve') || isGranted)
        this.#refused(now, version, reply.reason, reply.retryS);
      else this.#stale();
    } else if (!isAnswer || (request.kind === 'reserve') !== (reply.type === 'reserved')) this.#stale();
    else if (reply.type === 'released') this.#answered();
    else this.#granted(request, reply);
  }

  /** The connection with the relay has ended: asks over a new one whether the reservation still holds. */
  handleDisconnected(now: Millis): void {
    if (this.#state === 'reserved' && this.#request === undefined) this.#ask(now, 'reserve');
  }

  /** The message with this token could not be sent. */
  handleUnsent(now: Millis, token: Uint8Array): void {
    if (this.#request !== undefined && equalBytes(this.#request.token, token)) this.#failed(now, 'unreachable');
  }

  handleTimeout(now: Millis): void {
    for (const timer of this.#outbox.takeDue(now)) {
      if (timer === 'repeat') this.#repeat(now);
      else if (this.#request === undefined) this.#ask(now, 'reserve');
    }
  }

  poll(): Output<RelayClientTransmit, RelayClientEvent> {
    return this.#outbox.poll();
  }

  #ask(now: Millis, kind: Request['kind']): void {
    this.#request = { kind, token: this.#options.random(RELAY_TOKEN_BYTES).slice(), sinceMs: now, sends: 0 };
    this.#transmit(now, this.#request);
  }

  #transmit(now: Millis, request: Request): void {
    const { kind, token } = request;
    const bytes =
      kind === 'release'
        ? encodeRelease(this.#version, token)
        : encodeReserve(this.#version, token, this.#options.minutes ?? 0);
    this.#outbox.transmit({ bytes, token });
    this.#outbox.arm('repeat', now + FIRST_REPEAT_MS * 2 ** request.sends);
    request.sends++;
  }

  #repeat(now: Millis): void {
    const request = this.#request;
    if (request === undefined) return;
    if (request.sends < MAX_SENDS) this.#transmit(now, request);
    else this.#failed(now, 'timeout');
  }

  #failed(now: Millis, reason: 'timeout' | 'unreachable'): void {
    const isRelease = this.#request?.kind === 'release';
    this.#answered();
    if (isRelease) return;
    this.#retry(now, 0);
    this.#lose('lost', reason);
  }

  #granted({ sinceMs }: Request, grant: RelayReply & { readonly type: 'reserved' }): void {
    const before = this.#grant;
    this.#answered();
    this.#retryMs = FIRST_RETRY_MS;
    this.#token = grant.token;
    // From the time of the question: the relay counts from later on.
    this.#untilMs = sinceMs + grant.lifetimeS * 1000;
    const { lifetimeS, bytesPerSecond, mtu, observed } = grant;
    this.#grant = { lifetimeS, bytesPerSecond, mtu, observed };
    this.#outbox.arm('renew', sinceMs + Math.min(lifetimeS * 500, MAX_RENEW_MS));
    const isSame = before !== undefined && JSON.stringify(before) === JSON.stringify(this.#grant);
    if (this.#state !== 'reserved' || !isSame) this.#become('reserved');
  }

  #refused(now: Millis, version: number, reason: RelayRefusal, retryS: number): void {
    this.#answered();
    if (reason === 'version' && version < this.#version && version >= OLDEST_RELAY_VERSION) {
      this.#version = version;
      this.#ask(now, 'reserve');
      return;
    }
    this.#retry(now, retryS * 1000);
    this.#lose(reason === 'closing' ? 'lost' : 'refused', reason);
  }

  #retry(now: Millis, atLeastMs: number): void {
    // Half as much again at most, so that the clients of a relay that has come back do not all ask at once.
    const spread = 1 + this.#options.random(1)[0]! / 510;
    this.#outbox.disarm('renew');
    this.#outbox.arm('retry', now + Math.max(this.#retryMs, atLeastMs) * spread);
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
  }

  #lose(state: RelayClientState, reason: RelayLoss | undefined): void {
    this.#grant = undefined;
    this.#token = undefined;
    this.#untilMs = 0;
    this.#become(state, reason);
  }

  #answered(): void {
    this.#request = undefined;
    this.#outbox.disarm('repeat');
  }

  #become(state: RelayClientState, reason?: RelayLoss): void {
    this.#state = state;
    this.#reason = reason;
    this.#outbox.event({ type: 'changed' });
  }

  #stale(): void {
    this.#outbox.event({ type: 'stale' });
  }
}
