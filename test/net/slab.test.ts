/** Buffers of which the messages of a busy socket are views. */

import { equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';

import { SLAB_BYTES } from '../../src/net/pipe.ts';
import { Slab } from '../../src/net/slab.ts';

test('the buffer of a slab cannot be transferred, in no version of Node: the system reads into it', () => {
  const slab = new Slab(false, () => slab.release());
  slab.expect();
  const { buffer } = slab.place()!;
  for (const name of ['transfer', 'transferToFixedLength'] as const) throws(() => buffer[name](), TypeError);
  throws(() => structuredClone(buffer, { transfer: [buffer] }));
  equal(buffer.byteLength, SLAB_BYTES);
  ok(slab.place()!.length > 0);
  slab.stop();
});
