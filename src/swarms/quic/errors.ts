/** What a peer means by the code with which it ends a stream. */

import { P2PError } from '../../core/errors.ts';
import { CODE } from './codes.ts';

export function refusedBy(code: number | undefined): P2PError {
  if (code === CODE.OVERSIZE) {
    return new P2PError('mtu_exceeded', 'remote', 'The message is larger than the peer takes');
  }
  return new P2PError('refused', 'remote', `The peer has refused the message (code ${code ?? 0})`);
}
