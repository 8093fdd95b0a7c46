/** Addresses of memory swarms: a whole number, written in decimal. */

import { type Addr, makeAddr } from '../../core/addr.ts';
import { assertString, describeValue } from '../../base/checks.ts';

/** The address of a memory swarm in its realm. */
export interface MemoryAddr extends Addr {
  readonly net: 'memory';
  /** 0 to 2^53 − 1. */
  readonly n: number;
}

/** @throws {TypeError | RangeError} when `n` is not a whole number from 0 to 2^53 − 1. */
export function memoryAddr(n: number): MemoryAddr {
  if (typeof n !== 'number')
    throw new TypeError(`Cannot make memory address: expected a number, got ${describeValue(n)}`);
  if (!Number.isSafeInteger(n) || n < 0) {
    throw new RangeError(`Cannot make memory address: expected a whole number from 0 to 2^53 - 1, got ${n}`);
  }
  return makeAddr<MemoryAddr>({ net: 'memory', n, text: String(n) });
}

/** @throws {TypeError} when `text` is not a decimal number without leading zeros. */
export function parseMemoryAddr(text: string): MemoryAddr {
  assertString(text, 'address');
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(Number(text))) {
    throw new TypeError(`Cannot parse memory address: expected a decimal number such as 7, got ${describeValue(text)}`);
  }
  return memoryAddr(Number(text));
}

/** @throws {TypeError} when `value` is not the address of a memory swarm. */
export function assertMemoryAddr(value: unknown): asserts value is MemoryAddr {
  if (typeof value !== 'object' || value === null || !('net' in value) || value.net !== 'memory') {
    throw new TypeError(`Cannot take dst: expected a memory address (see parseAddr), got ${describeValue(value)}`);
  }
}
