/** The bytes of docs/wire/relay.md do not change. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { fromHex, toHex } from '../../../src/base/bytes.ts';
import {
  decodeRelayReply,
  decodeRelayRequest,
  encodeGone,
  encodeGuest,
  encodeRefused,
  encodeRelease,
  encodeReleased,
  encodeReserve,
  encodeReserved,
  encodeSend,
  turnIntoReceived,
} from '../../../src/protocols/relay/messages.ts';
import vectors from '../../vectors/relay.json' with { type: 'json' };

const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const id = new Uint8Array(32).fill(0xaa);
const datagram = Uint8Array.of(0xde, 0xad);
const terms = { lifetimeS: 3600, bytesPerSecond: 1_048_576, mtu: 1232 };

const WRITTEN = {
  reserve: encodeReserve(1, token, 30),
  release: encodeRelease(1, token),
  send: encodeSend(1, id, datagram),
  reserved: encodeReserved(1, token, { ...terms, observed: { ip: '192.0.2.1', port: 32_853 } }),
  reservedIpv6: encodeReserved(1, token, {
    ...terms,
    bytesPerSecond: Infinity,
    observed: { ip: '2001:db8::1', port: 443 },
  }),
  reservedWithoutAddress: encodeReserved(1, token, { ...terms, observed: undefined }),
  refused: encodeRefused(1, token, 'denied', 600),
  released: encodeReleased(1, token),
  received: turnIntoReceived(encodeSend(1, id, datagram), 1, new Uint8Array(32).fill(0xbb)),
  gone: encodeGone(1, id, 'no_room'),
  guest: encodeGuest(1),
};

describe('relay messages', () => {
  it('are written as the vectors say', () => {
    assert.deepEqual(Object.fromEntries(Object.entries(WRITTEN).map(([name, bytes]) => [name, toHex(bytes)])), vectors);
  });

  it('are read back as they were written, also with bytes of later versions behind them', () => {
    for (const [name, hex] of Object.entries(vectors)) {
      const bytes = fromHex(hex);
      const read = ['reserve', 'release', 'send'].includes(name) ? decodeRelayRequest : decodeRelayReply;
      const { message } = read(bytes);
      assert.ok(typeof message !== 'string', name);
      assert.ok(name.startsWith(message.type), name);
      if (message.type === 'send' || message.type === 'received') continue;
      assert.deepEqual(read(fromHex(`${hex}0102`)).message, message, name);
    }
  });

  it('of which bytes are missing are malformed', () => {
    for (const [name, hex] of Object.entries(vectors)) {
      const read = ['reserve', 'release', 'send'].includes(name) ? decodeRelayRequest : decodeRelayReply;
      const fixed = name === 'send' || name === 'received' ? 34 : hex.length / 2;
      for (let length = 0; length < fixed; length++) {
        assert.equal(read(fromHex(hex.slice(0, 2 * length))).message, 'malformed', `${name}, ${length} bytes`);
      }
    }
  });
});
