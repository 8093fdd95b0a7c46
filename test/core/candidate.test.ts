import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { candidateFaultOf } from '../../src/core/candidate.ts';
import { P2PError } from '../../src/core/errors.ts';

describe('the fault of a candidate', () => {
  it('follows from the code of the error, and from the side that refused', () => {
    const faults = [
      new P2PError('identity_mismatch', 'remote', 'x'),
      new P2PError('refused', 'remote', 'x'),
      new P2PError('refused', 'local', 'x'),
      new P2PError('timeout', 'path', 'x'),
      new P2PError('unreachable', 'path', 'x'),
      new P2PError('disconnected', 'remote', 'x'),
      new Error('x'),
      undefined,
    ].map(candidateFaultOf);
    assert.deepEqual(faults, [
      'wrong_key',
      'denied',
      'not_allowed',
      'silent',
      'unreachable',
      'unreachable',
      'unreachable',
      'unreachable',
    ]);
  });
});
