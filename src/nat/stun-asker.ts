/** Asks STUN servers over whatever sends datagrams: the client's machine with its clock, its randomness and its promises. */

import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { type StunAnswer, StunClient, type StunEvent, type StunTransmit } from '../protocols/stun/client.ts';
import { STUN_TRANSACTION_ID_BYTES } from '../protocols/stun/constants.ts';
import { Driver } from '../runtime/driver.ts';
import { type Wait, Waits } from '../runtime/waits.ts';

/** From where a server should answer (RFC 5780 §7.2). */
export interface StunAskOptions extends CallOptions {
  readonly changeIp?: boolean | undefined;
  readonly changePort?: boolean | undefined;
  /** Whether the question is sent again while no answer comes. @default true */
  readonly repeat?: boolean | undefined;
}

/** How long a question may take; the machine repeats it within that time. */
export const STUN_TIMEOUT_MS = 3000;

/** Questions and their answers over one socket. */
export class StunAsker {
  readonly #realm: Realm;
  readonly #client: StunClient;
  readonly #timeoutMs: number;
  readonly #driver: Driver<StunTransmit, StunEvent>;
  readonly #waits: Waits;
  /** Bounded by the questions under way. */
  readonly #asked = new Map<string, Wait<StunAnswer>>();

  /**
   * @param send - sends a datagram; must not throw.
   * @param timeoutMs - when a question without an answer has failed; a call may say less.
   */
  constructor(realm: Realm, send: (transmit: StunTransmit) => void, timeoutMs: number = STUN_TIMEOUT_MS) {
    this.#realm = realm;
    this.#timeoutMs = timeoutMs;
    this.#client = new StunClient({ timeoutMs });
    this.#waits = new Waits(realm);
    this.#driver = new Driver(this.#client, {
      realm,
      transmit: send,
      event: (event) => this.#handle(event),
      failed: (bug) => this.close(bug),
    });
  }

  /**
   * Asks a server under which address it sees this socket.
   *
   * @throws {P2PError} (by rejection) `timeout`, `refused` with the server's words, `limit_exceeded` with 64 questions under way,
   *   `closed`; the signal's reason.
   */
  ask(server: SocketAddress, { changeIp, changePort, repeat, ...call }: StunAskOptions = {}): Promise<StunAnswer> {
    const what = (): string => `ask ${formatSocketAddress(server.ip, server.port)} for this address`;
    return this.#waits.wait<StunAnswer>({ what, call, defaultTimeoutMs: Infinity }, (wait) => {
      const transactionId = this.#realm.random(STUN_TRANSACTION_ID_BYTES);
      const question = this.#client.ask(this.#realm.nowMs(), { server, transactionId, changeIp, changePort, repeat });
      if (question === undefined) {
        const message = `Cannot ${what()}: ${this.#client.size} questions are under way`;
        throw new P2PError('limit_exceeded', 'local', message, { sent: 'no' });
      }
      this.#asked.set(question, wait);
      this.#driver.poll();
      return () => {
        this.#asked.delete(question);
        this.#client.cancel(question);
        this.#driver.poll();
      };
    });
  }

  /** @returns whether the datagram answered a question; others are not for this. */
  handleDatagram(from: SocketAddress, bytes: Uint8Array): boolean {
    const taken = this.#client.handleDatagram(this.#realm.nowMs(), from, bytes);
    if (taken) this.#driver.poll();
    return taken;
  }

  close(cause?: unknown): void {
    this.#driver.stop();
    this.#waits.close(cause);
  }

  #handle(event: StunEvent): void {
    const wait = this.#asked.get(event.question);
    if (event.type === 'answer') {
      const { server, from, mapped, other, rttMs } = event;
      wait?.resolve({ server, from, mapped, other, rttMs });
      return;
    }
    const who = formatSocketAddress(event.server.ip, event.server.port);
    if (event.reason === 'timeout') {
      const message = `Cannot ask ${who} for this address: no answer within ${this.#timeoutMs} ms`;
      wait?.reject(new P2PError('timeout', 'path', message));
    } else {
      const said = event.error === undefined ? 'no reason' : `${event.error.code} ${event.error.reason}`;
      wait?.reject(new P2PError('refused', 'remote', `Cannot ask ${who} for this address: it says ${said}`));
    }
  }
}
