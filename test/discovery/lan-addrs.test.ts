/** Which addresses are announced on a LAN, and which are taken from others there. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { admittedAddr, ownAddrsOn } from '../../src/discovery/lan-addrs.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import { LocalNetwork, localNetworks } from '../../src/net/local-networks.ts';
import { testKey } from '../../src/testing/test-key.ts';

const eth0 = new LocalNetwork(
  'eth0',
  [
    ['10.1.2.3', 20],
    ['fd00:1::3', 64],
    ['fe80::3%eth0', 64],
  ].map(([ip, prefixLength]) => ({
    name: 'eth0',
    ip: ip as string,
    prefixLength: prefixLength as number,
    isInternal: false,
  })),
);
const id = peerIdOfKey(testKey(1).publicKey);
const other = peerIdOfKey(testKey(2).publicKey);

describe('addresses on a LAN', () => {
  it('own addresses are announced on the interface that has their IP, without zones; wildcards stand for all', () => {
    const texts = [
      '10.1.2.3:1',
      '10.9.9.9:1',
      '[fe80::3%eth0]:2',
      '[fe80::3%eth1]:2',
      'nonsense',
      '0.0.0.0:7',
      '[::]:8',
    ];
    assert.deepEqual(ownAddrsOn(eth0, texts), [
      '10.1.2.3:1',
      '[fe80::3]:2',
      '10.1.2.3:7',
      '10.1.2.3:8',
      '[fd00:1::3]:8',
      '[fe80::3]:8',
    ]);
    assert.deepEqual(ownAddrsOn(eth0, [`quic://${id}@[::]:8`]).length, 3);
    assert.deepEqual(ownAddrsOn(eth0, ['10.1.2.3:0']), []);
  });

  it('addresses of a peer are taken when they are in a network of the interface', () => {
    for (const [text, expected] of [
      [`${id}@10.1.15.254:5000`, '='],
      [`${id}@10.1.0.1:5000`, '='],
      [`quic://${id}@10.1.15.1:5000`, '='],
      ['10.1.0.1:5000', '='],
      ['tcp://10.1.0.1:5000', '='],
      [`${id}@[fd00:1::9]:5000`, '='],
      [`${id}@[fe80::9]:5000`, `${id}@[fe80::9%eth0]:5000`],
    ] as const) {
      const found = admittedAddr(eth0, text, id);
      assert.equal(found, expected === '=' ? text : expected);
    }
  });

  it('addresses elsewhere, of no single host, of another peer or with a zone are not', () => {
    for (const text of [
      `${id}@10.1.16.1:5000`,
      `${id}@192.0.2.1:53`,
      `${id}@127.0.0.1:5000`,
      `${id}@[::1]:5000`,
      `${id}@[2001:db8::1]:5000`,
      `${id}@10.1.15.255:5000`,
      `${id}@255.255.255.255:5000`,
      `${id}@224.0.0.1:5000`,
      `${id}@[ff02::1]:5000`,
      `${id}@0.0.0.0:5000`,
      `${id}@10.1.0.1:0`,
      `${other}@10.1.0.1:5000`,
      `quic://${other}@10.1.0.1:5000`,
      `${id}@[fe80::9%eth1]:5000`,
      `${id}@[fe80::9%eth0]:5000`,
      `${id}@example.org:5000`,
      'x',
      '',
      '://',
      '@',
      '@10.1.0.1:5000x',
    ]) {
      assert.equal(admittedAddr(eth0, text, id), undefined, text);
    }
  });

  it('a broadcast address belongs to its network; networks of 31 and 32 bits have none', () => {
    assert.deepEqual(eth0.broadcasts, ['10.1.15.255']);
    const of = (ip: string, prefixLength: number): readonly string[] =>
      localNetworks([{ name: 'a', ip, prefixLength, isInternal: false }])[0]!.broadcasts;
    assert.deepEqual(of('192.0.2.77', 24), ['192.0.2.255']);
    assert.deepEqual(of('127.0.0.1', 8), ['127.255.255.255']);
    assert.deepEqual(of('192.0.2.5', 30), ['192.0.2.7']);
    assert.deepEqual([of('192.0.2.5', 31), of('192.0.2.5', 32), of('fd00::1', 64)], [[], [], []]);
  });
});
