/** The streams of one session, as the program sees them. */

import type { Bytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PeerSession as SessionMachine } from '../protocols/peers/session.ts';
import type { StreamEvent } from '../protocols/peers/streams.ts';
import { Fifo } from '../base/fifo.ts';

/** Codes of `reset` below this belong to the protocol. */
export const FIRST_RESET_CODE = 256;

/** Ordered bytes both ways with one peer, over whatever path there is. It survives a change of the path. */
export interface PeerStream extends AsyncDisposable {
  readonly peer: PeerId;
  /**
   * Bytes from the peer. Read as fast as you can take them: the peer waits. It errors with `disconnected` when the session ends,
   * and with `refused` when the peer resets the stream (the cause is a `Refusal` with the code).
   */
  readonly readable: ReadableStream<Bytes>;
  /** Bytes for the peer. `close` ends this direction, and the other one goes on; `abort` resets both. */
  readonly writable: WritableStream<Uint8Array>;
  /** Ends both directions at once. @param code - 256 and more. @default 256 */
  reset(code?: number): void;
}

/** What streams need from the connection manager. */
export interface StreamsHooks {
  /** The peer has opened a stream. @returns false when nobody takes it */
  streamOpened(stream: PeerStream): boolean;
}

/** What streams need from their session. */
interface StreamsSession {
  readonly peer: PeerId;
  readonly machine: SessionMachine;
  scheduleFlush(): void;
}

/** The code of a stream that the peer has no handler for. */
const NO_HANDLER = 2;

interface Parts {
  readonly arrived: (bytes: Bytes, isLast: boolean) => void;
  readonly writable: () => void;
  readonly fail: (error: P2PError) => void;
}

export class SessionStreams {
  readonly #hooks: StreamsHooks;
  readonly #session: StreamsSession;
  readonly #open = new Map<number, Parts>(); // Bounded by the streams of the machine.

  constructor(hooks: StreamsHooks, session: StreamsSession) {
    this.#hooks = hooks;
    this.#session = session;
  }

  /** @throws {P2PError} `limit_exceeded` when 256 streams are open. */
  open(): PeerStream {
    const id = this.#session.machine.streams.open();
    if (id === undefined) {
      const what = `Cannot open a stream to ${this.#session.peer}: 256 are open already; end one first`;
      throw new P2PError('limit_exceeded', 'local', what, { sent: 'no' });
    }
    return this.#make(id);
  }

  handle(event: StreamEvent): void {
    switch (event.type) {
      case 'stream_opened':
        if (this.#hooks.streamOpened(this.#make(event.stream))) return;
        this.#open.delete(event.stream);
        this.#session.machine.streams.reset(event.stream, NO_HANDLER);
        return;
      case 'stream_bytes': {
        const parts = this.#open.get(event.stream);
        if (parts === undefined) this.#session.machine.streams.read(event.stream, event.bytes.length);
        else parts.arrived(event.bytes, event.isLast);
        return;
      }
      case 'stream_writable':
        this.#open.get(event.stream)?.writable();
        return;
      case 'stream_reset':
        this.#open.get(event.stream)?.fail(this.#resetError(event.code));
        this.#open.delete(event.stream);
    }
  }

  #resetError(code: number): P2PError {
    const { peer } = this.#session;
    if (code < 0)
      return new P2PError('disconnected', 'remote', `Cannot go on with a stream of ${peer}: the session has ended`);
    const why = code === NO_HANDLER ? 'it takes no streams' : `it reset the stream with code ${code}`;
    return new P2PError('refused', 'remote', `Cannot go on with a stream of ${peer}: ${why}`);
  }

  #make(id: number): PeerStream {
    const session = this.#session;
    const { streams } = session.machine;
    const inbox = new Fifo<Bytes>(); // Bounded by the window of the stream.
    let reading: ReadableStreamDefaultController<Bytes> | undefined;
    let writing: WritableStreamDefaultController | undefined;
    let room: PromiseWithResolvers<void> | undefined;
    let isLastHere = false;
    let ended = 0;
    const end = (): void => {
      if (++ended === 2) this.#open.delete(id);
    };
    const hand = (): void => {
      while (reading !== undefined && (reading.desiredSize ?? 0) > 0) {
        const bytes = inbox.shift();
        if (bytes === undefined) {
          if (isLastHere) {
            reading.close();
            reading = undefined;
            end();
          }
          return;
        }
        reading.enqueue(bytes);
        streams.read(id, bytes.length);
        session.scheduleFlush();
      }
    };
    const drop = (): void => {
      for (let bytes = inbox.shift(); bytes !== undefined; bytes = inbox.shift()) streams.read(id, bytes.length);
      session.scheduleFlush();
    };
    const reset = (code: number): void => {
      streams.reset(id, code);
      this.#open.delete(id);
      drop();
    };
    const localError = (): P2PError =>
      new P2PError('closed', 'local', `Cannot go on with a stream of ${session.peer}: reset`);
    const fail = (error: P2PError): void => {
      reading?.error(error);
      reading = undefined;
      writing?.error(error);
      room?.reject(error);
      room = undefined;
      drop();
    };
    const readable = new ReadableStream<Bytes>(
      {
        start: (controller) => void (reading = controller),
        pull: hand,
        cancel: () => {
          reading = undefined;
          reset(FIRST_RESET_CODE);
        },
      },
      { highWaterMark: 1 },
    );
    const writable = new WritableStream<Uint8Array>(
      {
        start: (controller) => void (writing = controller),
        write: (bytes) => {
          assertBytes(bytes, 'bytes');
          const hasRoom = streams.write(id, bytes);
          session.scheduleFlush();
          if (hasRoom) return undefined;
          room = Promise.withResolvers();
          return room.promise;
        },
        close: () => {
          streams.finish(id);
          session.scheduleFlush();
          end();
        },
        abort: () => reset(FIRST_RESET_CODE),
      },
      { highWaterMark: 1 },
    );
    this.#open.set(id, {
      arrived: (bytes, isLast) => {
        if (bytes.length > 0) inbox.push(bytes);
        isLastHere ||= isLast;
        hand();
      },
      writable: () => {
        room?.resolve();
        room = undefined;
      },
      fail,
    });
    return {
      peer: session.peer,
      readable,
      writable,
      reset: (code = FIRST_RESET_CODE) => {
        if (!Number.isSafeInteger(code) || code < FIRST_RESET_CODE) {
          throw new RangeError(`Cannot take code: expected a whole number from ${FIRST_RESET_CODE} on, got ${code}`);
        }
        if (!this.#open.has(id)) return;
        reset(code);
        fail(localError());
      },
      [Symbol.asyncDispose]: () => {
        if (this.#open.has(id)) {
          reset(FIRST_RESET_CODE);
          fail(localError());
        }
        return Promise.resolve();
      },
    };
  }
}
