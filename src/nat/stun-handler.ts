/** STUN on a datagram socket that also carries something else: asks observers, answers those who ask, takes nonces of dial-backs. */

import type { Bytes } from '../base/bytes.ts';
import type { SocketAddress } from '../base/ip.ts';
import { sourceOf } from '../base/source-shares.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { Realm } from '../core/realm.ts';
import type { StunAnswer } from '../protocols/stun/client.ts';
import { isStun } from '../protocols/stun/message.ts';
import { answerStun } from '../protocols/stun/server.ts';
import { DialBackNonces } from './dial-back-nonces.ts';
import { StunAsker } from './stun-asker.ts';

const MAX_PER_SOURCE_PER_SECOND = 20;
const MAX_SOURCES = 1024;

/** Options of a question to an observer. */
export interface ObserveOptions extends CallOptions {
  /**
   * Whether the question is sent again while no answer comes. `false` sends one datagram of 28 bytes: a probe of an
   * address that somebody claims. @default true
   */
  readonly repeat?: boolean | undefined;
}

export class StunHandler {
  /** Where helpers of dial-backs are waited for. */
  readonly nonces: DialBackNonces = new DialBackNonces();
  readonly #realm: Realm;
  readonly #send: (to: SocketAddress, bytes: Bytes) => void;
  readonly #serves: boolean;
  readonly #asker: StunAsker;
  readonly #rates = new SourceBuckets(MAX_PER_SOURCE_PER_SECOND, MAX_PER_SOURCE_PER_SECOND, MAX_SOURCES);

  /** @param send - must not throw; what cannot be sent is repeated, and times out in the end. */
  constructor(realm: Realm, send: (to: SocketAddress, bytes: Bytes) => void, serves = true) {
    this.#realm = realm;
    this.#send = send;
    this.#serves = serves;
    this.#asker = new StunAsker(realm, ({ to, bytes }) => send(to, bytes));
  }

  /** Asks an observer under which address it sees this socket. */
  observe(observer: SocketAddress, options?: ObserveOptions): Promise<StunAnswer> {
    return this.#asker.ask(observer, options);
  }

  /** @returns whether a datagram was STUN; `rate_limited` when it is not answered because its source asks too often. */
  handle(from: SocketAddress, here: SocketAddress, payload: Uint8Array): boolean | 'rate_limited' {
    if (!isStun(payload)) return false;
    if (this.#asker.handleDatagram(from, payload) || this.nonces.handle(payload, from, 'udp')) return true;
    const reply = this.#serves ? answerStun(payload, from, { here }) : undefined;
    if (reply === undefined) return false;
    if (!this.#rates.take(this.#realm.nowMs(), sourceOf(from.ip))) return 'rate_limited';
    this.#send(from, reply.bytes);
    return true;
  }

  close(): void {
    this.#asker.close();
  }
}
