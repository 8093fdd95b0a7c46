/**
 * The border to a QUIC engine: what an implementation (the WASM build of `engine/`, or a native addon) must offer.
 *
 * It is shaped for crossing a language border: datagrams go in batches, addresses, connections and streams are
 * numbers, nothing is asynchronous. The engine has no clock; every call that depends on time gets the time.
 * Randomness and the judgement of certificates come from an {@link EngineHost}. Applications do not see this interface:
 * `QuicEndpoint` is built on it.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { EngineSettings } from './settings.ts';

/** A datagram that arrived. The engine copies what it needs. */
export interface InboundDatagram {
  /** Where from: a whole number of 32 bits that means something to the caller only. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** One or more datagrams to the same address, one after the other in `bytes`. */
export interface OutboundDatagrams {
  readonly address: number;
  /** The receiver's to keep; a view into a buffer that one poll shares. */
  readonly bytes: Bytes;
  /** Bytes of each datagram but the last, which may be shorter. */
  readonly segmentBytes: number;
  /** ECN bits to send with (RFC 3168), 0 to 3. Leaving them off is allowed: QUIC notices. */
  readonly ecn: number;
}

/** What the engine calls back for, only during a call to it. */
export interface EngineHost {
  /** `length` unpredictable bytes. All randomness of the engine comes from here, so a seed replays a run. */
  readonly random: (length: number) => Uint8Array;
  /**
   * Whether the peer is accepted: 0, or the TLS alert (RFC 8446 §6.2) that refuses it.
   *
   * @param chain - what the peer presented, DER, end entity first. It has just proven that it holds the first one's key.
   * Must not call the engine.
   */
  readonly judge: (connection: number, chain: readonly Bytes[]) => number;
  /** The engine has broken, in the call that is under way. Called once. */
  readonly failed: (failure: EngineFailure) => void;
}

/** Kinds of events, with the numbers of `engine/src/events.rs`, which explains their fields. */
export const EVENT = {
  INCOMING: 1,
  NEGOTIATED: 2,
  CONNECTED: 3,
  LOST: 4,
  DRAINED: 5,
  OPENED: 6,
  READABLE: 7,
  WRITABLE: 8,
  FINISHED: 9,
  STOPPED: 10,
  AVAILABLE: 11,
  DATAGRAM: 12,
  DATAGRAMS_UNBLOCKED: 13,
  PATH: 14,
  MTU: 15,
  KEY_LOG: 16,
} as const;

/** Words of an event in {@link EventBatch.words}: kind and detail, subject, low and high half of a value, place and length of a text. */
export const EVENT_WORDS = 6;

/**
 * Events as the engine has written them; `decodeEvent` reads them. Both fields are copies: calls into the engine leave them as
 * they are.
 */
export interface EventBatch {
  readonly count: number;
  /** {@link EVENT_WORDS} for each event; `engine/src/events.rs` explains them. */
  readonly words: Uint32Array;
  /** The texts of all, one after the other. */
  readonly texts: Bytes;
}

/** Why a call did nothing: the negative answers, with the numbers of `Refused` in `engine/src/streams.rs`. */
export const REFUSED = { UNKNOWN: -1, INVALID: -2, BLOCKED: -3, TOO_LARGE: -4, UNSUPPORTED: -5, FAILED: -6 } as const;

/** How a read ended, with the numbers of `read` in `engine/src/border.rs`. */
export const READ = { MORE: 0, BLOCKED: 1, FINISHED: 2, RESET: 3, CLOSED: 4 } as const;

/** What the last read brought; one object that every read reuses. */
export interface ReadResult {
  /** One of {@link READ}. */
  readonly status: number;
  /** The receiver's to keep. */
  readonly bytes: Bytes;
  /** The peer's code, when the status is RESET. */
  readonly resetCode: number;
}

/** The counts of {@link QuicEngine.gauges}. */
export interface EngineGauges {
  readonly connections: number;
  readonly incoming: number;
  readonly incomingBufferBytes: number;
  readonly timers: number;
  readonly events: number;
  readonly replies: number;
  readonly droppedReplies: number;
  /** Connections that are over and not released. */
  readonly over: number;
  /** Memory of the engine as a whole, in bytes. */
  readonly memoryBytes: number;
}

/** Statistics of one connection. Counters start at 0 with the connection. */
export interface ConnectionStats {
  /** Smoothed round-trip time (RFC 9002 §5.3). */
  readonly rttMs: number;
  readonly minRttMs: number;
  /** Congestion window (RFC 9002 §7). */
  readonly congestionWindowBytes: number;
  /** Largest UDP payload that the path is known to carry. */
  readonly mtuBytes: number;
  readonly congestionEvents: number;
  readonly lostPackets: number;
  readonly lostBytes: number;
  readonly sentPackets: number;
  readonly sentDatagrams: number;
  readonly sentBytes: number;
  readonly receivedDatagrams: number;
  readonly receivedBytes: number;
  readonly sentMtuProbes: number;
  readonly lostMtuProbes: number;
  /** How often the path stopped carrying datagrams of the size it had carried (RFC 8899 §4.3). */
  readonly blackHoles: number;
  readonly sentStreamFrames: number;
  readonly receivedStreamFrames: number;
  /** PING frames, both ways. */
  readonly pings: number;
}

/**
 * A QUIC endpoint without I/O.
 *
 * When the engine breaks in a call, it calls its host's `failed` before the call returns. That call and every later one do
 * nothing and return what they return for an unknown connection; the caller makes a new engine. Arguments out of range are
 * answered, never thrown for: the callers here have checked them.
 */
export interface QuicEngine {
  /** Takes datagrams. Faulty ones are dropped. */
  receive(now: Millis, datagrams: readonly InboundDatagram[]): void;
  /** Datagrams to send now. Call it until it returns none. */
  poll(now: Millis): readonly OutboundDatagrams[];
  /** The next events; `undefined` when there are no more. Call it after `receive` and after `poll`, until there are none. */
  events(): EventBatch | undefined;
  /** When to call `handleTimeout`; Infinity for never. May be early. */
  nextTimeout(): Millis;
  handleTimeout(now: Millis): void;

  /**
   * Accepts an incoming attempt.
   *
   * @returns its connection, or a negative refusal.
   *
   * @param windowBytes - what the peer may send before it is read; 0 for what the settings say. @default 0
   */
  accept(now: Millis, incoming: number, windowBytes?: number): number;
  /** Refuses it with CONNECTION_REFUSED. */
  refuse(incoming: number): boolean;
  /** Has it prove its address with a Retry packet; false when it has done so, and it still waits. */
  retry(incoming: number): boolean;
  /** Forgets it and sends nothing. */
  ignore(incoming: number): boolean;

  /** Begins a connection and returns it, or a negative refusal. `alpn` replaces the configured names; the window is as for `accept`. */
  connect(
    now: Millis,
    address: number,
    serverName: string | undefined,
    alpn: readonly string[] | undefined,
    windowBytes?: number,
  ): number;
  close(now: Millis, connection: number, code: number, reason: Uint8Array): boolean;
  /** Sends something that must be acknowledged. */
  ping(connection: number): boolean;
  /** Replaces the traffic keys (RFC 9001 §6). */
  updateKeys(connection: number): boolean;
  /** Our own address has changed: new connection id, probe of the path. */
  rebind(connection: number): boolean;

  /**
   * Sets how many bytes the peer may send before they are read, and how many of ours may be on their way. A smaller receive
   * window takes effect as bytes are read: credit that the peer has stays its own.
   */
  setWindows(connection: number, receiveBytes: number, sendBytes: number): boolean;

  /** Allows the peer of a connection that began without credit the streams of the settings; its window comes by `setWindows`. */
  grant(connection: number): boolean;

  /** Forgets a connection after its DRAINED, and what was not read from it. */
  release(connection: number): boolean;
  /** Forgets a connection at once. Nothing is sent to the peer, and no event follows. */
  abandon(connection: number): boolean;

  /** Opens a stream: its id, or BLOCKED without credit or before the handshake is over. */
  open(connection: number, uni: boolean): number;
  /** How many bytes were taken, or a negative refusal. Less than all: WRITABLE follows. The end goes with the last byte. */
  write(connection: number, stream: number, bytes: Uint8Array, fin: boolean): number;
  /** Up to `maxBytes` bytes; the result is valid until the next read. */
  read(connection: number, stream: number, maxBytes: number): ReadResult;
  reset(connection: number, stream: number, code: number): number;
  stop(connection: number, stream: number, code: number): number;
  setPriority(connection: number, stream: number, priority: number): number;

  /** 0, or a negative refusal. With `dropOld`, older datagrams are dropped for it where necessary. */
  sendDatagram(connection: number, bytes: Uint8Array, dropOld: boolean): number;
  receiveDatagram(connection: number): Bytes | undefined;
  /** Bytes of the largest datagram that can be sent now; `undefined` when none can. */
  maxDatagram(connection: number): number | undefined;

  stats(connection: number): ConnectionStats | undefined;
  /** `undefined` when the engine has broken. */
  gauges(): EngineGauges | undefined;
  /** Memory of the engine as a whole, in bytes. */
  memoryBytes(): number;
  /** Bytes in use of it; where memory never shrinks, it is their high-water mark. */
  bytesInUse(): number;
  /** Gives the engine up, and its memory with it. Every later call does nothing, as with one that has broken. */
  dispose(): void;
}

/** Makes engines. A fresh one replaces one that broke. @throws {EngineFailure} when none can be made. */
export type EngineFactory = (host: EngineHost, settings: EngineSettings, now: Millis) => QuicEngine;

/** The engine broke: a bug of ours or of its libraries, or the host gave it no random bytes. Its connections are lost. */
export class EngineFailure extends Error {
  override readonly name = 'EngineFailure';
}
