import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addressScope } from '../../src/net/address-scope.ts';

const here = [
  { name: 'lo', ip: '127.0.0.1', prefixLength: 8, isInternal: true },
  { name: 'eth0', ip: '192.168.1.7', prefixLength: 24, isInternal: false },
  { name: 'eth0', ip: '2001:db8:1::7', prefixLength: 64, isInternal: false },
  { name: 'docker0', ip: '172.17.0.1', prefixLength: 16, isInternal: false },
  { name: 'br-6f2a', ip: '192.168.96.1', prefixLength: 20, isInternal: false },
  { name: 'virbr1', ip: '10.5.0.1', prefixLength: 24, isInternal: false },
];

describe('the scope of an address', () => {
  it('is what it is for this host: near, on this machine, private, public, or behind a virtual bridge', () => {
    for (const [ip, scope] of [
      ['192.168.1.9', 'same_subnet'],
      ['2001:db8:1::9', 'same_subnet'],
      ['127.0.0.9', 'loopback'],
      ['::1', 'loopback'],
      ['169.254.1.1', 'link_local'],
      ['fe80::1%eth0', 'link_local'],
      ['192.168.2.9', 'private'],
      ['fd00::1', 'private'],
      ['100.64.0.1', 'private'],
      ['203.0.113.1', 'public'],
      ['2001:db8:2::9', 'public'],
      ['172.17.0.5', 'virtual'],
      ['192.168.100.5', 'virtual'],
      ['10.5.0.200', 'virtual'],
      // In the usual networks of bridges, also without one here.
      ['192.168.122.5', 'virtual'],
      ['192.168.56.5', 'virtual'],
    ] as const) {
      assert.equal(addressScope(ip, here), scope, ip);
    }
  });

  it('is near, not virtual, where a real interface is in the usual network of a bridge', () => {
    const lan = [{ name: 'wlan0', ip: '192.168.122.7', prefixLength: 24, isInternal: false }];
    assert.equal(addressScope('192.168.122.5', lan), 'same_subnet');
  });
});
