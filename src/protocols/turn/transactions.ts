/**
 * Requests to a TURN server and their answers: repeated over UDP, signed with long-term credentials, asked once more after 401 and 438
 * (RFC 8489 §6.2, §9.2).
 */

import { type Bytes, decodeText, encodeText, toHex } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { attributeOf, decodeError, type StunError } from '../stun/attributes.ts';
import { STUN_ATTRIBUTE, STUN_TRANSACTION_ID_BYTES } from '../stun/constants.ts';
import { checkIntegrity, type DecodedStunMessage, encodeStun, type StunAttribute } from '../stun/message.ts';
import { longTermKey, type TurnCredentials } from './credentials.ts';

/** What came of a request: a signed answer, an error of the server, or nothing. */
export type TurnOutcome =
  | { readonly type: 'success'; readonly message: DecodedStunMessage }
  | { readonly type: 'error'; readonly error: StunError }
  | { readonly type: 'timeout' };

/** Attributes that depend on the transaction id. */
export type TurnAttributes = (transactionId: Uint8Array) => readonly StunAttribute[];

interface Pending {
  readonly method: number;
  readonly attributes: TurnAttributes;
  readonly done: (now: Millis, outcome: TurnOutcome) => void;
  readonly endMs: Millis;
  /** Of the last sending. */
  id: string;
  bytes: Bytes;
  /** The key it was signed with. */
  key: Bytes | undefined;
  pauseMs: number;
  nextMs: Millis;
  /** How often it was asked anew because of credentials: once for each of 401 and 438. */
  hasSigned: boolean;
  hasRenewedNonce: boolean;
}

/** How requests are made. */
export interface TransactionOptions {
  readonly isReliable: boolean;
  readonly credentials: TurnCredentials;
  /** The realm that is expected; `undefined`: any. */
  readonly realm: string | undefined;
  readonly random: (length: number) => Uint8Array;
  readonly transmit: (bytes: Bytes) => void;
}

/** RFC 8489 §6.2.1 repeats after 500 ms; servers of TURN are near, and datagrams wait for what is asked. */
const FIRST_RETRY_MS = 250;
/** Over UDP the last of six sendings is after 7.75 s. */
const TIMEOUT_MS = 11_750;
/** RFC 8489 §6.2.1 allows ten at a time; more wait with the caller. */
export const MAX_TRANSACTIONS = 64;
/** Longer ones are not those of a server: RFC 8489 §14.9 and §14.10 allow 763 bytes. */
const MAX_TEXT_BYTES = 763;

/** Requests under way. */
export class Transactions {
  readonly #options: TransactionOptions;
  /** By transaction id. Bounded by MAX_TRANSACTIONS. */
  readonly #pending = new Map<string, Pending>();
  #realm: string | undefined;
  #nonce: Bytes | undefined;
  #key: Bytes | undefined;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** The earliest deadline. */
  get nextMs(): Millis {
    let next = Infinity;
    for (const { nextMs, endMs } of this.#pending.values()) next = Math.min(next, nextMs, endMs);
    return next;
  }

  /** @param done - called once. @returns false with too many requests under way: `done` is not called then. */
  ask(now: Millis, method: number, attributes: TurnAttributes, done: Pending['done']): boolean {
    if (this.#pending.size >= MAX_TRANSACTIONS) return false;
    const pending: Pending = {
      method,
      attributes,
      done,
      endMs: now + TIMEOUT_MS,
      id: '',
      bytes: new Uint8Array(0),
      key: undefined,
      pauseMs: FIRST_RETRY_MS,
      nextMs: Infinity,
      hasSigned: false,
      hasRenewedNonce: false,
    };
    this.#send(now, pending);
    return true;
  }

  /** Takes an answer. @returns false for what answers no request, or is not signed as it must be */
  handle(now: Millis, bytes: Uint8Array, message: DecodedStunMessage): boolean {
    const pending = this.#pending.get(toHex(message.transactionId));
    if (pending === undefined || pending.method !== message.method) return false;
    if (message.class === 'error') {
      const value = attributeOf(message, STUN_ATTRIBUTE.ERROR_CODE);
      const error = value === undefined ? undefined : decodeError(value);
      if (error === undefined) return false;
      this.#pending.delete(pending.id);
      if (!this.#askAgain(now, pending, message, error)) pending.done(now, { type: 'error', error });
      return true;
    }
    // Only who knows the password can grant something.
    if (message.class !== 'success' || pending.key === undefined || !checkIntegrity(bytes, message, pending.key))
      return false;
    this.#pending.delete(pending.id);
    pending.done(now, { type: 'success', message });
    return true;
  }

  handleTimeout(now: Millis): void {
    for (const pending of this.#pending.values()) {
      if (now >= pending.endMs) {
        this.#pending.delete(pending.id);
        pending.done(now, { type: 'timeout' });
      } else if (now >= pending.nextMs) {
        pending.pauseMs *= 2;
        pending.nextMs = now + pending.pauseMs;
        this.#options.transmit(pending.bytes);
      }
    }
  }

  /** Gives all requests up. */
  clear(): void {
    this.#pending.clear();
  }

  /** After 401, and after 438 (stale nonce): once each, with what the server wants. */
  #askAgain(now: Millis, pending: Pending, message: DecodedStunMessage, { code }: StunError): boolean {
    if (code !== 401 && code !== 438) return false;
    if (code === 401 ? pending.hasSigned : pending.hasRenewedNonce) return false;
    const realm = attributeOf(message, STUN_ATTRIBUTE.REALM);
    const nonce = attributeOf(message, STUN_ATTRIBUTE.NONCE);
    if (nonce === undefined || nonce.length > MAX_TEXT_BYTES || (realm?.length ?? 0) > MAX_TEXT_BYTES) return false;
    const said = realm === undefined ? this.#realm : decodeText(realm);
    if (said === undefined || (this.#options.realm !== undefined && this.#options.realm !== said)) return false;
    this.#nonce = nonce.slice();
    if (said !== this.#realm || this.#key === undefined) {
      this.#realm = said;
      this.#key = longTermKey(this.#options.credentials, said);
    }
    if (code === 401) pending.hasSigned = true;
    else pending.hasRenewedNonce = true;
    this.#send(now, pending);
    return true;
  }

  #send(now: Millis, pending: Pending): void {
    const { random, credentials, transmit, isReliable } = this.#options;
    const transactionId = random(STUN_TRANSACTION_ID_BYTES).slice();
    const attributes = [...pending.attributes(transactionId)];
    const key = this.#key;
    if (key !== undefined) {
      attributes.push(
        { type: STUN_ATTRIBUTE.USERNAME, value: encodeText(credentials.username) },
        { type: STUN_ATTRIBUTE.REALM, value: encodeText(this.#realm!) },
        { type: STUN_ATTRIBUTE.NONCE, value: this.#nonce! },
      );
      pending.hasSigned = true;
    }
    pending.key = key;
    pending.id = toHex(transactionId);
    pending.bytes = encodeStun(
      { class: 'request', method: pending.method, transactionId, attributes },
      { integrityKey: key },
    );
    pending.pauseMs = FIRST_RETRY_MS;
    pending.nextMs = isReliable ? Infinity : now + FIRST_RETRY_MS;
    this.#pending.set(pending.id, pending);
    transmit(pending.bytes);
  }
}
