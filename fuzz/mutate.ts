/**
 * Hostile inputs: noise, and valid inputs with a few things wrong. fast-check makes them, so that a fault is shown with the
 * smallest input that shows it, and `--seed` and `--path` repeat it.
 */

import { array, constantFrom, nat, noBias, oneof, tuple, uint8Array, type Arbitrary } from 'fast-check';

/** Numbers at which lengths and counts go wrong. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] as const;
const MAX_NOISE_BYTES = 300;
const MAX_EDITS = 4;
/** Of as many inputs one is noise, where there are valid inputs to spoil. */
const NOISE_IN = 8;

/** An edit: what it does, where (modulo the length), and with which bytes. */
type Edit = readonly [kind: number, at: number, argument: number, bytes: Uint8Array];

/** @param seeds - valid inputs; without any, all is noise. */
export function hostileInputs(seeds: readonly Uint8Array[]): Arbitrary<Uint8Array<ArrayBuffer>> {
  const noise = uint8Array({ maxLength: MAX_NOISE_BYTES });
  if (seeds.length === 0) return noBias(noise);
  const edit: Arbitrary<Edit> = tuple(nat(6), nat(0xffff), nat(0xffff), uint8Array({ minLength: 1, maxLength: 16 }));
  const edits = array(edit, { minLength: 1, maxLength: MAX_EDITS });
  const spoilt = tuple(constantFrom(...seeds), edits).map(([seed, all]) =>
    all.reduce((input, one) => edited(input, one, seeds), seed.slice()),
  );
  return noBias(oneof({ weight: 1, arbitrary: noise }, { weight: NOISE_IN - 1, arbitrary: spoilt }));
}

function edited(
  input: Uint8Array<ArrayBuffer>,
  [kind, place, argument, bytes]: Edit,
  seeds: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const at = place % (input.length + 1);
  switch (kind) {
    case 0: // a bit flips
      if (at < input.length) input[at]! ^= 1 << (argument & 7);
      return input;
    case 1: // an edge
      if (at < input.length) input[at] = EDGES[argument % EDGES.length]!;
      return input;
    case 2: // cut off
      return input.slice(0, at);
    case 3: // more bytes at the end
      return joined(input, bytes);
    case 4: // more bytes inside
      return joined(input.subarray(0, at), bytes, input.subarray(at));
    case 5: // fewer bytes inside
      return joined(input.subarray(0, at), input.subarray(at + 1 + (argument & 3)));
    default: {
      // the end of another one
      const other = seeds[argument % seeds.length]!;
      return joined(input.subarray(0, at), other.subarray(bytes[0]! % (other.length + 1)));
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
