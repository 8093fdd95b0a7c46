/** The border of the WebAssembly module: `engine/src/border.rs` from the other side. `engine/README.md` has the layout. */

import type { Bytes } from '../../base/bytes.ts';
import type { ConnectionStats, EngineGauges } from './engine.ts';

/** What the module exports; places are byte offsets into `memory`. */
export interface WasmExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  input(): number;
  input_bytes(): number;
  output(): number;
  table(): number;
  table_words(): number;
  numbers(): number;
  status(): number;
  create(now: number, length: number): number;
  receive(now: number, count: number): number;
  poll(now: number): number;
  events(): number;
  next_timeout(): number;
  handle_timeout(now: number): void;
  accept(now: number, incoming: number, window: number): number;
  refuse(incoming: number): number;
  retry(incoming: number): number;
  ignore(incoming: number): number;
  connect(now: number, address: number, nameLength: number, alpnLength: number, window: number): number;
  close(now: number, connection: number, code: number, reasonLength: number): number;
  ping(connection: number): number;
  update_keys(connection: number): number;
  rebind(connection: number): number;
  set_windows(connection: number, receive: number, send: number): number;
  grant(connection: number): number;
  release(connection: number): number;
  abandon(connection: number): number;
  open(connection: number, uni: number): number;
  write(connection: number, stream: number, length: number, fin: number): number;
  read(connection: number, stream: number, max: number): number;
  reset(connection: number, stream: number, code: number): number;
  stop(connection: number, stream: number, code: number): number;
  set_priority(connection: number, stream: number, priority: number): number;
  send_datagram(connection: number, length: number, dropOld: number): number;
  receive_datagram(connection: number): number;
  max_datagram(connection: number): number;
  stats(connection: number): number;
  gauges(): void;
  bytes_in_use(): number;
}

/** What the module imports from `host`. */
export interface WasmImports {
  /** Fills `length` bytes at `place` with randomness; 0 when it did. */
  random_fill(place: number, length: number): number;
  judge(connection: number, place: number, length: number): number;
  panicked(place: number, length: number): void;
}

/** Makes an instance of the module; in `src/quic/load-engine.ts` by `WebAssembly.Instance`. */
export type Instantiate = (host: WasmImports) => WasmExports;

/** The numbers of `stats`, in the order of `Border::numbers`. */
export function statsOf(number: (index: number) => number): ConnectionStats {
  return {
    rttMs: number(0),
    minRttMs: number(1),
    congestionWindowBytes: number(2),
    mtuBytes: number(3),
    congestionEvents: number(4),
    lostPackets: number(5),
    lostBytes: number(6),
    sentPackets: number(7),
    sentDatagrams: number(8),
    sentBytes: number(9),
    receivedDatagrams: number(10),
    receivedBytes: number(11),
    sentMtuProbes: number(12),
    lostMtuProbes: number(13),
    blackHoles: number(14),
    sentStreamFrames: number(15),
    receivedStreamFrames: number(16),
    pings: number(17),
  };
}

/** The numbers of `gauges`. */
export function gaugesOf(number: (index: number) => number, memoryBytes: number): EngineGauges {
  return {
    connections: number(0),
    incoming: number(1),
    incomingBufferBytes: number(2),
    timers: number(3),
    events: number(4),
    replies: number(5),
    droppedReplies: number(6),
    over: number(7),
    memoryBytes,
  };
}

/** Certificates, each behind its length of four bytes, little-endian. */
export function chainOf(block: Bytes): readonly Bytes[] {
  const view = new DataView(block.buffer);
  const chain: Bytes[] = [];
  for (let at = 0; at < block.length;) {
    const end = at + 4 + view.getUint32(at, true);
    chain.push(block.slice(at + 4, end));
    at = end;
  }
  return chain;
}
