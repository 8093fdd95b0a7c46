/**
 * Argument checks: each throws a `TypeError` for the wrong type and a `RangeError` for a value out of range, and names
 * the parameter, the expected and the actual value.
 */

// Every entry of the package loads this file, so an old runtime is refused here with a clear message.
if (typeof Promise.withResolvers !== 'function') {
  throw new Error(
    'Cannot load shoal: it needs Node 22 or newer, or a browser of 2024 or newer; this one has no Promise.withResolvers',
  );
}

/**
 * The common text forms of keys: PEM, hexadecimal digits of 16 bytes or more, base64 of 32 bytes. PeerIDs do not match.
 */
const LOOKS_LIKE_KEY = /-----BEGIN |[\da-f]{32}|[a-z\d+/]{43}=/i;

/**
 * A value in an error message: short. Never shows the contents of bytes or an object, or of a text that looks like a
 * key, even if it was passed to the wrong option.
 */
export function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string' && LOOKS_LIKE_KEY.test(value)) return describeKind(value);
  if (typeof value === 'string')
    return value.length > 60 ? `${JSON.stringify(value.slice(0, 57))}…` : JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined) return String(value);
  if (typeof value === 'object') return `an object of type ${value.constructor?.name ?? 'null'}`;
  return `a ${typeof value}`;
}

/**
 * Options that hold secrets, by their last name, and those to which a secret is easily passed by mistake. Their values
 * are never quoted, because messages are written to logs and reports. {@link assertBytes} never quotes values.
 */
export const SECRET_OPTIONS: readonly string[] = ['identity', 'key', 'options', 'privateKey', 'publicKey'];

/** The kind of a value, without its contents. */
export function describeKind(value: unknown): string {
  if (typeof value === 'string') return `a string of ${value.length} characters`;
  return typeof value === 'object' || value === undefined ? describeValue(value) : `a ${typeof value}`;
}

/** Like {@link describeValue} for names of up to 16 characters; for longer text, which may be a key, only the kind. */
export function describeName(name: unknown): string {
  return typeof name === 'string' && name.length <= 16 ? describeValue(name) : describeKind(name);
}

/** Like {@link describeValue}; only the kind of a value that may be a secret by its label. */
export function describeOption(label: string, value: unknown): string {
  const name = label.slice(label.lastIndexOf('.') + 1);
  return SECRET_OPTIONS.includes(name) ? describeKind(value) : describeValue(value);
}

/**
 * @throws {TypeError} when `value` is not a `Uint8Array` over an unshared buffer. The message quotes nothing of it.
 * @throws {RangeError} when `length` is given and the value has another.
 */
export function assertBytes(value: unknown, label: string, length?: number): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`Cannot take ${label}: expected a Uint8Array, got ${describeKind(value)}`);
  }
  if (length !== undefined && value.length !== length) {
    throw new RangeError(`Cannot take ${label}: expected ${length} bytes, got ${value.length}`);
  }
}

/** @throws {TypeError} when `value` is not a function. */
export function assertFunction(value: unknown, label: string): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') {
    throw new TypeError(`Cannot take ${label}: expected a function, got ${describeKind(value)}`);
  }
}

/** @throws {TypeError} when `value` is neither a boolean nor, where `orObject`, an object. */
export function assertSwitch(value: unknown, label: string, orObject = false): void {
  if (value === undefined || typeof value === 'boolean') return;
  if (orObject && typeof value === 'object' && value !== null) return;
  const expected = orObject ? 'true, false or an object' : 'true or false';
  throw new TypeError(`Cannot take ${label}: expected ${expected}, got ${describeOption(label, value)}`);
}

/** @throws {TypeError} when `value` is neither undefined nor an `AbortSignal` of any platform. */
export function assertSignal(value: unknown): asserts value is AbortSignal | undefined {
  if (value === undefined) return;
  const isSignal = typeof value === 'object' && value !== null && 'addEventListener' in value && 'aborted' in value;
  if (!isSignal) throw new TypeError(`Cannot take signal: expected an AbortSignal, got ${describeValue(value)}`);
}

/** @throws {TypeError} when `value` is not a string. */
export function assertString(value: unknown, label: string): asserts value is string {
  if (typeof value !== 'string')
    throw new TypeError(`Cannot take ${label}: expected a string, got ${describeValue(value)}`);
}

/**
 * @returns `value`, or `fallback` when it is undefined.
 * @throws {TypeError} when it is not a whole number.
 * @throws {RangeError} when it is below `min` or above `max`.
 */
export function wholeNumber(
  value: number | undefined,
  label: string,
  fallback: number,
  min: number,
  max: number,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw new TypeError(`Cannot take ${label}: expected a whole number, got ${describeValue(value)}`);
  }
  if (value < min || value > max) {
    throw new RangeError(`Cannot take ${label}: expected ${min} to ${max}, got ${value}`);
  }
  return value;
}

/**
 * Like {@link wholeNumber}, but also accepts `Infinity` (if `max` allows it) and fractions: for durations and rates.
 */
export function quantity(value: number | undefined, label: string, fallback: number, min: number, max: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number' || Number.isNaN(value)) {
    throw new TypeError(`Cannot take ${label}: expected a number, got ${describeValue(value)}`);
  }
  if (value < min || value > max) {
    throw new RangeError(`Cannot take ${label}: expected ${min} to ${max}, got ${value}`);
  }
  return value;
}
