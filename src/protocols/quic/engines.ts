/**
 * The engines of an endpoint: one that takes new connections, and older ones until their connections have gone.
 *
 * The memory of a WebAssembly instance never shrinks. So one that has grown large and holds little takes no new
 * connections any more, and is given up with its last one. Connection ids carry the mark of their engine.
 */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { QuicConnection } from './connection.ts';
import { EngineFailure, type EngineGauges, type EngineHost, type InboundDatagram, type QuicEngine } from './engine.ts';

/** Marks of engines, two bits of a connection id; one is left for the engine that replaces a retired one. */
const MARKS = 4;
/** Engines at a time, the current one included. */
const MAX_ENGINES = 3;
/** An engine with less memory is not worth replacing. A fresh one has about 2 MiB. */
const RETIRE_BYTES = 16 * 2 ** 20;
/** The most that may be in use of the memory of an engine that is replaced. */
const RETIRE_USE = 1 / 2;
/** Bytes of our connection ids: see `MarkedIds` in `engine/src/engine.rs`. */
const ID_BYTES = 8;
const LONG_HEADER = 0x80;

/** An engine and the connections that were made on it. */
export interface Instance {
  readonly engine: QuicEngine;
  readonly mark: number;
  /** By handle, drained ones excepted. Bounded by `maxConnections` and what we dial. */
  readonly connections: Map<number, QuicConnection>;
}

/** Makes engines, and is told when one breaks. */
export interface EnginesHooks {
  /** @throws {EngineFailure} when none can be made. */
  make(mark: number, host: Pick<EngineHost, 'judge' | 'failed'>): QuicEngine;
  judge(connection: QuicConnection | undefined, chain: readonly Bytes[]): number;
  /** An engine broke; it is out of the list already. */
  lost(instance: Instance, failure: EngineFailure): void;
}

export class Engines {
  /** Oldest first. Bounded by `MAX_ENGINES`. Replaced when it changes: an engine may break while somebody goes through it. */
  all: readonly Instance[] = [];
  readonly #hooks: EnginesHooks;
  #current: Instance | undefined;
  /** Why the last one broke, for errors. */
  #failure: EngineFailure | undefined;

  /** @throws {EngineFailure} when no engine can be made. */
  constructor(hooks: EnginesHooks) {
    this.#hooks = hooks;
    this.#current = this.#make();
  }

  get failure(): EngineFailure | undefined {
    return this.#failure;
  }

  /** The one for new connections; another where the last one broke, `undefined` when none can be made. */
  get current(): Instance | undefined {
    try {
      return (this.#current ??= this.#make());
    } catch (error) {
      if (!(error instanceof EngineFailure)) throw error;
      this.#failure = error;
      return undefined;
    }
  }

  /** The connections of all. */
  get connections(): number {
    let size = 0;
    for (const { connections } of this.all) size += connections.size;
    return size;
  }

  /** What all hold together. */
  gauges(): EngineGauges | undefined {
    let sum: EngineGauges | undefined;
    for (const { engine } of this.all) {
      const gauges = engine.gauges();
      sum = sum === undefined || gauges === undefined ? (sum ?? gauges) : addGauges(sum, gauges);
    }
    return sum;
  }

  /** Memory of all, in bytes. */
  get memoryBytes(): number {
    let bytes = 0;
    for (const { engine } of this.all) bytes += engine.memoryBytes();
    return bytes;
  }

  /** What they have in use of it. */
  inUseBytes(): number {
    let bytes = 0;
    for (const { engine } of this.all) bytes += engine.bytesInUse();
    return bytes;
  }

  /** Passes datagrams to the engines that they belong to. */
  receive(now: Millis, datagrams: readonly InboundDatagram[]): void {
    const { current } = this;
    if (this.all.length <= 1) {
      current?.engine.receive(now, datagrams);
      return;
    }
    const shares = new Map<QuicEngine, InboundDatagram[]>();
    for (const datagram of datagrams) {
      const { engine } = this.#ownerOf(datagram.bytes) ?? current ?? {};
      if (engine === undefined) continue;
      const share = shares.get(engine);
      if (share === undefined) shares.set(engine, [datagram]);
      else share.push(datagram);
    }
    for (const [engine, own] of shares) engine.receive(now, own);
  }

  /** Replaces an engine that has grown large and holds little, and disposes of replaced ones that are empty. */
  tidy(): void {
    const { all } = this;
    for (const instance of all) {
      const { engine, connections } = instance;
      const memoryBytes = engine.memoryBytes();
      if (memoryBytes < RETIRE_BYTES) continue;
      if (this.#current === instance) {
        if (all.length >= MAX_ENGINES || engine.bytesInUse() > memoryBytes * RETIRE_USE) continue;
        // Datagrams of a handshake may carry an id that the peer chose: it is over before its engine is replaced.
        if (hasHandshakes(connections)) continue;
        this.#current = undefined;
      }
      if (connections.size > 0 || engine.gauges()?.over !== 0) continue;
      this.#remove(instance);
      engine.dispose();
    }
  }

  #remove(instance: Instance): void {
    this.all = this.all.filter((other) => other !== instance);
    if (this.#current === instance) this.#current = undefined;
  }

  #make(): Instance {
    const used = new Set(this.all.map(({ mark }) => mark));
    let mark = 0;
    while (used.has(mark)) mark = (mark + 1) % MARKS;
    const connections = new Map<number, QuicConnection>();
    const engine = this.#hooks.make(mark, {
      judge: (handle, chain) => this.#hooks.judge(connections.get(handle), chain),
      failed: (failure) => {
        this.#failure = failure;
        this.#remove(instance);
        this.#hooks.lost(instance, failure);
      },
    });
    const instance: Instance = { engine, mark, connections };
    this.all = [...this.all, instance];
    return instance;
  }

  /** By the mark in the destination connection id (RFC 9000 §17), where that may be one of ours. */
  #ownerOf(datagram: Uint8Array): Instance | undefined {
    const long = (datagram[0]! & LONG_HEADER) !== 0;
    if (long && datagram[5] !== ID_BYTES) return undefined;
    const mark = (datagram[long ? 6 : 1] ?? 0) >> 6;
    return this.all.find((instance) => instance.mark === mark);
  }
}

function hasHandshakes(connections: Instance['connections']): boolean {
  for (const { state } of connections.values()) if (state === 'handshake') return true;
  return false;
}

function addGauges(a: EngineGauges, b: EngineGauges): EngineGauges {
  return {
    connections: a.connections + b.connections,
    incoming: a.incoming + b.incoming,
    incomingBufferBytes: a.incomingBufferBytes + b.incomingBufferBytes,
    timers: a.timers + b.timers,
    events: a.events + b.events,
    replies: a.replies + b.replies,
    droppedReplies: a.droppedReplies + b.droppedReplies,
    over: a.over + b.over,
    memoryBytes: a.memoryBytes + b.memoryBytes,
  };
}
