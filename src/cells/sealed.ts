/** Cells whose values are encrypted: the place that stores them sees their length, and when they change. Source: docs/wire/cells.md. */

import { copyBytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { SECRETBOX } from '../crypto/secretbox.ts';
import { openValue, SEALED_OVERHEAD_BYTES, sealValue } from '../protocols/cell/sealed-form.ts';
import type { Cell } from './cell.ts';
import { translated } from './translated.ts';

/** Options of {@link sealed}. */
export interface SealedOptions {
  /** The key that all readers and writers have: 32 bytes. */
  readonly key: Uint8Array;
}

/**
 * Wraps a cell: values are sealed with NaCl's secretbox, each with a random nonce of the realm. An empty cell is empty, sealed by nobody.
 *
 * Reading what another key has sealed rejects with `identity_mismatch`. Closing closes the inner cell.
 *
 * @throws {TypeError | RangeError} for invalid arguments.
 */
export function sealed(inner: Cell, options: SealedOptions): Cell {
  assertBytes(options?.key, 'key', SECRETBOX.keyBytes);
  const key = copyBytes(options.key);
  return translated(inner, {
    overheadBytes: SEALED_OVERHEAD_BYTES,
    wrap: (payload) => sealValue(key, inner.realm.random(SECRETBOX.nonceBytes), payload),
    unwrap: (value) => {
      const payload = openValue(key, value);
      if (payload !== undefined) return payload;
      const what = 'Cannot read cell: what is in it was sealed with another key, or changed';
      throw new P2PError('identity_mismatch', 'remote', what, { sent: 'no' });
    },
  });
}
