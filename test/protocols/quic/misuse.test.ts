import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { QuicEndpointOptions } from '../../../src/protocols/quic/endpoint-options.ts';
import { Network } from './network.ts';

describe('a QUIC endpoint', () => {
  const made = (options: Partial<QuicEndpointOptions>) => (): void => void new Network(1).add('alice', options);

  it('takes the bounds of its numbers and nothing beyond them', () => {
    for (const [name, max] of [
      ['retryFromHandshakes', 2 ** 20],
      ['maxHandshakes', 2 ** 20],
      ['maxConnections', 2 ** 20],
      ['handshakeTimeoutMs', 2 ** 31],
      ['windowBudgetBytes', 2 ** 40],
    ] as const) {
      for (const value of [0, max]) made({ [name]: value })();
      for (const value of [-1, max + 1]) assert.throws(made({ [name]: value }), RangeError, `${name} ${value}`);
      assert.throws(made({ [name]: 0.5 }), TypeError, name);
    }
  });

  it('takes its functions and its address validation, and nothing else in their place', () => {
    for (const addressValidation of ['never', 'under_load', 'always'] as const) made({ addressValidation })();
    for (const wrong of ['', 'sometimes', 5, null]) {
      assert.throws(made({ addressValidation: wrong as never }), /addressValidation/, String(wrong));
    }
    for (const name of ['engines', 'random', 'judge'] as const) {
      assert.throws(made({ [name]: 5 }), { name: 'TypeError', message: new RegExp(name) });
    }
  });

  it('dials addresses of 32 bits and names of 1 to 255 characters, and only while it is open', () => {
    const { endpoint } = new Network(1).add('alice');
    for (const address of [0, 2 ** 32 - 1]) endpoint.connect(1000, address);
    for (const address of [-1, 2 ** 32]) assert.throws(() => endpoint.connect(1000, address), RangeError);
    for (const serverName of ['a', 'localhost', '192.0.2.1']) endpoint.connect(1000, 5, { serverName });
    for (const serverName of ['', 'a'.repeat(256), 'not a name']) {
      assert.throws(
        () => endpoint.connect(1000, 5, { serverName }),
        { name: 'RangeError', message: /serverName/ },
        serverName,
      );
    }
    assert.throws(() => endpoint.connect(1000, 5, { alpn: [''] }), /ALPN/);
    endpoint.close(1000);
    assert.throws(() => endpoint.connect(1000, 5), /closed/);
  });
});
