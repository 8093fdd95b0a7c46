/** Datagrams of the beacon: as they come, and what a member of the network may put under its seal. */

import { chacha20Poly1305, hkdf, x25519PrivateKey } from '#crypto';
import { type Bytes, concatBytes, EMPTY_BYTES, encodeText, viewFrom } from '../src/base/bytes.ts';
import { generateKey } from '../src/identity/keys.ts';
import { readAnnouncement } from '../src/protocols/beacon/announcement.ts';
import { Beacon } from '../src/protocols/beacon/beacon.ts';
import { BeaconCodec } from '../src/protocols/beacon/datagram.ts';

const NAME = 'fuzz';
const HEADER_BYTES = 17;
const signer = generateKey();
const codec = new BeaconCodec(NAME);
const key = chacha20Poly1305(hkdf('sha256', encodeText(NAME), encodeText('shoal beacon 1'), EMPTY_BYTES, 32));
const reply = x25519PrivateKey(new Uint8Array(32).fill(1));
const fields = { instance: new Uint8Array(8), issuedMs: 1_800_000_000_000, addrs: ['192.0.2.1:5000', '[fe80::1]:1'] };
const query = codec.query(signer, new Uint8Array(12), reply.publicKey, fields);
const opened = codec.open(query);
if (typeof opened === 'string' || opened.kind !== 'query') throw new Error('The seed is no query');
const answer = codec.answer(signer, new Uint8Array(12).fill(1), new Uint8Array(32), opened, fields)!;

const beacon = new Beacon(0, {
  signer,
  networkName: NAME,
  random: (length) => new Uint8Array(length),
  addrsOn: () => fields.addrs,
  admitAddr: (addr) => addr,
});
beacon.setInterfaces(0, fields.issuedMs, [{ name: 'eth0', networks: '' }]);
let now = 0;

/** The plain bytes of a datagram. */
function plainOf(datagram: Bytes): Bytes {
  const plain = new Uint8Array(datagram.length - HEADER_BYTES - 16);
  key.open(datagram.subarray(5, 17), datagram.subarray(0, 17), datagram.subarray(HEADER_BYTES), plain, 0);
  return plain;
}

/** The first byte says whether the rest comes as it is, or under the seal of a query or an answer. */
export const beaconSeeds: readonly Bytes[] = [
  concatBytes(Uint8Array.of(0), query),
  concatBytes(Uint8Array.of(0), answer),
  concatBytes(Uint8Array.of(1), plainOf(query)),
  concatBytes(Uint8Array.of(2), plainOf(answer)),
];

export function feedBeacon(input: Bytes): void {
  if (input.length === 0) return;
  const [kind = 0] = input;
  const rest = viewFrom(input, 1);
  readAnnouncement(rest);
  const datagram = kind % 3 === 0 ? rest : sealed(kind % 3, rest);
  const found = codec.open(datagram);
  if (typeof found !== 'string' && found.kind === 'answer') codec.unseal(found, reply);
  now += 10;
  beacon.handleDatagram(now, fields.issuedMs + now, { ip: '192.0.2.1', port: 1, interfaceName: 'eth0' }, datagram);
  beacon.handleTimeout(now);
  for (let next = beacon.poll(); next.type !== 'wait'; next = beacon.poll());
}

function sealed(kind: number, plain: Bytes): Bytes {
  const datagram = new Uint8Array(HEADER_BYTES + plain.length + 16);
  datagram.set(concatBytes(encodeText('shb'), Uint8Array.of(1, kind)));
  key.seal(datagram.subarray(5, 17), datagram.subarray(0, 17), plain, datagram, HEADER_BYTES);
  return datagram;
}
