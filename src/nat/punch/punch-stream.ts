/** The first bytes of a connection that was punched: the initiator chooses it, and the responder confirms. */

import { type Bytes, joinBytes, toHex } from '../../base/bytes.ts';
import type { Side } from '../../core/accept.ts';
import type { Realm, Timer } from '../../core/realm.ts';
import type { RawConnection } from '../../net/network.ts';
import {
  decodePunchMessage,
  PUNCH_ID_BYTES,
  PUNCH_MESSAGE_BYTES,
  type PunchCodec,
} from '../../protocols/punch/message.ts';
import { clockOf } from '../../runtime/system-realm.ts';

/** What becomes of a connection. */
export interface PunchStreamHooks {
  /** Both sides use it. @param rttMs - of its path; 0 where it was not measured */
  readonly chosen: (rttMs: number) => void;
  /** It has ended, or says what no peer says. */
  readonly closed: () => void;
}

/** A responder that hears nothing for so long has a connection that its peer has not. */
const SILENCE_MS = 5000;

export class PunchStream {
  readonly connection: RawConnection;
  readonly #codec: PunchCodec;
  readonly #side: Side;
  readonly #realm: Realm;
  readonly #hooks: PunchStreamHooks;
  /** Bounded by one message and the last chunk. */
  #read: Bytes = new Uint8Array(0);
  #choice: { readonly id: Bytes; readonly atMs: number } | undefined;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(connection: RawConnection, codec: PunchCodec, side: Side, realm: Realm, hooks: PunchStreamHooks) {
    this.connection = connection;
    this.#codec = codec;
    this.#side = side;
    this.#realm = realm;
    this.#hooks = hooks;
    const { pipe } = connection;
    pipe.sink = {
      onData: (chunk) => this.#handle(chunk),
      onEnd: () => this.#lost(),
      onClose: () => this.#lost(),
    };
    pipe.resume();
    // A choice is not given up: TCP carries it, or tells that there is no such connection.
    if (side === 'responder') {
      this.#timer = clockOf(realm).setTimer(realm.nowMs() + SILENCE_MS, () => this.#lost());
    }
  }

  /** The initiator uses this one, if the responder does. */
  choose(): void {
    if (this.#side === 'responder' || this.#isOver || this.#choice !== undefined) return;
    const id = this.#realm.random(PUNCH_ID_BYTES);
    const atMs = this.#realm.nowMs();
    this.#choice = { id, atMs };
    this.connection.pipe.write([this.#codec.encode('choose', id)], () => undefined);
  }

  /** Hands the connection on: paused, with what came behind the messages. */
  release(): RawConnection {
    const { pipe } = this.connection;
    this.#end();
    pipe.pause();
    pipe.sink = undefined;
    if (this.#read.length > PUNCH_MESSAGE_BYTES) pipe.unshift(this.#read.slice(PUNCH_MESSAGE_BYTES));
    return this.connection;
  }

  close(): void {
    this.#end();
    this.connection.pipe.destroy();
  }

  #end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  #lost(): void {
    if (this.#isOver) return;
    this.close();
    this.#hooks.closed();
  }

  #handle(chunk: Bytes): void {
    if (this.#isOver) return;
    this.#read = joinBytes(this.#read, chunk);
    if (this.#read.length < PUNCH_MESSAGE_BYTES) return;
    const message = decodePunchMessage(this.#read.subarray(0, PUNCH_MESSAGE_BYTES));
    const expected = this.#side === 'initiator' ? 'confirm' : 'choose';
    const isTheirs = message?.kind === expected && this.#codec.isTheirs(message);
    if (message === undefined || !isTheirs) this.#lost();
    else if (this.#side === 'responder') {
      this.connection.pipe.write([this.#codec.encode('confirm', message.id)], () => undefined);
      this.#hooks.chosen(0);
    } else if (this.#choice !== undefined && toHex(this.#choice.id) === toHex(message.id)) {
      this.#hooks.chosen(this.#realm.nowMs() - this.#choice.atMs);
    } else this.#lost();
  }
}
