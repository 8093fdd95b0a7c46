import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runInNewContext } from 'node:vm';

import {
  P2PError,
  P2P_ERROR_CODES,
  Refusal,
  assert as assertBug,
  closedError,
  mtuError,
} from '../../src/core/errors.ts';

describe('P2PError', () => {
  it('has code, side, sent and cause', () => {
    const cause = new Error('below');
    const error = new P2PError('timeout', 'path', 'Cannot ask 7: no result within 5 ms', { cause, sent: 'no' });
    assert.deepEqual(
      [error.code, error.side, error.sent, error.cause, error.name],
      ['timeout', 'path', 'no', cause, 'P2PError'],
    );
    assert.ok(error instanceof Error);
    assert.equal(new P2PError('closed', 'local', 'x').sent, 'maybe');
    assert.ok(!('cause' in new P2PError('closed', 'local', 'x')));
  });

  it('is() is structural: it knows the errors of another copy of the package, and nothing else', () => {
    const foreign = Object.assign(new Error('x'), { name: 'P2PError', code: 'closed' });
    assert.ok(P2PError.is(foreign));
    assert.ok(P2PError.is(foreign, 'closed'));
    assert.ok(!P2PError.is(foreign, 'timeout'));
    for (const other of [undefined, null, 'closed', new Error('x'), { name: 'P2PError', code: 'closed' }])
      assert.ok(!P2PError.is(other));
    assert.ok(!P2PError.is(Object.assign(new Error('x'), { name: 'P2PError', code: 'ENOENT' })));
  });

  it('is() knows the errors of another JavaScript realm, as test runners with vm contexts make them', () => {
    const foreign = runInNewContext("Object.assign(new Error('x'), { name: 'P2PError', code: 'closed' })") as unknown;
    assert.ok(!(foreign instanceof Error));
    assert.ok(P2PError.is(foreign, 'closed'));
    assert.ok(!P2PError.is(runInNewContext("new Error('x')")));
  });

  it('has a closed list of codes without repetition', () => {
    assert.equal(new Set(P2P_ERROR_CODES).size, P2P_ERROR_CODES.length);
    for (const code of P2P_ERROR_CODES) assert.match(code, /^[a-z_]+$/);
  });

  it('mtuError names both numbers with units and what to do; closedError says that nothing was sent', () => {
    const error = mtuError('tell udp 1.2.3.4:5', 1300, 1232, 'wrap the swarm in frag()');
    assert.equal(error.message, 'Cannot tell udp 1.2.3.4:5: 1300 bytes, limit is 1232 bytes; wrap the swarm in frag()');
    assert.equal(error.sent, 'no');
    assert.equal(closedError('tell 7').sent, 'no');
  });
});

describe('Refusal', () => {
  it('carries bytes, and is recognised across copies', () => {
    assert.deepEqual(new Refusal('no', Uint8Array.of(1)).bytes, Uint8Array.of(1));
    assert.ok(Refusal.is(Object.assign(new Error('no'), { name: 'Refusal', bytes: undefined })));
    assert.ok(!Refusal.is(new Error('no')));
    // @ts-expect-error text is no bytes
    assert.throws(() => new Refusal('no', 'text'), TypeError);
  });
});

describe('assert', () => {
  it('throws what says that it is a bug', () => {
    assert.throws(() => assertBug(false, 'two and two are four'), /Bug in shoal: two and two are four/);
    assertBug(true, 'fine');
  });
});
