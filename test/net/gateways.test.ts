import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { firstAddresses, gatewaysOf } from '../../src/net/default-gateways.ts';
import { ipv4Gateways, ipv6Gateways, systemGateways } from '../../src/net/gateways.ts';
import { punching } from '../../src/nat/punch/punching.ts';
import { throughProxy } from '../../src/net/through-proxy.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { ipVersion } from '../../src/base/ip.ts';

const IPV4 = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
wlan0\t00000000\tFE01000A\t0003\t0\t0\t600\t00000000\t0\t0\t0
`;
const IPV6 = `00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000021122fffe334455 00000064 00000001 00000000 00000003     eth0
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000064 00000001 00000000 00000003    wlan0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`;

describe('gateways', () => {
  it('of Linux are those of its default routes', () => {
    assert.deepEqual(ipv4Gateways(IPV4), ['192.168.1.1', '10.0.1.254']);
    assert.deepEqual(ipv6Gateways(IPV6), ['fe80::211:22ff:fe33:4455%eth0', '2001:db8::1']);
    for (const text of ['', '\n\n', 'a b c', IPV4.slice(0, 120)]) {
      assert.deepEqual([ipv4Gateways(text).length <= 1, ipv6Gateways(text)], [true, []]);
    }
    for (const ip of systemGateways()) assert.notEqual(ipVersion(ip), undefined);
  });

  it('of other systems are the first addresses of private networks', () => {
    const on = (ip: string, prefixLength: number, isInternal = false) => ({
      name: 'en0',
      ip,
      prefixLength,
      isInternal,
    });
    assert.deepEqual(
      firstAddresses([
        on('192.168.7.20', 24),
        on('10.1.2.3', 8),
        on('192.168.7.21', 24),
        on('11.0.0.5', 24),
        on('10.9.9.9', 31),
        on('fd00::2', 64),
        on('127.0.0.1', 8, true),
      ]),
      ['192.168.7.1', '10.0.0.1'],
    );
  });

  it('of a virtual host are the routers of its LANs, in both families', () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const net = createVirtualInternet({ realm, seed: 1, ipv6: true });
    const host = net.host({ behind: net.nat('port') });
    assert.deepEqual(host.network.gateways?.(), ['192.168.1.1', 'fe80::1%eth0']);
    const wrapped = [throughProxy(host.network, 'http://192.168.1.9:8080'), punching(host.network)];
    for (const network of wrapped) assert.deepEqual(gatewaysOf(network), ['192.168.1.1', 'fe80::1%eth0']);
    host.move({ behind: net.lan() });
    assert.deepEqual(host.network.gateways?.(), []);
    assert.deepEqual(net.host().network.gateways?.(), []);
    assert.deepEqual(net.nat('port').network.gateways?.(), []);
  });
});
