/** A pipe as a Node stream, for libraries that need one: node:tls over the pipes of virtual networks. */

import { Duplex } from 'node:stream';

import type { Realm } from '../core/realm.ts';
import { later } from '../runtime/later.ts';
import type { Pipe } from './pipe.ts';

/**
 * The maximum number of turns of the event loop that node:tls takes between input and output. A virtual clock cannot
 * see them, and would advance to the next timeout.
 */
const SETTLING_TURNS = 16;

export class PipeDuplex extends Duplex {
  readonly #pipe: Pipe;
  readonly #realm: Realm;
  #turns = 0;

  constructor(pipe: Pipe, realm: Realm) {
    super({ allowHalfOpen: true });
    this.#pipe = pipe;
    this.#realm = realm;
    pipe.sink = {
      onData: (chunk) => {
        this.#settle();
        if (!this.push(chunk)) pipe.pause();
      },
      onEnd: () => {
        this.#settle();
        this.push(null);
      },
      onClose: (error) => {
        this.#settle();
        this.destroy(error);
      },
    };
    this.#settle();
  }

  override _read(): void {
    this.#pipe.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#settle();
    this.#pipe.write([chunk], (error) => {
      this.#settle();
      done(error);
    });
  }

  override _final(done: () => void): void {
    this.#pipe.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#settle();
    this.#pipe.destroy();
    done(error);
  }

  /** Holds the clock at this instant for a few turns. */
  #settle(): void {
    const isIdle = this.#turns === 0;
    this.#turns = SETTLING_TURNS;
    if (isIdle) later(this.#realm, this.#turn);
  }

  readonly #turn = (): void => {
    if (--this.#turns > 0) later(this.#realm, this.#turn);
  };
}
