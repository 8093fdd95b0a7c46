/** What a connection with messages is to its driver: the session of the TCP swarm, and that of the SSH swarm. */

import type { Bytes } from '../../base/bytes.ts';
import type { Machine, Millis } from '../../base/machine.ts';
import type { Priority } from '../../core/priority.ts';
import type { TcpClosed, TcpEvent, TcpTicket } from './events.ts';
import type { ReadState } from './session-options.ts';

/** A machine with tells and asks in both directions over one connection. */
export interface MessageSession extends Machine<readonly Bytes[], TcpEvent> {
  /** Whether tells and asks may begin. */
  readonly isOpen: boolean;
  /** How it ended; `undefined` before. */
  readonly end: TcpClosed | undefined;
  /** Tells that the peer has not confirmed as read, as far as the protocol can confirm. */
  readonly unacknowledged: number;
  /** Waiting messages, and their bytes. */
  readonly queued: number;
  readonly queuedBytes: number;
  /**
   * Bytes that the peer makes this side hold: messages that are not processed, and answers that are not in the kernel;
   * and the part of them that waits for the peer to send the rest, or to read.
   */
  readonly held: { readonly bytes: number; readonly stalling: number };
  /** Transmitted bytes that are not in the kernel. */
  readonly inFlight: number;
  /** When the last message was sent or received. */
  readonly saidMs: Millis;
  /** Whether nothing is in progress in either direction. */
  readonly isQuiet: boolean;
  /**
   * Sends a tell.
   *
   * @returns `undefined` when all of it is written; else a ticket that the event `taken` or `tell_failed` will name.
   * Until then `payload` must not change.
   */
  tell(now: Millis, payload: Uint8Array, priority?: Priority): TcpTicket | undefined;
  /** Cancels a tell that is not completely written. */
  giveUpTell(ticket: TcpTicket): void;
  /** Sends a request; returns its id. `payload` must not change until the ask has ended. */
  ask(now: Millis, payload: Uint8Array, maxResponseBytes: number, priority?: Priority): number;
  /** Cancels an ask. Has no effect after it has ended. */
  cancelAsk(id: number): void;
  /** Answers a request; false when the answer is larger than the asker accepts. `payload` then belongs to the session. */
  answer(now: Millis, id: number, payload: Uint8Array): boolean;
  /** Refuses a request, with what the wire can carry of the details. */
  refuse(now: Millis, id: number, code?: number, bytes?: Uint8Array): void;
  /** The handler of a tell of this many bytes is done. */
  release(sizeBytes: number): void;
  /** Asks the peer how far it has read; the event `acknowledged` reports it. */
  requestAcknowledgement(): void;
  /** Begins nothing more; emits the event `retiring`. */
  retire(now: Millis, code: number): void;
  /** Ends at once, and sends the peer the reason. */
  close(code: number, reason: string): void;
  /** @returns whether all of it was read; if not, poll, and call `readOn` before passing in more. */
  handleBytes(now: Millis, chunk: Bytes): ReadState;
  /** Continues to read the input: asynchronously, or when there may be room. */
  readOn(now: Millis): ReadState;
  /** This many transmitted bytes are in the kernel. */
  handleFlushed(bytes: number): void;
  /** The peer sent its last byte, or the pipe has closed. */
  handleEnd(reason?: string): void;
}
