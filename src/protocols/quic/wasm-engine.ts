/**
 * The engine as WebAssembly. One instance holds one engine. A trap (a panic in Rust) leaves it in an undefined state, so the
 * engine gives it up, with its memory and its connections.
 */

import { type Bytes, copyBytes, decodeText, EMPTY_BYTES, encodeText } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import {
  type ConnectionStats,
  EngineFailure,
  type EngineFactory,
  type EngineGauges,
  type EngineHost,
  EVENT_WORDS,
  type EventBatch,
  type InboundDatagram,
  type OutboundDatagrams,
  type QuicEngine,
  READ,
  type ReadResult,
  REFUSED,
} from './engine.ts';
import { encodeAlpn, type EngineSettings } from './settings.ts';
import { chainOf, gaugesOf, type Instantiate, statsOf, type WasmExports, type WasmImports } from './wasm-module.ts';

/** Words in records of the table: inbound datagrams, outbound ones. */
const INBOUND_WORDS = 3;
const OUTBOUND_WORDS = 4;
/** The alert for a judge that threw (RFC 8446 §6: internal trouble is access_denied to the peer). */
const ACCESS_DENIED = 49;
/** The most random bytes that one import asks for at a time; more would be a bug. */
const MAX_RANDOM_BYTES = 65_536;

/** No datagrams. */
const NOTHING: readonly OutboundDatagrams[] = [];

/** Replaces the exports of an engine that was given up. They are not called. */
const GONE = { memory: { buffer: new ArrayBuffer(0) } } as WasmExports;

/** Engines from a compiled module. */
export function wasmEngines(instantiate: Instantiate): EngineFactory {
  return (host, settings, now) => new WasmEngine(instantiate, host, settings, now);
}

class WasmEngine implements QuicEngine {
  readonly #host: EngineHost;
  #exports: WasmExports;
  readonly #input: number;
  readonly #inputBytes: number;
  readonly #output: number;
  readonly #table: number;
  readonly #tableWords: number;
  readonly #numbers: number;
  /** Where the status is, counted in doubles. */
  readonly #status: number;
  #memory: ArrayBuffer;
  #bytes: Bytes;
  #words: Uint32Array;
  #doubles: Float64Array;
  /** Whether the last poll took everything, and nothing was called since that could have made more. */
  #isPolled = false;
  #broken: EngineFailure | undefined;
  #panic: string | undefined;
  #judging = false;
  readonly #read = { status: READ.CLOSED as number, bytes: EMPTY_BYTES, resetCode: 0 };

  constructor(instantiate: Instantiate, host: EngineHost, settings: EngineSettings, now: Millis) {
    this.#host = host;
    const imports: WasmImports = {
      random_fill: (place, length) => this.#randomFill(place >>> 0, length >>> 0),
      judge: (connection, place, length) => this.#judge(connection >>> 0, place >>> 0, length >>> 0),
      panicked: (place, length) => {
        this.#panic = decodeText(this.#view().slice(place >>> 0, (place >>> 0) + (length >>> 0)));
      },
    };
    this.#memory = new ArrayBuffer(0);
    this.#bytes = new Uint8Array(this.#memory);
    this.#words = new Uint32Array(this.#memory);
    this.#doubles = new Float64Array(this.#memory);
    this.#exports = this.#begin(() => instantiate(imports));
    const e = this.#exports;
    this.#input = this.#begin(() => e.input());
    this.#inputBytes = e.input_bytes();
    this.#output = e.output();
    this.#table = e.table() >>> 2;
    this.#tableWords = e.table_words();
    this.#numbers = e.numbers() >>> 3;
    this.#status = e.status() >>> 3;
    const bytes = this.#view();
    this.#doubles.set(settings.numbers, this.#numbers);
    bytes.set(settings.blob, this.#input);
    const reasonLength = this.#begin(() => e.create(now, settings.blob.length));
    if (reasonLength > 0) {
      const reason = decodeText(this.#view().slice(this.#output, this.#output + reasonLength));
      throw new TypeError(`Cannot make a QUIC endpoint: ${reason ?? 'unknown reason'}`);
    }
  }

  receive(now: Millis, datagrams: readonly InboundDatagram[]): void {
    const maxCount = Math.floor(this.#tableWords / INBOUND_WORDS);
    let next = 0;
    while (next < datagrams.length && this.#broken === undefined) {
      const bytes = this.#view();
      let used = 0;
      let count = 0;
      for (; next < datagrams.length && count < maxCount; next++) {
        const { address, bytes: datagram } = datagrams[next]!;
        if (used + datagram.length > this.#inputBytes) {
          if (used > 0) break;
          continue; // No QUIC datagram is larger than the whole input.
        }
        bytes.set(datagram, this.#input + used);
        const record = this.#table + count * INBOUND_WORDS;
        this.#words[record] = address;
        this.#words[record + 1] = datagram.length;
        this.#words[record + 2] = 0;
        used += datagram.length;
        count++;
      }
      if (count > 0) this.#call(0, () => this.#exports.receive(now, count));
    }
  }

  poll(now: Millis): readonly OutboundDatagrams[] {
    if (this.#isPolled) return NOTHING;
    const count = this.#look(0, () => this.#exports.poll(now));
    if (this.#broken !== undefined) return NOTHING;
    this.#view();
    this.#isPolled = this.#doubles[this.#status + 1] === 0;
    if (count === 0) return NOTHING;
    const words = this.#words;
    let total = 0;
    for (let i = 0; i < count; i++) total += words[this.#table + i * OUTBOUND_WORDS + 1]!;
    // One copy for the batch: a socket may hold on to the bytes long after the engine has reused its buffer.
    const slab = this.#bytes.slice(this.#output, this.#output + total);
    const out: OutboundDatagrams[] = [];
    let at = 0;
    for (let record = this.#table; out.length < count; record += OUTBOUND_WORDS) {
      const size = words[record + 1]!;
      out.push({
        address: words[record]!,
        bytes: slab.subarray(at, at + size),
        segmentBytes: words[record + 2]!,
        ecn: words[record + 3]!,
      });
      at += size;
    }
    return out;
  }

  events(): EventBatch | undefined {
    this.#view();
    if (this.#doubles[this.#status] === 0) return undefined;
    const count = this.#look(0, () => this.#exports.events());
    if (count === 0) return undefined;
    const bytes = this.#view();
    const words = this.#words.slice(this.#table, this.#table + count * EVENT_WORDS);
    const last = words.length - EVENT_WORDS;
    const textBytes = words[last + 4]! + words[last + 5]!;
    const texts = textBytes === 0 ? EMPTY_BYTES : bytes.slice(this.#output, this.#output + textBytes);
    return { count, words, texts };
  }

  nextTimeout(): Millis {
    if (this.#isPolled) {
      this.#view();
      return this.#doubles[this.#status + 2]!;
    }
    return this.#look(Infinity, () => this.#exports.next_timeout());
  }

  handleTimeout(now: Millis): void {
    this.#call(undefined, () => this.#exports.handle_timeout(now));
  }

  accept(now: Millis, incoming: number, windowBytes = 0): number {
    return this.#call<number>(REFUSED.UNKNOWN, () => this.#exports.accept(now, incoming, windowBytes));
  }

  refuse(incoming: number): boolean {
    return this.#call(0, () => this.#exports.refuse(incoming)) !== 0;
  }

  retry(incoming: number): boolean {
    return this.#call(0, () => this.#exports.retry(incoming)) !== 0;
  }

  ignore(incoming: number): boolean {
    return this.#call(0, () => this.#exports.ignore(incoming)) !== 0;
  }

  connect(
    now: Millis,
    address: number,
    serverName: string | undefined,
    alpn: readonly string[] | undefined,
    windowBytes = 0,
  ): number {
    const name = serverName === undefined ? EMPTY_BYTES : encodeText(serverName);
    const names = alpn === undefined ? EMPTY_BYTES : encodeAlpn(alpn);
    if (this.#broken !== undefined) return REFUSED.UNKNOWN;
    if (name.length + names.length > this.#inputBytes) return REFUSED.INVALID;
    const bytes = this.#view();
    bytes.set(name, this.#input);
    bytes.set(names, this.#input + name.length);
    const nameLength = serverName === undefined ? -1 : name.length;
    const alpnLength = alpn === undefined ? -1 : names.length;
    return this.#call<number>(REFUSED.UNKNOWN, () =>
      this.#exports.connect(now, address, nameLength, alpnLength, windowBytes),
    );
  }

  close(now: Millis, connection: number, code: number, reason: Uint8Array): boolean {
    if (this.#broken !== undefined) return false;
    const length = Math.min(reason.length, this.#inputBytes);
    this.#view().set(reason.subarray(0, length), this.#input);
    return this.#call(0, () => this.#exports.close(now, connection, code, length)) !== 0;
  }

  ping(connection: number): boolean {
    return this.#call(0, () => this.#exports.ping(connection)) !== 0;
  }

  updateKeys(connection: number): boolean {
    return this.#call(0, () => this.#exports.update_keys(connection)) !== 0;
  }

  rebind(connection: number): boolean {
    return this.#call(0, () => this.#exports.rebind(connection)) !== 0;
  }

  grant(connection: number): boolean {
    return this.#call(0, () => this.#exports.grant(connection)) !== 0;
  }

  release(connection: number): boolean {
    return this.#call(0, () => this.#exports.release(connection)) !== 0;
  }

  setWindows(connection: number, receiveBytes: number, sendBytes: number): boolean {
    return this.#call(0, () => this.#exports.set_windows(connection, receiveBytes, sendBytes)) !== 0;
  }

  abandon(connection: number): boolean {
    return this.#call(0, () => this.#exports.abandon(connection)) !== 0;
  }

  open(connection: number, uni: boolean): number {
    return this.#call<number>(REFUSED.UNKNOWN, () => this.#exports.open(connection, uni ? 1 : 0));
  }

  write(connection: number, stream: number, bytes: Uint8Array, fin: boolean): number {
    if (this.#broken !== undefined) return REFUSED.UNKNOWN;
    let written = 0;
    do {
      const length = Math.min(bytes.length - written, this.#inputBytes);
      const last = written + length === bytes.length;
      this.#view().set(length === bytes.length ? bytes : bytes.subarray(written, written + length), this.#input);
      const taken = this.#call<number>(REFUSED.UNKNOWN, () =>
        this.#exports.write(connection, stream, length, fin && last ? 1 : 0),
      );
      if (taken < 0) return taken;
      written += taken;
      if (taken < length) break;
    } while (written < bytes.length);
    return written;
  }

  read(connection: number, stream: number, maxBytes: number): ReadResult {
    const packed = this.#call(READ.CLOSED << 24, () => this.#exports.read(connection, stream, maxBytes)) >>> 0;
    const length = packed & 0xff_ffff;
    const result = this.#read;
    result.status = packed >>> 24;
    result.bytes = length === 0 ? EMPTY_BYTES : this.#view().slice(this.#output, this.#output + length);
    result.resetCode = result.status === READ.RESET ? this.#number(0) : 0;
    return result;
  }

  reset(connection: number, stream: number, code: number): number {
    return this.#call<number>(REFUSED.UNKNOWN, () => this.#exports.reset(connection, stream, code));
  }

  stop(connection: number, stream: number, code: number): number {
    return this.#call<number>(REFUSED.UNKNOWN, () => this.#exports.stop(connection, stream, code));
  }

  setPriority(connection: number, stream: number, priority: number): number {
    return this.#call<number>(REFUSED.UNKNOWN, () => this.#exports.set_priority(connection, stream, priority));
  }

  sendDatagram(connection: number, bytes: Uint8Array, dropOld: boolean): number {
    if (this.#broken !== undefined) return REFUSED.UNKNOWN;
    if (bytes.length > this.#inputBytes) return REFUSED.TOO_LARGE;
    this.#view().set(bytes, this.#input);
    return this.#call<number>(REFUSED.UNKNOWN, () =>
      this.#exports.send_datagram(connection, bytes.length, dropOld ? 1 : 0),
    );
  }

  receiveDatagram(connection: number): Bytes | undefined {
    const length = this.#call(-1, () => this.#exports.receive_datagram(connection));
    return length < 0 ? undefined : this.#view().slice(this.#output, this.#output + length);
  }

  maxDatagram(connection: number): number | undefined {
    const max = this.#look(-1, () => this.#exports.max_datagram(connection));
    return max < 0 ? undefined : max;
  }

  stats(connection: number): ConnectionStats | undefined {
    if (this.#look(0, () => this.#exports.stats(connection)) === 0) return undefined;
    return statsOf((index) => this.#number(index));
  }

  gauges(): EngineGauges | undefined {
    const gauged = this.#look(false, () => {
      this.#exports.gauges();
      return true;
    });
    if (!gauged) return undefined;
    return gaugesOf((index) => this.#number(index), this.#view().length);
  }

  memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  dispose(): void {
    this.#giveUp(new EngineFailure('The QUIC engine was given up'));
  }

  bytesInUse(): number {
    return this.#look(0, () => this.#exports.bytes_in_use()) >>> 0;
  }

  /** A call without which there is no engine. */
  #begin<T>(act: () => T): T {
    try {
      return act();
    } catch (cause) {
      throw this.#failureOf(cause);
    }
  }

  /** Runs a call into the instance after which there may be something to send; `otherwise` as in `#look`. */
  #call<T>(otherwise: T, act: () => T): T {
    this.#isPolled = false;
    return this.#look(otherwise, act);
  }

  /** Runs a call into the instance; `otherwise` when it is broken, or breaks in the call. */
  #look<T>(otherwise: T, act: () => T): T {
    if (this.#judging) throw new Error('Bug in shoal: the judge of a certificate called the engine');
    if (this.#broken !== undefined) return otherwise;
    try {
      return act();
    } catch (cause) {
      const failure = this.#failureOf(cause);
      this.#giveUp(failure);
      this.#host.failed(failure);
      return otherwise;
    }
  }

  /** Nothing that the instance calls back throws, so whatever comes out of it is a trap. */
  #failureOf(cause: unknown): EngineFailure {
    return new EngineFailure(`The QUIC engine has failed: ${this.#panic ?? String(cause)}`, { cause });
  }

  #giveUp(why: EngineFailure): void {
    this.#broken ??= why;
    this.#isPolled = false;
    // A reference to this object must not keep the instance alive.
    this.#exports = GONE;
    this.#renew();
  }

  /** The instance's memory. When it grows, views of it lose their bytes. */
  #view(): Bytes {
    if (this.#bytes.length === 0) this.#renew();
    return this.#bytes;
  }

  #renew(): void {
    this.#memory = this.#exports.memory.buffer;
    this.#bytes = new Uint8Array(this.#memory);
    this.#words = new Uint32Array(this.#memory);
    this.#doubles = new Float64Array(this.#memory);
  }

  #number(index: number): number {
    this.#view();
    return this.#doubles[this.#numbers + index]!;
  }

  #randomFill(place: number, length: number): number {
    if (length > MAX_RANDOM_BYTES) return 1;
    try {
      const random = this.#host.random(length);
      if (random.length !== length) return 1;
      this.#view().set(random, place);
      return 0;
    } catch {
      // The engine stops with an error of its own; an exception must not cross its frames.
      return 1;
    }
  }

  #judge(connection: number, place: number, length: number): number {
    const chain = chainOf(copyBytes(this.#view().subarray(place, place + length)));
    this.#judging = true;
    try {
      return this.#host.judge(connection, chain);
    } catch {
      return ACCESS_DENIED;
    } finally {
      this.#judging = false;
    }
  }
}
