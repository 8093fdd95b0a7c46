/** How random bytes look: what a censor would measure. */

/** Bits of entropy for each byte, 0 to 8. */
export function entropyOf(bytes: Uint8Array): number {
  const counts = new Map<number, number>();
  for (const byte of bytes) counts.set(byte, (counts.get(byte) ?? 0) + 1);
  let entropy = 0;
  for (const count of counts.values()) entropy -= (count / bytes.length) * Math.log2(count / bytes.length);
  return entropy;
}

/** Set bits for each byte; 4 for random ones. */
export function popcountOf(bytes: Uint8Array): number {
  let bits = 0;
  for (let byte of bytes) for (; byte > 0; byte >>= 1) bits += byte & 1;
  return bits / bytes.length;
}

/** The share of printable ASCII; 95 of 256 for random bytes. */
export function printableOf(bytes: Uint8Array): number {
  return bytes.filter((byte) => byte >= 0x20 && byte < 0x7f).length / bytes.length;
}

/** Chi-squared of the values of bytes against equal shares: 255 on average for random ones, with a deviation of 22.6. */
export function chiSquaredOf(bytes: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte]!++;
  const expected = bytes.length / 256;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
