/**
 * DNS messages as multicast DNS has them (RFC 6762 §18, RFC 1035 §4): questions and records of class IN. Decoding is bounded and never
 * throws: names of at most 255 bytes, whose pointers lead to what is before them, and a bounded number of records.
 */

import { type Bytes, concatBytes, decodeText, encodeText, viewFrom } from '../../base/bytes.ts';

/** The types that are used (RFC 1035 §3.2.2, RFC 3596, RFC 2782); others are carried as they are. */
export const DNS_TYPE = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, ANY: 255 } as const;
const CLASS_IN = 1;
const CLASS_ANY = 255;
/** In a question: an answer by unicast is wanted; in a record: it replaces all others of its name and type. */
const TOP_BIT = 0x8000;
const HEADER_BYTES = 12;
const FLAG = { response: 0x8000, opcode: 0x7800, authoritative: 0x0400, truncated: 0x0200, rcode: 0x000f } as const;
/** RFC 6762 §17. */
export const MAX_MDNS_BYTES = 9000;
/** In one message; more are malformed. A message of {@link MAX_MDNS_BYTES} has no more that make sense. */
const MAX_ENTRIES = 512;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
/** More do not fit into a name, and so there is no reason for more pointers. */
const MAX_LABELS = 127;
const MAX_POINTER = 0x3fff;

/** A question. */
export interface DnsQuestion {
  /** Labels with dots between; a dot or a backslash in a label has a backslash before it. */
  readonly name: string;
  readonly type: number;
  readonly wantsUnicast: boolean;
}

/** A record. */
export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  /** Whether it replaces all others of its name and type. */
  readonly isUnique: boolean;
  /** Seconds; 0: it is gone. */
  readonly ttlS: number;
  /** Names in it are not compressed. */
  readonly data: Bytes;
}

/** A message. */
export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  /** More known answers follow in another message. */
  readonly isTruncated: boolean;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** For comparing: names are the same whatever the case of their ASCII letters (RFC 6762 §16). */
export function nameKey(name: string): string {
  return name.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The labels of a name. */
function labelsOf(name: string): readonly string[] {
  const labels: string[] = [];
  let label = '';
  for (let i = 0; i < name.length; i++) {
    const character = name[i]!;
    if (character === '\\') label += name[++i] ?? '';
    else if (character === '.') {
      labels.push(label);
      label = '';
    } else label += character;
  }
  return label === '' ? labels : [...labels, label];
}

/** A name without compression. */
export function encodeName(name: string): Bytes {
  const labels = labelsOf(name).map(encodeText);
  return concatBytes(...labels.flatMap((label) => [Uint8Array.of(label.length), label]), Uint8Array.of(0));
}

/** The data of an SRV record (RFC 2782). */
export function srvData(port: number, host: string): Bytes {
  return concatBytes(new Uint8Array(4), Uint8Array.of(port >> 8, port & 255), encodeName(host));
}

/** Port and host of an SRV record; `undefined` when it is malformed. */
export function readSrv(data: Bytes): { readonly port: number; readonly host: string } | undefined {
  const host = data.length > 6 ? readName(data, 6)?.name : undefined;
  return host === undefined ? undefined : { port: data[4]! * 256 + data[5]!, host };
}

/** The name in a PTR record; `undefined` when it is malformed. */
export function readPtr(data: Bytes): string | undefined {
  return readName(data, 0)?.name;
}

/** The data of a TXT record: strings of at most 255 bytes each. */
export function txtData(texts: readonly string[]): Bytes {
  if (texts.length === 0) return Uint8Array.of(0);
  return concatBytes(...texts.map(encodeText).flatMap((text) => [Uint8Array.of(text.length), text]));
}

/** The strings of a TXT record; those that are not UTF-8 are left out. */
export function readTxt(data: Bytes): readonly string[] {
  const texts: string[] = [];
  for (let at = 0; at < data.length; at += 1 + data[at]!) {
    if (at + 1 + data[at]! > data.length) break;
    const text = decodeText(data.subarray(at + 1, at + 1 + data[at]!));
    if (text !== undefined && text !== '') texts.push(text);
  }
  return texts;
}

/** Encodes a message; names are compressed. */
export function encodeMdns(message: DnsMessage): Bytes {
  const writer = new Writer();
  const flags =
    (message.isResponse ? FLAG.response | FLAG.authoritative : 0) | (message.isTruncated ? FLAG.truncated : 0);
  const sections = [message.answers, message.authorities, message.additionals];
  for (const value of [message.id, flags, message.questions.length, ...sections.map(({ length }) => length)]) {
    writer.u16(value);
  }
  for (const { name, type, wantsUnicast } of message.questions) {
    writer.name(name);
    writer.u16(type);
    writer.u16(CLASS_IN | (wantsUnicast ? TOP_BIT : 0));
  }
  for (const record of sections.flat()) writer.record(record);
  return writer.bytes();
}

/** Decodes a message; `undefined` when it is malformed or no query or response. Never throws; keeps no reference to `bytes`. */
export function decodeMdns(bytes: Uint8Array): DnsMessage | undefined {
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_MDNS_BYTES) return undefined;
  const reader = new Reader(bytes.slice());
  const [id, flags, ...counts] = Array.from({ length: 6 }, () => reader.u16()) as [number, number, ...number[]];
  // RFC 6762 §18.3, §18.11.
  if ((flags & (FLAG.opcode | FLAG.rcode)) !== 0) return undefined;
  if (counts.reduce((sum, count) => sum + count, 0) > MAX_ENTRIES) return undefined;
  const [questions, answers, authorities, additionals] = [
    reader.many(counts[0]!, () => reader.question()),
    ...counts.slice(1).map((count) => reader.many(count, () => reader.record())),
  ] as [DnsQuestion[], DnsRecord[], DnsRecord[], DnsRecord[]];
  if (reader.failed) return undefined;
  const [isResponse, isTruncated] = [(flags & FLAG.response) !== 0, (flags & FLAG.truncated) !== 0];
  return { id, isResponse, isTruncated, questions, answers, authorities, additionals };
}

class Writer {
  readonly #parts: Bytes[] = [];
  #length = 0;
  /** Where each end of a name stands. Bounded by the labels of the message. */
  readonly #offsets = new Map<string, number>();

  u16(value: number): void {
    this.#add(Uint8Array.of(value >> 8, value & 255));
  }

  name(name: string): void {
    const labels = labelsOf(name);
    for (let i = 0; i < labels.length; i++) {
      const rest = nameKey(JSON.stringify(labels.slice(i)));
      const known = this.#offsets.get(rest);
      if (known !== undefined) {
        this.u16(0xc000 | known);
        return;
      }
      if (this.#length <= MAX_POINTER) this.#offsets.set(rest, this.#length);
      const label = encodeText(labels[i]!);
      this.#add(Uint8Array.of(label.length));
      this.#add(label);
    }
    this.#add(Uint8Array.of(0));
  }

  record({ name, type, isUnique, ttlS, data }: DnsRecord): void {
    this.name(name);
    this.u16(type);
    this.u16(CLASS_IN | (isUnique ? TOP_BIT : 0));
    this.u16(ttlS >>> 16);
    this.u16(ttlS & 0xffff);
    const at = this.#parts.length;
    this.u16(0);
    const start = this.#length;
    const head = type === DNS_TYPE.SRV ? 6 : 0;
    const target = type === DNS_TYPE.PTR || type === DNS_TYPE.SRV ? readName(data, head)?.name : undefined;
    if (target === undefined) this.#add(data);
    else {
      this.#add(viewFrom(data, 0, head));
      this.name(target);
    }
    const length = this.#length - start;
    this.#parts[at] = Uint8Array.of(length >> 8, length & 255);
  }

  bytes(): Bytes {
    return concatBytes(...this.#parts);
  }

  #add(bytes: Bytes): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

/** A name, and where it ends; `undefined` when it is malformed. */
function readName(bytes: Bytes, start: number): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let [at, end, length, limit, jumps] = [start, -1, 1, start, 0];
  for (;;) {
    const first = bytes[at];
    if (first === undefined) return undefined;
    if (first >= 0xc0) {
      const pointer = ((first & 0x3f) << 8) | (bytes[at + 1] ?? 0x4000);
      // Each pointer leads to before the part that it ends, so that there is no way round in circles.
      if (pointer >= limit || ++jumps > MAX_LABELS) return undefined;
      if (end < 0) end = at + 2;
      at = limit = pointer;
      continue;
    }
    if (first > MAX_LABEL_BYTES || (length += 1 + first) > MAX_NAME_BYTES) return undefined;
    if (first === 0) {
      const name = labels.map((label) => label.replaceAll(/[\\.]/g, String.raw`\$&`)).join('.');
      return { name, end: end < 0 ? at + 1 : end };
    }
    if (at + 1 + first > bytes.length) return undefined;
    const label = decodeText(bytes.subarray(at + 1, at + 1 + first));
    if (label === undefined) return undefined;
    labels.push(label);
    at += 1 + first;
  }
}

/** Reads one message; after the first fault all results are empty. */
class Reader {
  readonly #bytes: Bytes;
  #at = 0;
  failed = false;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  u16(): number {
    const [high, low] = [this.#bytes[this.#at], this.#bytes[this.#at + 1]];
    this.#at += 2;
    if (high === undefined || low === undefined) return this.#fail(0);
    return high * 256 + low;
  }

  /** So many entries; those of other classes are left out. */
  many<T>(count: number, read: () => T | undefined): T[] {
    const found: T[] = [];
    for (let i = 0; i < count && !this.failed; i++) {
      const one = read();
      if (one !== undefined) found.push(one);
    }
    return found;
  }

  question(): DnsQuestion | undefined {
    const name = this.#name();
    const type = this.u16();
    const [kind, isTop] = this.#class();
    if (kind !== CLASS_IN && kind !== CLASS_ANY) return undefined;
    return { name, type, wantsUnicast: isTop };
  }

  record(): DnsRecord | undefined {
    const name = this.#name();
    const type = this.u16();
    const [kind, isUnique] = this.#class();
    const ttlS = this.u16() * 65_536 + this.u16();
    const end = this.u16() + this.#at;
    if (this.failed || end > this.#bytes.length) return this.#fail(undefined);
    const data = this.#data(type, end);
    this.#at = end;
    return kind === CLASS_IN && data !== undefined ? { name, type, isUnique, ttlS, data } : undefined;
  }

  /** The data without compression; `undefined` where a name in it is malformed. */
  #data(type: number, end: number): Bytes | undefined {
    const data = this.#bytes.slice(this.#at, end);
    if (type !== DNS_TYPE.PTR && type !== DNS_TYPE.SRV) return data;
    const head = type === DNS_TYPE.SRV ? 6 : 0;
    const target = readName(this.#bytes, this.#at + head);
    if (target === undefined || target.end !== end) return this.#fail(undefined);
    return concatBytes(data.subarray(0, head), encodeName(target.name));
  }

  #class(): readonly [kind: number, isTop: boolean] {
    const value = this.u16();
    return [value & ~TOP_BIT, (value & TOP_BIT) !== 0];
  }

  #name(): string {
    const read = this.failed ? undefined : readName(this.#bytes, this.#at);
    if (read === undefined) return this.#fail('');
    this.#at = read.end;
    return read.name;
  }

  #fail<T>(instead: T): T {
    this.failed = true;
    return instead;
  }
}
