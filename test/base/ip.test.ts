import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import {
  canonicalIp,
  formatSocketAddress,
  ipVersion,
  isLinkLocalIp,
  isLoopbackIp,
  isPrivateIp,
  parseSocketAddress,
} from '../../src/base/ip.ts';
import { isGlobal, isLinkLocal, isLoopback, isPrivate, isUnspecified } from '../../src/core/addr.ts';

describe('canonicalIp', () => {
  for (const [text, canonical] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8::00FF', '2001:db8::ff'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::ffff:102:304', '1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ] as const) {
    it(`writes ${text} as ${canonical}`, () => assert.equal(canonicalIp(text), canonical));
  }

  for (const text of [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.-4',
    '1.2.3.4 ',
    'localhost',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::12345',
    '::g',
    '1.2.3.4::',
    '::1.2.3',
    'fe80::1%',
    '1.2.3.4%eth0',
    '[::1]',
    'fe80::1%a b',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(canonicalIp(text), undefined));
  }

  it('takes what node:net takes, gives the same address back, and is idempotent', () => {
    const any = fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 20 }));
    fc.assert(
      fc.property(any, (text) => {
        const canonical = canonicalIp(text);
        if (canonical === undefined) return isIP(text) === 0;
        return (
          isIP(canonical) !== 0 && canonicalIp(canonical) === canonical && ipVersion(canonical) === isIP(canonical)
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe('parseSocketAddress', () => {
  it('reads what formatSocketAddress writes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 0, max: 65_535 }), (ip, port) => {
        const canonical = canonicalIp(ip)!;
        assert.deepEqual(parseSocketAddress(formatSocketAddress(canonical, port)), { ip: canonical, port });
      }),
    );
  });

  for (const text of [
    '1.2.3.4',
    '1.2.3.4:',
    ':5',
    '::1:5',
    '[::1]',
    '[1.2.3.4]:5',
    '1.2.3.4:65536',
    '1.2.3.4:05',
    '1.2.3.4:5 ',
    '1.2.3.4:0x10',
    'host:5',
    '[::1]:5:6',
  ]) {
    it(`refuses ${text}`, () => assert.equal(parseSocketAddress(text), undefined));
  }

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseSocketAddress(text)));
  });
});

describe('kinds of addresses', () => {
  const kinds = { isUnspecified, isLoopback, isLinkLocal, isPrivate, isGlobal };
  for (const [ip, kind] of [
    ['0.0.0.0', 'isUnspecified'],
    ['::', 'isUnspecified'],
    ['127.0.0.1', 'isLoopback'],
    ['127.255.0.9', 'isLoopback'],
    ['::1', 'isLoopback'],
    ['::ffff:127.0.0.1', 'isLoopback'],
    ['169.254.1.1', 'isLinkLocal'],
    ['fe80::1%eth0', 'isLinkLocal'],
    ['febf::1', 'isLinkLocal'],
    ['10.0.0.1', 'isPrivate'],
    ['172.16.0.1', 'isPrivate'],
    ['172.31.255.255', 'isPrivate'],
    ['192.168.1.1', 'isPrivate'],
    ['fd00::1', 'isPrivate'],
    ['::ffff:192.168.0.1', 'isPrivate'],
    ['8.8.8.8', 'isGlobal'],
    ['172.32.0.1', 'isGlobal'],
    ['::ffff:8.8.8.8', 'isGlobal'],
    ['2a00:1450:4001::1', 'isGlobal'],
    ['100.64.0.1', undefined],
    ['192.0.2.1', undefined],
    ['198.18.0.1', undefined],
    ['224.0.0.1', undefined],
    ['255.255.255.255', undefined],
    ['2001:db8::1', undefined],
    ['2001::1', undefined],
    ['2001:2::1', undefined],
    ['2001:200::1', 'isGlobal'],
    ['3fff:fff::1', undefined],
    ['ff02::1', undefined],
    ['not an ip', undefined],
  ] as const) {
    it(`${ip} is ${kind ?? 'none of them'}`, () => {
      for (const [name, test] of Object.entries(kinds)) assert.equal(test(ip), name === kind, name);
    });
  }

  it('an IPv6 address that begins with the bytes of an IPv4 block is not in it', () => {
    assert.equal(isLoopbackIp('7f00::1'), false);
    assert.equal(isPrivateIp('a00::1'), false);
    assert.equal(isPrivateIp('c0a8::1'), false);
    assert.equal(isLinkLocalIp('a9fe::1'), false);
  });
});
