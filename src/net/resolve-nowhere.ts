/** Replaces the resolver on platforms without DNS (browsers). */

import { P2PError } from '../core/errors.ts';
import { rejection } from '../runtime/promises.ts';

/** @throws {P2PError} (by rejection) `unsupported`, always. */
export function resolveName(name: string): Promise<readonly string[]> {
  const what = `Cannot resolve ${name}: this platform has no DNS; give a resolver or an IP`;
  return rejection(new P2PError('unsupported', 'local', what, { sent: 'no' }));
}
