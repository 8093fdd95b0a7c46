/** Punches that are refused before anything is sent. */

import { P2PError } from '../../core/errors.ts';
import { rejection } from '../../runtime/promises.ts';

export function refused(code: 'unreachable' | 'limit_exceeded' | 'unsupported', why: string): Promise<never> {
  const side = code === 'unreachable' ? 'path' : 'local';
  return rejection(new P2PError(code, side, `Cannot punch: ${why}`, { sent: 'no' }));
}
