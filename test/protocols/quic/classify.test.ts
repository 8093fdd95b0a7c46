import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isQuicDatagram } from '../../../src/protocols/quic/classify.ts';
import { join } from './network.ts';

it('everything that QUIC sends is QUIC', () => {
  const { net, there } = join();
  there.open('bidi')!.write(new Uint8Array(5000), true);
  net.pass(500);
  assert.ok(net.sent.length > 10);
  for (const { bytes } of net.sent) assert.ok(isQuicDatagram(bytes));
});

it('STUN, DTLS, short and empty datagrams are not, Version Negotiation without the fixed bit is', () => {
  const stun = Buffer.from('000100002112a442aabbccddeeff001122334455', 'hex');
  for (const other of [
    stun,
    Buffer.from('16feff', 'hex'),
    new Uint8Array(0),
    Uint8Array.of(0x3f, 1, 2),
    Uint8Array.of(0x80, 0, 0, 0, 0),
  ]) {
    assert.equal(isQuicDatagram(other), false);
  }
  assert.ok(isQuicDatagram(Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0)));
  assert.equal(isQuicDatagram(Uint8Array.of(0x80, 0, 0, 0, 1, 0, 0)), false);
});
