import assert from 'node:assert/strict';
import { it } from 'node:test';

import { HTTP_LIMITS, type HttpServerLimits, resolveHttpLimits } from '../../src/net/http.ts';

it('takes the default for a limit that is undefined, and no limit that is none', () => {
  assert.deepEqual(resolveHttpLimits(), HTTP_LIMITS);
  for (const name of Object.keys(HTTP_LIMITS) as (keyof HttpServerLimits)[]) {
    assert.equal(resolveHttpLimits({ [name]: undefined })[name], HTTP_LIMITS[name]);
    assert.equal(resolveHttpLimits({ [name]: 2000 })[name], 2000);
    for (const wrong of [0, Number.NaN, -1, '1', null]) {
      assert.throws(() => resolveHttpLimits({ [name]: wrong }), new RegExp(`Cannot take http\\.${name}`));
    }
  }
});
