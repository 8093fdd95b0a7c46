import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ipBytes } from '../../src/base/ip.ts';
import { isInPrefix, parseIpPrefix } from '../../src/base/ip-prefix.ts';
import { assert as check, property, string } from '../support/fast-check.ts';

describe('prefixes', () => {
  it('are read from networks, from single IPs, and from IPv4-mapped ones', () => {
    for (const [text, canonical] of [
      ['10.0.0.0/8', '10.0.0.0/8'],
      ['10.1.2.3', '10.1.2.3/32'],
      ['0.0.0.0/0', '0.0.0.0/0'],
      ['2001:DB8::/32', '2001:db8::/32'],
      ['::/0', '::/0'],
      ['::1', '::1/128'],
      ['192.0.2.128/25', '192.0.2.128/25'],
      ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
      ['::ffff:10.1.2.3', '10.1.2.3/32'],
    ] as const) {
      assert.equal(parseIpPrefix(text)?.text, canonical, text);
    }
  });

  it('are refused with bits after the prefix, too many bits, zones and other text', () => {
    for (const text of [
      '10.1.0.0/8',
      '10.0.0.0/33',
      '10.0.0.0/08',
      '10.0.0.0/-1',
      '10.0.0.0/',
      '10.0.0.0/8/8',
      '2001:db8::/129',
      '2001:db8::1/64',
      'fe80::%eth0/64',
      'fe80::1%eth0',
      '::ffff:10.0.0.0/8',
      'example.org',
      '',
      '/',
      '010.0.0.0/8',
    ]) {
      assert.equal(parseIpPrefix(text), undefined, text);
    }
    check(property(string({ maxLength: 60 }), (text) => void parseIpPrefix(text)));
  });

  it('contain the IPs of their family whose first bits are the same', () => {
    const contains = (prefix: string, ip: string): boolean => isInPrefix(ipBytes(ip)!, parseIpPrefix(prefix)!);
    assert.ok(contains('192.0.2.128/25', '192.0.2.129'));
    assert.ok(!contains('192.0.2.128/25', '192.0.2.1'));
    assert.ok(contains('0.0.0.0/0', '255.255.255.255'));
    assert.ok(!contains('0.0.0.0/0', '::1'));
    assert.ok(contains('2001:db8:8000::/33', '2001:db8:ffff::1'));
    assert.ok(!contains('2001:db8:8000::/33', '2001:db8:7fff::1'));
  });
});
