/**
 * Decides which InitHellos are processed, before any state is made for them. docs/wire/p2pke.md §8.
 *
 * Within a budget all are admitted. Beyond it, the sender has to prove that it receives at its address: it gets a cookie, made from the
 * address and a secret, so that nothing is stored. An InitHello with its cookie has a budget of its own, per source and in all. So a flood
 * from forged addresses costs one hash per datagram, and genuine peers need one round trip more.
 */

import { hmac } from '#crypto';
import { concatBytes, copyBytes, encodeText, equalBytes, type Bytes } from '../../base/bytes.ts';
import { quantity, wholeNumber } from '../../base/checks.ts';
import type { Millis } from '../../base/machine.ts';
import { SourceBuckets, TokenBucket } from '../../base/token-bucket.ts';
import { COOKIE_BYTES } from './constants.ts';
import { sessionIdOf } from './hello.ts';
import { encodeCookieReply, type InitHelloDatagram } from './messages.ts';

/** How many handshakes of others are processed. One costs about half a millisecond of a core. */
export interface HandshakeGateLimits {
  /** InitHellos a second that need no cookie, from all sources together. @default 100: 5 % of a core */
  readonly hellosPerSecond?: number | undefined;
  /** InitHellos a second with a right cookie, from all sources together. @default 500: a quarter of a core */
  readonly provenHellosPerSecond?: number | undefined;
  /** InitHellos a second with a right cookie from one source. @default 10 */
  readonly hellosPerSourcePerSecond?: number | undefined;
  /** Sources that are remembered, each in about 100 bytes; the least recently seen is forgotten first. @default 4096 */
  readonly maxSources?: number | undefined;
}

/** Defaults of {@link HandshakeGateLimits}. */
export const HANDSHAKE_GATE_LIMITS: { readonly [K in keyof HandshakeGateLimits]-?: number } = {
  hellosPerSecond: 100,
  provenHellosPerSecond: 500,
  hellosPerSourcePerSecond: 10,
  maxSources: 4096,
};

/** For how long in s a budget accumulates. */
const BURST_SECONDS = 2;

/** How long cookies are made with one secret, and how long they stay valid after that (as WireGuard, §5.4.7). */
const SECRET_MS = 120_000;

function bucket(perSecond: number, now: Millis): TokenBucket {
  return new TokenBucket(perSecond, perSecond * BURST_SECONDS, now);
}

/** What is done with an InitHello: admitted, answered with these bytes, or dropped. */
export type Admission = 'admit' | 'drop' | Bytes;

/** The gate of one swarm. */
export class HandshakeGate {
  readonly #random: (length: number) => Uint8Array;
  readonly #unproven: TokenBucket;
  readonly #proven: TokenBucket;
  /** Proven sources only, because others can be forged. Bounded by maxSources. */
  readonly #sources: SourceBuckets;
  #secret: Bytes;
  #oldSecret: Bytes | undefined;
  #secretSinceMs: Millis;

  /**
   * @param random - bytes fit for keys.
   * @throws {TypeError} {RangeError} when a limit is no number or out of range.
   */
  constructor(now: Millis, random: (length: number) => Uint8Array, limits: HandshakeGateLimits = {}) {
    const rate = (name: Exclude<keyof HandshakeGateLimits, 'maxSources'>): number =>
      quantity(limits[name], name, HANDSHAKE_GATE_LIMITS[name], 0, Infinity);
    this.#random = random;
    const perSource = rate('hellosPerSourcePerSecond');
    const maxSources = wholeNumber(limits.maxSources, 'maxSources', HANDSHAKE_GATE_LIMITS.maxSources, 1, 2 ** 24);
    this.#sources = new SourceBuckets(perSource, perSource * BURST_SECONDS, maxSources);
    this.#unproven = bucket(rate('hellosPerSecond'), now);
    this.#proven = bucket(rate('provenHellosPerSecond'), now);
    this.#secret = copyBytes(random(32));
    this.#secretSinceMs = now;
  }

  /** Proven sources that are remembered now. */
  get sources(): number {
    return this.#sources.size;
  }

  /**
   * @param address - the whole address that the datagram came from, which a cookie proves.
   * @param source - shares one budget: a host, for example, of which an address is one port.
   * @param hello - `datagram`, decoded by `decodeInitHello`.
   */
  admit(now: Millis, address: string, source: string, datagram: Uint8Array, hello: InitHelloDatagram): Admission {
    if (this.#unproven.take(now)) return 'admit';
    this.#turnSecret(now);
    const { cookie } = hello.hello;
    if (cookie === undefined || !this.#isOurs(cookie, address, hello.ephemeral)) {
      const sessionId = sessionIdOf(datagram).subarray(0, COOKIE_BYTES);
      return encodeCookieReply({ sessionId, cookie: cookieFor(this.#secret, address, hello.ephemeral) });
    }
    return this.#sources.take(now, source) && this.#proven.take(now) ? 'admit' : 'drop';
  }

  #turnSecret(now: Millis): void {
    const age = now - this.#secretSinceMs;
    if (age < SECRET_MS) return;
    this.#oldSecret = age < 2 * SECRET_MS ? this.#secret : undefined;
    this.#secret = copyBytes(this.#random(32));
    this.#secretSinceMs = now;
  }

  #isOurs(cookie: Uint8Array, address: string, ephemeral: Uint8Array): boolean {
    if (equalBytes(cookie, cookieFor(this.#secret, address, ephemeral))) return true;
    return this.#oldSecret !== undefined && equalBytes(cookie, cookieFor(this.#oldSecret, address, ephemeral));
  }
}

/** A cookie: proves that its sender received it at `address`, for this handshake. */
function cookieFor(secret: Uint8Array, address: string, ephemeral: Uint8Array): Bytes {
  return hmac('sha256', secret, concatBytes(ephemeral, encodeText(address))).slice(0, COOKIE_BYTES);
}
