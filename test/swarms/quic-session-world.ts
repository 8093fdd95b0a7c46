/** A session of a QUIC swarm on streams that a test moves by hand. */

import { concatBytes } from '../../src/base/bytes.ts';
import type { Answer } from '../../src/swarm-kit/ask-slot.ts';
import type { PendingLimits } from '../../src/swarm-kit/pending-budget.ts';
import type { QuicConnection } from '../../src/protocols/quic/connection.ts';
import type { QuicStream } from '../../src/protocols/quic/stream.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { Session } from '../../src/swarms/quic/session.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf } from '../support/p2pke-world.ts';

export const MAX = 1000;

/** A stream that takes as much as there is room for, and gives what was put in. */
export class FakeStream {
  readonly kind: 'uni' | 'bidi';
  room: number = Infinity;
  written: Uint8Array = new Uint8Array(0);
  incoming: Uint8Array = new Uint8Array(0);
  /** What the receiving side becomes once all was read. */
  after: 'open' | 'finished' | 'reset' | 'lost' = 'open';
  receiveState: string = 'open';
  sendState: string = 'open';
  stopCode: number | undefined;
  resetCode: number | undefined;
  readonly done: string[] = [];

  constructor(kind: 'uni' | 'bidi') {
    this.kind = kind;
  }

  write(bytes: Uint8Array, end: boolean): number {
    if (this.sendState !== 'open') return 0;
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.written = concatBytes(this.written, bytes.subarray(0, taken));
    if (end && taken === bytes.length) this.sendState = 'finished';
    return taken;
  }

  read(most: number): Uint8Array | undefined {
    if (this.receiveState !== 'open') return undefined;
    const bytes = this.incoming.slice(0, most);
    this.incoming = this.incoming.slice(bytes.length);
    if (bytes.length > 0) return bytes;
    this.receiveState = this.after;
    return undefined;
  }

  reset(code: number): void {
    this.done.push(`reset ${code}`);
    this.sendState = 'reset';
  }

  stop(code: number): void {
    this.done.push(`stop ${code}`);
    this.receiveState = 'stopped';
  }

  setPriority(priority: number): void {
    this.done.push(`priority ${priority}`);
  }

  get stream(): QuicStream {
    return this as unknown as QuicStream;
  }
}

/** A session, what its swarm was told, and what the peer does. */
export interface SessionWorld {
  readonly session: Session<MemoryAddr>;
  readonly host: { listening: boolean; readonly memory: { readonly held: number } };
  /** Streams of ours. */
  readonly opened: readonly FakeStream[];
  /** How many more the peer allows, and how many bytes each of them takes at first. */
  readonly credit: Record<'uni' | 'bidi' | 'room', number>;
  /** Lengths of the tells that were delivered. */
  readonly delivered: readonly number[];
  readonly drops: string[];
  /** Requests in the handler's hands. */
  readonly asked: readonly AskedOne[];
  readonly told: { readonly settled: number; readonly room: number; readonly sent: number };
  /** The peer has opened a stream and sent this on it. */
  readonly come: (kind: 'uni' | 'bidi', bytes: Uint8Array, after?: FakeStream['after']) => FakeStream;
}

interface AskedOne {
  readonly bytes: number;
  readonly answer: (answer: Answer) => void;
  aborted?: unknown;
}

export function setUp({
  maxSwarmBytes = 1e9,
  pending = {},
}: { readonly maxSwarmBytes?: number; readonly pending?: PendingLimits } = {}): SessionWorld {
  const opened: FakeStream[] = [];
  const credit = { uni: 0, bidi: 0, room: Infinity };
  const delivered: number[] = [];
  const drops: string[] = [];
  const asked: AskedOne[] = [];
  const told = { settled: 0, room: 0, sent: 0 };
  const hooks = {
    maxMessageBytes: MAX,
    datagramTells: false,
    pending,
    listening: true,
    deliver: (_: unknown, payload: Uint8Array) => void delivered.push(payload.length),
    serve: (_: unknown, request: Uint8Array) => {
      const { promise, resolve } = Promise.withResolvers<Answer>();
      const one: AskedOne = { bytes: request.length, answer: resolve };
      asked.push(one);
      return { answer: promise, abort: (reason: unknown) => (one.aborted ??= reason) };
    },
    count: (_: unknown, drop: string) => void drops.push(drop),
    countSent: (bytes: number) => void (told.sent += bytes),
    scheduleFlush: () => {},
    nowMs: () => 0,
    memory: { held: 0, pending: 0, maxBytes: maxSwarmBytes, onRoom: () => void told.room++ },
    settled: () => void told.settled++,
  };
  const connection = {
    open: (kind: 'uni' | 'bidi') => {
      if (credit[kind] === 0) return undefined;
      credit[kind]--;
      const stream = new FakeStream(kind);
      stream.room = credit.room;
      opened.push(stream);
      return stream;
    },
  };
  const session = new Session<MemoryAddr>(
    hooks,
    connection as unknown as QuicConnection,
    { id: idOf(1), publicKey: testKey(1).publicKey, host: 'there' },
    0,
  );
  return {
    session,
    host: hooks,
    opened,
    credit,
    delivered,
    drops,
    asked,
    told,
    come: (kind: 'uni' | 'bidi', bytes: Uint8Array, after: FakeStream['after'] = 'finished'): FakeStream => {
      const stream = new FakeStream(kind);
      Object.assign(stream, { incoming: bytes, after });
      session.handleOpened(stream.stream);
      return stream;
    },
  };
}

export const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};
export const ok = (bytes: number): Answer => ({ ok: true, bytes: new Uint8Array(bytes) });
