/**
 * JSON (RFC 8259) with exact whole numbers: TAI64N labels exceed 2^53. Bounded in size and depth, since it comes from
 * peers; strict, so that each side reads the same.
 */

import { decodeText } from '../../base/bytes.ts';

/** A JSON value; whole numbers are bigints, all others numbers. */
export type Json = null | boolean | string | number | bigint | readonly Json[] | JsonObject;

/** The members of an object. */
export type JsonObject = ReadonlyMap<string, Json>;

/** Messages have a depth of 3. */
const MAX_DEPTH = 8;
/** Digits of a whole number; 64 bits need 20. */
const MAX_DIGITS = 24;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/sy;
const SPACE = /[ \t\n\r]*/y;

/** Reads a JSON text of UTF-8; `undefined` when it is malformed or too deep. Of equal names the last counts. Never throws. */
export function readJson(bytes: Uint8Array): Json | undefined {
  const text = decodeText(bytes);
  if (text === undefined) return undefined;
  const reader = new Reader(text);
  const value = reader.value(0);
  return value === undefined || !reader.isAtEnd() ? undefined : value;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.#text.length;
  }

  value(depth: number): Json | undefined {
    if (depth > MAX_DEPTH) return undefined;
    this.#match(SPACE);
    const next = this.#text[this.#at];
    if (next === '{') return this.#object(depth);
    if (next === '[') return this.#array(depth);
    if (next === '"') return this.#string();
    for (const [word, value] of WORDS) if (this.#takes(word)) return value;
    return this.#number();
  }

  #object(depth: number): JsonObject | undefined {
    const members = new Map<string, Json>(); // Bounded by the size of the text.
    this.#at++;
    for (let first = true; ; first = false) {
      this.#match(SPACE);
      if (first && this.#takes('}')) return members;
      const name = this.#text[this.#at] === '"' ? this.#string() : undefined;
      this.#match(SPACE);
      if (name === undefined || !this.#takes(':')) return undefined;
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      members.set(name, value);
      this.#match(SPACE);
      if (this.#takes('}')) return members;
      if (!this.#takes(',')) return undefined;
    }
  }

  #array(depth: number): readonly Json[] | undefined {
    const items: Json[] = []; // Bounded by the size of the text.
    this.#at++;
    for (let first = true; ; first = false) {
      this.#match(SPACE);
      if (first && this.#takes(']')) return items;
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      items.push(value);
      this.#match(SPACE);
      if (this.#takes(']')) return items;
      if (!this.#takes(',')) return undefined;
    }
  }

  #string(): string | undefined {
    const quoted = this.#match(STRING);
    if (quoted === undefined) return undefined;
    try {
      return JSON.parse(quoted[0]) as string;
    } catch {
      return undefined; // A control character, or an invalid escape.
    }
  }

  #number(): number | bigint | undefined {
    const number = this.#match(NUMBER);
    if (number === undefined) return undefined;
    const [text, fraction, exponent] = number;
    if (fraction !== undefined || exponent !== undefined) return Number(text);
    return text.length > MAX_DIGITS ? undefined : BigInt(text);
  }

  #takes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text) ?? undefined;
    if (match !== undefined) this.#at += match[0].length;
    return match;
  }
}

const WORDS: readonly (readonly [string, null | boolean])[] = [
  ['null', null],
  ['true', true],
  ['false', false],
];

/** The compact text of a value. */
export function writeJson(value: Json): string {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Map) {
    const members = Array.from(value as JsonObject, ([name, each]) => `${JSON.stringify(name)}:${writeJson(each)}`);
    return `{${members.join(',')}}`;
  }
  if (Array.isArray(value)) return `[${value.map((each: Json) => writeJson(each)).join(',')}]`;
  return JSON.stringify(value);
}

/** An object of the given members, in their order; `undefined` ones are left out. */
export function jsonObject(members: Readonly<Record<string, Json | undefined>>): JsonObject {
  return new Map(Object.entries(members).filter((member): member is [string, Json] => member[1] !== undefined));
}
