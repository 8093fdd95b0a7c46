/** The parts of TURN without I/O: credentials, channel data, streams, forged answers. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { encodeXorAddress } from '../../../src/protocols/stun/attributes.ts';
import { checkIntegrity, decodeStun, encodeStun } from '../../../src/protocols/stun/message.ts';
import { decodeChannelData, encodeChannelData, TurnStreamReader } from '../../../src/protocols/turn/channel-data.ts';
import { TurnClient, type TurnEvent } from '../../../src/protocols/turn/client.ts';
import { TURN_ATTRIBUTE, TURN_METHOD } from '../../../src/protocols/turn/constants.ts';
import { longTermKey, restCredentials } from '../../../src/protocols/turn/credentials.ts';
import vectors from '../../vectors/turn.json' with { type: 'json' };

describe('long-term credentials', () => {
  it('give the key and the integrity of RFC 5769 §2.4', () => {
    const username = '\u30de\u30c8\u30ea\u30c3\u30af\u30b9';
    const key = longTermKey({ username, password: 'TheMatrIX' }, 'example.org');
    assert.equal(toHex(key), 'e8ca7ad59d5eb0518e312911d2dab2a9');
    const transactionId = fromHex('78ad3433c6ad72c029da412e');
    const written = encodeStun(
      {
        class: 'request',
        method: 1,
        transactionId,
        attributes: [
          { type: 0x0006, value: encodeText(username) },
          { type: 0x0015, value: encodeText('f//499k954d6OL34oL9FSTvy64sA') },
          { type: 0x0014, value: encodeText('example.org') },
        ],
      },
      { integrityKey: key, fingerprint: false },
    );
    assert.equal(toHex(written.subarray(-20)), 'f67024656dd64a3e02b8e0712e85c9a28ca89666');
    assert.ok(checkIntegrity(written, decodeStun(written)!, key));
  });

  it('of the REST API are those that other programs make of the secret', () => {
    // printf 1700000000:ann | openssl dgst -sha1 -hmac north -binary | base64
    assert.deepEqual(restCredentials('north', 'ann', 1_700_000_000.9), {
      username: '1700000000:ann',
      password: vectors.restPassword,
    });
  });
});

describe('data on channels', () => {
  it('is written as the vectors say, padded on streams', () => {
    assert.equal(toHex(encodeChannelData(0x4001, Uint8Array.of(1, 2, 3), false)), vectors.channelData);
    assert.equal(toHex(encodeChannelData(0x4001, Uint8Array.of(1, 2, 3), true)), vectors.channelDataOnStream);
    const read = decodeChannelData(fromHex(vectors.channelDataOnStream));
    assert.deepEqual([read?.channel, [...read!.data]], [0x4001, [1, 2, 3]]);
    assert.equal(decodeChannelData(fromHex('4001000500')), undefined);
    assert.equal(decodeChannelData(fromHex('5001000100')), undefined);
  });

  it('and messages of STUN are cut from a stream in whatever pieces they come', () => {
    const stun = encodeStun({ class: 'request', method: 3, transactionId: new Uint8Array(12), attributes: [] });
    const sent = [
      encodeChannelData(0x4000, new Uint8Array(5), true),
      stun,
      encodeChannelData(0x4fff, new Uint8Array(0), true),
    ];
    const stream = concatBytes(...sent);
    for (let size = 1; size <= stream.length; size++) {
      const reader = new TurnStreamReader();
      const got: string[] = [];
      for (let at = 0; at < stream.length; at += size) {
        reader.push(stream.subarray(at, at + size));
        for (let next = reader.next(); next !== undefined; next = reader.next()) {
          assert.ok(next !== 'malformed');
          got.push(toHex(next));
        }
      }
      assert.deepEqual(got, sent.map(toHex), `pieces of ${size}`);
    }
    const other = new TurnStreamReader();
    other.push(encodeText('HTTP/1.1 400 Bad Request\r\n\r\n'));
    assert.equal(other.next(), undefined, 'H is 0x48, a channel: it waits for its 21 584 bytes');
    const text = new TurnStreamReader();
    text.push(encodeText('SSH-2.0-OpenSSH_9.2p1 Debian\r\n'));
    assert.equal(text.next(), 'malformed');
  });
});

/** What a machine sends and tells. */
function taken(client: TurnClient): { readonly sent: Bytes[]; readonly events: TurnEvent[] } {
  const sent: Bytes[] = [];
  const events: TurnEvent[] = [];
  for (let next = client.poll(); next.type !== 'wait'; next = client.poll()) {
    if (next.type === 'transmit') sent.push(next.transmit);
    else events.push(next.event);
  }
  return { sent, events };
}

describe('the machine of a client', () => {
  const open = (): TurnClient =>
    new TurnClient({
      credentials: { username: 'u', password: 'p' },
      random: (length) => new Uint8Array(length).fill(5),
    });

  it('asks first without credentials, as in the vector', () => {
    const client = open();
    client.allocate(0);
    assert.deepEqual(taken(client).sent.map(toHex), [vectors.allocate]);
  });

  it('takes no allocation that is not signed with its password', () => {
    const client = open();
    client.allocate(0);
    const [request] = taken(client).sent;
    const { transactionId } = decodeStun(request!)!;
    const relayed = {
      type: TURN_ATTRIBUTE.XOR_RELAYED_ADDRESS,
      value: encodeXorAddress({ ip: '192.0.2.1', port: 9 }, transactionId),
    };
    const message = { class: 'success', method: TURN_METHOD.ALLOCATE, transactionId, attributes: [relayed] } as const;
    for (const integrityKey of [undefined, longTermKey({ username: 'u', password: 'other' }, 'lab')]) {
      client.handleMessage(1, encodeStun(message, { integrityKey }));
      assert.deepEqual(taken(client).events, [{ type: 'dropped', reason: 'turn.unexpected' }]);
    }
  });

  it('drops data of channels that it has not bound, and what is no TURN', () => {
    const client = open();
    client.allocate(0);
    taken(client);
    client.handleMessage(1, encodeChannelData(0x4000, new Uint8Array(3), false));
    client.handleMessage(1, fromHex('ffff'));
    assert.deepEqual(taken(client).events, [
      { type: 'dropped', reason: 'turn.unexpected' },
      { type: 'dropped', reason: 'malformed' },
    ]);
  });
});
