import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Addr, makeAddr } from '../../src/core/addr.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { unroutable } from '../../src/net/unroutable.ts';

type Place = Addr & { readonly ip?: string; readonly port?: number; readonly inner?: Addr };
const place = (fields: Place): Place => makeAddr<Place>(fields);
const udp = (text: string): Place => place({ text, ...parseSocketAddress(text)! });

describe('unroutable', () => {
  it('names port 0, the unspecified, multicast, reserved and broadcast addresses, below wrappers too', () => {
    for (const [text, why] of [
      ['192.0.2.1:0', /nobody has port 0/],
      ['0.0.0.0:1', /for binding only/],
      ['[::]:1', /for binding only/],
      ['0.0.0.1:1', /single host/],
      ['[::ffff:0.0.0.0]:1', /for binding only/],
      ['[::ffff:224.0.0.1]:1', /single host/],
      ['224.0.0.0:1', /single host/],
      ['239.255.255.255:1', /single host/],
      ['240.0.0.1:1', /single host/],
      ['255.255.255.255:1', /single host/],
      ['[ff00::]:1', /single host/],
      ['[ff02::fb%eth0]:1', /single host/],
    ] as const) {
      for (const addr of [udp(text), place({ text: `x@${text}`, inner: udp(text) })]) {
        const error = unroutable(addr);
        assert.deepEqual([error?.code, error?.side, error?.sent], ['unreachable', 'local', 'no'], text);
        assert.match(error!.message, why);
      }
    }
  });

  it('lets through what may lead to a host, and what is no address of IP', () => {
    for (const text of [
      '223.255.255.255:65535',
      '1.0.0.1:1',
      '[::ffff:192.0.2.1]:1',
      '[fe80::1%eth0]:1',
      '[::1]:1',
      '[fdff::1]:65535',
    ]) {
      assert.equal(unroutable(udp(text)), undefined, text);
    }
    assert.equal(unroutable(place({ text: '1' })), undefined);
  });
});
