/**
 * Asks STUN servers under which address they see this socket (RFC 8489 §6.2.1, §7), without I/O. Any number of questions may be
 * under way on one socket; what comes that answers none of them is not for this machine.
 */

import { toHex } from '../../base/bytes.ts';
import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { SocketAddress } from '../../base/ip.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { attributeOf, decodeAddress, decodeError, decodeXorAddress, type StunError } from './attributes.ts';
import { CHANGE_IP, CHANGE_PORT, STUN_ATTRIBUTE, STUN_BINDING } from './constants.ts';
import { decodeStun, type DecodedStunMessage, encodeStun, isStun, type StunAttribute } from './message.ts';

/** How the client waits. */
export interface StunClientOptions {
  /**
   * When a question is repeated first; the pause doubles each time.
   * @default 150, as Tailscale does, for servers that answer from nearby; RFC 8489 §6.2.1 says 500
   */
  readonly firstRetryMs?: number | undefined;
  /** When a question without an answer has failed. @default 3000 */
  readonly timeoutMs?: number | undefined;
}

/** A datagram to a server. */
export interface StunTransmit {
  readonly to: SocketAddress;
  readonly bytes: Bytes;
}

/** What a server said. */
export interface StunAnswer {
  /** Whom it was asked. */
  readonly server: SocketAddress;
  /** From where the answer came: another address only where that was asked for. */
  readonly from: SocketAddress;
  /** The address under which the server saw the question. */
  readonly mapped: SocketAddress;
  /** The server's second address, where it has one (RFC 5780). */
  readonly other: SocketAddress | undefined;
  /** From the last sending to the answer; with repeated questions a lower bound. */
  readonly rttMs: number;
}

/** What became of a question. */
export type StunEvent =
  | ({ readonly type: 'answer'; readonly question: string } & StunAnswer)
  | {
      readonly type: 'failed';
      readonly question: string;
      readonly server: SocketAddress;
      /** `refused`: the server answered with an error. */
      readonly reason: 'timeout' | 'refused';
      readonly error: StunError | undefined;
    };

/** From where the server should answer (RFC 5780 §7.2); it must have a second address. */
export interface StunQuestion {
  readonly server: SocketAddress;
  /** 12 random bytes. */
  readonly transactionId: Uint8Array;
  readonly changeIp?: boolean | undefined;
  readonly changePort?: boolean | undefined;
  /** Whether it is sent again while no answer comes. @default true */
  readonly repeat?: boolean | undefined;
}

/** Questions under way at once; RFC 8489 §6.2.1 limits those to one server to 10. */
export const MAX_STUN_QUESTIONS = 64;

interface Pending {
  readonly question: string;
  readonly server: SocketAddress;
  readonly transactionId: Uint8Array;
  readonly elsewhere: boolean;
  readonly bytes: Bytes;
  readonly endMs: Millis;
  sentMs: Millis;
  pauseMs: number;
  nextMs: Millis;
}

/** The machine. */
export class StunClient implements Machine<StunTransmit, StunEvent> {
  readonly #outbox = new Outbox<StunTransmit, StunEvent, 'next'>();
  readonly #firstRetryMs: number;
  readonly #timeoutMs: number;
  /** By transaction id. Bounded by {@link MAX_STUN_QUESTIONS}. */
  readonly #pending = new Map<string, Pending>();

  constructor({ firstRetryMs = 150, timeoutMs = 3000 }: StunClientOptions = {}) {
    this.#firstRetryMs = firstRetryMs;
    this.#timeoutMs = timeoutMs;
  }

  /** Questions under way. */
  get size(): number {
    return this.#pending.size;
  }

  /**
   * Asks a server.
   *
   * @returns the question's name, which its event has; `undefined` when too many are under way.
   */
  ask(now: Millis, { server, transactionId, changeIp, changePort, repeat = true }: StunQuestion): string | undefined {
    if (this.#pending.size >= MAX_STUN_QUESTIONS) return undefined;
    const flags = (changeIp === true ? CHANGE_IP : 0) | (changePort === true ? CHANGE_PORT : 0);
    const attributes: StunAttribute[] = [];
    if (flags !== 0) attributes.push({ type: STUN_ATTRIBUTE.CHANGE_REQUEST, value: Uint8Array.of(0, 0, 0, flags) });
    const bytes = encodeStun({ class: 'request', method: STUN_BINDING, transactionId, attributes });
    const question = toHex(transactionId);
    this.#pending.set(question, {
      question,
      server,
      transactionId,
      elsewhere: flags !== 0,
      bytes,
      endMs: now + this.#timeoutMs,
      sentMs: now,
      pauseMs: this.#firstRetryMs,
      nextMs: repeat ? now + this.#firstRetryMs : Infinity,
    });
    this.#outbox.transmit({ to: server, bytes });
    this.#arm();
    return question;
  }

  /** Gives a question up; no event comes of it. */
  cancel(question: string): void {
    this.#pending.delete(question);
    this.#arm();
  }

  /**
   * Takes a datagram.
   *
   * @returns whether it was the answer to a question. Other datagrams belong to other users of the socket.
   */
  handleDatagram(now: Millis, from: SocketAddress, bytes: Uint8Array): boolean {
    if (!isStun(bytes) || this.#pending.size === 0) return false;
    const pending = this.#pending.get(toHex(bytes.subarray(8, 20)));
    // An answer comes from where the question went to, unless another address was asked for.
    if (pending === undefined || (!pending.elsewhere && !isSame(pending.server, from))) return false;
    const message = decodeStun(bytes);
    if (message === undefined || message.method !== STUN_BINDING) return false;
    if (!equalBytes(message.transactionId, pending.transactionId)) return false;
    if (message.class === 'error') this.#refused(pending, message);
    else if (message.class !== 'success' || !this.#answered(now, pending, from, message)) return false;
    this.#pending.delete(pending.question);
    this.#arm();
    return true;
  }

  handleTimeout(now: Millis): void {
    if (this.#outbox.takeDue(now).length === 0) return;
    for (const pending of this.#pending.values()) {
      if (now >= pending.endMs) {
        const { question, server } = pending;
        this.#pending.delete(question);
        this.#outbox.event({ type: 'failed', question, server, reason: 'timeout', error: undefined });
      } else if (now >= pending.nextMs) {
        pending.pauseMs *= 2;
        pending.sentMs = now;
        pending.nextMs = now + pending.pauseMs;
        this.#outbox.transmit({ to: pending.server, bytes: pending.bytes });
      }
    }
    this.#arm();
  }

  poll(): Output<StunTransmit, StunEvent> {
    return this.#outbox.poll();
  }

  #refused({ question, server }: Pending, message: DecodedStunMessage): void {
    const value = attributeOf(message, STUN_ATTRIBUTE.ERROR_CODE);
    const error = value === undefined ? undefined : decodeError(value);
    this.#outbox.event({ type: 'failed', question, server, reason: 'refused', error });
  }

  /** @returns false for an answer that does not say what was asked. */
  #answered(now: Millis, pending: Pending, from: SocketAddress, message: DecodedStunMessage): boolean {
    const xored = attributeOf(message, STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS);
    const plain = attributeOf(message, STUN_ATTRIBUTE.MAPPED_ADDRESS);
    const mapped =
      xored !== undefined
        ? decodeXorAddress(xored, message.transactionId)
        : plain !== undefined
          ? decodeAddress(plain)
          : undefined;
    if (mapped === undefined || mapped.port === 0) return false;
    const other = attributeOf(message, STUN_ATTRIBUTE.OTHER_ADDRESS);
    this.#outbox.event({
      type: 'answer',
      question: pending.question,
      server: pending.server,
      from,
      mapped,
      other: other === undefined ? undefined : decodeAddress(other),
      rttMs: now - pending.sentMs,
    });
    return true;
  }

  #arm(): void {
    let next = Infinity;
    for (const { nextMs, endMs } of this.#pending.values()) next = Math.min(next, nextMs, endMs);
    this.#outbox.arm('next', next);
  }
}

const isSame = (a: SocketAddress, b: SocketAddress): boolean => a.ip === b.ip && a.port === b.port;
