/** Messages of a TURN server: taken by a client in the middle of its work, and cut from a stream. */

import { type Bytes, concatBytes, encodeText } from '../src/base/bytes.ts';
import { encodeError, encodeXorAddress } from '../src/protocols/stun/attributes.ts';
import { STUN_ATTRIBUTE } from '../src/protocols/stun/constants.ts';
import { decodeStun, encodeStun } from '../src/protocols/stun/message.ts';
import { encodeChannelData, TurnStreamReader } from '../src/protocols/turn/channel-data.ts';
import { TurnClient } from '../src/protocols/turn/client.ts';
import { TURN_ATTRIBUTE, TURN_METHOD } from '../src/protocols/turn/constants.ts';
import { longTermKey } from '../src/protocols/turn/credentials.ts';

const credentials = { username: 'u', password: 'p' };
const key = longTermKey(credentials, 'lab');
const transactionId = new Uint8Array(12).fill(5);
const peer = { ip: '192.0.2.1', port: 9 };
const challenge = [
  { type: STUN_ATTRIBUTE.ERROR_CODE, value: encodeError({ code: 401, reason: 'who' }) },
  { type: STUN_ATTRIBUTE.REALM, value: encodeText('lab') },
  { type: STUN_ATTRIBUTE.NONCE, value: encodeText('nonce') },
];
const granted = [
  { type: TURN_ATTRIBUTE.XOR_RELAYED_ADDRESS, value: encodeXorAddress(peer, transactionId) },
  { type: TURN_ATTRIBUTE.LIFETIME, value: Uint8Array.of(0, 0, 2, 88) },
];
const data = [
  { type: TURN_ATTRIBUTE.XOR_PEER_ADDRESS, value: encodeXorAddress(peer, transactionId) },
  { type: TURN_ATTRIBUTE.DATA, value: new Uint8Array(9) },
];
const { ALLOCATE, CREATE_PERMISSION, DATA } = TURN_METHOD;
const unauthorized = encodeStun({ class: 'error', method: ALLOCATE, transactionId, attributes: challenge });
const allocated = encodeStun(
  { class: 'success', method: ALLOCATE, transactionId, attributes: granted },
  { integrityKey: key },
);

export const turnSeeds: readonly Bytes[] = [
  unauthorized,
  allocated,
  encodeStun({ class: 'success', method: CREATE_PERMISSION, transactionId, attributes: [] }, { integrityKey: key }),
  encodeStun({ class: 'indication', method: DATA, transactionId, attributes: data }, { fingerprint: false }),
  encodeChannelData(0x4000, new Uint8Array(9), true),
];

let now = 0;
function drain(client: TurnClient): void {
  while (client.poll().type !== 'wait');
}

/** Every request has the same id, so that answers of the seeds are to what was asked. */
function open(): TurnClient {
  const client = new TurnClient({ credentials, random: (length) => new Uint8Array(length).fill(5) });
  client.allocate(now);
  return client;
}

let client = open();
let age = 0;
for (const bytes of turnSeeds) if (decodeStun(bytes) !== undefined) client.handleMessage(now, bytes);

export function feedTurn(input: Bytes): void {
  if (++age % 1000 === 0) client = open();
  now += 5;
  client.send(now, { ip: '192.0.2.1', port: 1 + (now % 50) }, new Uint8Array(3));
  client.handleMessage(now, input);
  if (age % 100 === 50) for (const bytes of [unauthorized, allocated]) client.handleMessage(now, bytes);
  client.handleTimeout(now);
  drain(client);
  if (client.held > 8192) throw new Error('more datagrams wait than may');
  const reader = new TurnStreamReader();
  reader.push(concatBytes(input, turnSeeds[4]!));
  for (let next = reader.next(); next !== undefined && next !== 'malformed'; next = reader.next());
}
