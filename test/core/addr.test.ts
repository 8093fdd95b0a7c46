import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  type Addr,
  type NestedAddr,
  expandUnspecified,
  filterAddrs,
  ipOf,
  isGlobal,
  makeAddr,
  mapAddr,
  peerIdOf,
  portOf,
  unwrapAddr,
  withIp,
} from '../../src/core/addr.ts';
import { encodePeerId } from '../../src/core/peer-id.ts';
import { udpAddr } from '../../src/net/socket-address.ts';

const id = encodePeerId(new Uint8Array(32).fill(7));
const leaf = udpAddr({ ip: '1.2.3.4', port: 5 });
const keyed = (inner: Addr) =>
  makeAddr<NestedAddr & { net: string; id: string }>({ net: 'p2pke', id, inner, text: `${id}@${inner.text}` });
const schemed = (inner: Addr) =>
  makeAddr<NestedAddr & { scheme: string }>({ scheme: 'udp', inner, text: `udp://${inner.text}` });

describe('makeAddr', () => {
  it('gives a frozen value that shows its text, also in JSON', () => {
    assert.equal(leaf.text, '1.2.3.4:5');
    assert.equal(leaf.toString(), leaf.text);
    assert.equal(JSON.stringify({ leaf }), '{"leaf":"1.2.3.4:5"}');
    assert.ok(Object.isFrozen(leaf));
  });
});

describe('capabilities of nested addresses', () => {
  const nested = schemed(keyed(keyed(leaf)));

  it('finds IP, port and PeerID however deep they are', () => {
    assert.equal(ipOf(nested), '1.2.3.4');
    assert.equal(portOf(nested), 5);
    assert.equal(peerIdOf(nested), id);
    assert.equal(peerIdOf(leaf), undefined);
    assert.equal(ipOf(makeAddr<Addr>({ text: '7' })), undefined);
  });

  it('unwraps one layer at a time', () => {
    assert.equal(unwrapAddr(nested)?.text, keyed(keyed(leaf)).text);
    assert.equal(unwrapAddr(leaf), undefined);
  });

  it('rebuilds all layers around another innermost address', () => {
    const other = udpAddr({ ip: '::1', port: 6 });
    const mapped = mapAddr(nested, () => other);
    assert.equal(mapped.text, `udp://${id}@${id}@[::1]:6`);
    assert.equal(portOf(mapped), 6);
    assert.equal(nested.text, `udp://${id}@${id}@1.2.3.4:5`);
    assert.equal(
      mapAddr(nested, (inner) => inner),
      nested,
    );
  });

  it('moves to another IP', () => {
    assert.equal(withIp(nested, '9.9.9.9').text, `udp://${id}@${id}@9.9.9.9:5`);
    assert.equal(withIp(makeAddr<Addr>({ text: '7' }), '9.9.9.9').text, '7');
  });
});

describe('expandUnspecified', () => {
  const interfaces = ['127.0.0.1', '192.168.1.5', '::1', 'fe80::1%eth0'];

  it('replaces 0.0.0.0 by the IPv4 addresses, also inside nested addresses', () => {
    const wild = keyed(udpAddr({ ip: '0.0.0.0', port: 7 }));
    assert.deepEqual(
      expandUnspecified([wild], interfaces).map(({ text }) => text),
      [`${id}@127.0.0.1:7`, `${id}@192.168.1.5:7`],
    );
  });

  it('replaces :: by all, leaves others alone, and says nothing twice', () => {
    const addrs = [udpAddr({ ip: '::', port: 7 }), udpAddr({ ip: '127.0.0.1', port: 7 }), leaf];
    assert.deepEqual(
      expandUnspecified(addrs, interfaces).map(({ text }) => text),
      ['127.0.0.1:7', '192.168.1.5:7', '[::1]:7', '[fe80::1%eth0]:7', '1.2.3.4:5'],
    );
  });
});

describe('filterAddrs', () => {
  it('keeps what every predicate accepts', () => {
    const global = udpAddr({ ip: '8.8.8.8', port: 1 });
    assert.deepEqual(
      filterAddrs([leaf, global, udpAddr({ ip: '10.0.0.1', port: 1 })], isGlobal, (addr) => addr.port === 1),
      [global],
    );
  });
});
