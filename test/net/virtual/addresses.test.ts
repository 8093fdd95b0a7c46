import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createVirtualInternet } from '../../../src/net/virtual/internet.ts';
import { createMemoryRealm } from '../../../src/swarms/memory/index.ts';

describe('addresses of a virtual internet', () => {
  it('one that a host was given is not given to another host, a NAT or a public LAN', () => {
    const net = createVirtualInternet({ realm: createMemoryRealm({ clock: 'virtual' }) });
    const given = ['11.0.0.1', '11.0.1.1', '11.0.2.1'];
    for (const ip of given) net.host({ ip });
    const others = [net.host().ip, net.nat('port').ip, net.host({ behind: net.nat('open') }).ip];
    assert.equal(new Set([...given, ...others]).size, 6);
    assert.throws(() => net.host({ ip: '11.0.1.1' }), RangeError);
  });
});
