/** Real bytes and payloads of SSH, to be spoilt, and the machines that read them. */

import { type Bytes, concatBytes, encodeText } from '../src/base/bytes.ts';
import { testKey } from '../src/testing/test-key.ts';
import { decodeSshKey, sshWireKey } from '../src/identity/ssh-key.ts';
import { agree, readKexInit, type SshEnd, writeKexInit } from '../src/protocols/ssh/algorithms.ts';
import { ClientAuthentication, ServerAuthentication } from '../src/protocols/ssh/authentication.ts';
import { MSG } from '../src/protocols/ssh/constants.ts';
import { OrderedRequests } from '../src/protocols/ssh/ordered-requests.ts';
import { writePacket } from '../src/protocols/ssh/packets.ts';
import { SshTransport } from '../src/protocols/ssh/transport.ts';
import { bool, byte, string, uint32 } from '../src/protocols/ssh/wire.ts';

const key = testKey(1);
const random = (bytes: number): Bytes => new Uint8Array(bytes).fill(7);
const inits = (['client', 'server'] as const).map((end) => writeKexInit(end, random(16), true));
const offer = concatBytes(byte(MSG.KEX_ECDH_INIT), string(random(32)));

/** What each end hears first. */
export const sshStreams: readonly Bytes[] = [
  concatBytes(
    encodeText('SSH-2.0-x\r\n'),
    ...[inits[0]!, offer, byte(MSG.NEWKEYS)].map((p) => writePacket([p], undefined)),
  ),
  concatBytes(
    encodeText('hello\r\nSSH-1.99-x\n'),
    writePacket([inits[1]!], undefined),
    writePacket([offer], undefined),
  ),
];

export function feedSshTransport(input: Bytes): void {
  for (const end of ['client', 'server'] as const) {
    const transport = new SshTransport({ end, signer: key, random }, 0);
    transport.push(input.slice(), 0);
    while (transport.next(0) === 'handled');
    for (let output = transport.poll(); output.type !== 'wait'; output = transport.poll()) {
      if (output.type === 'event' && output.event.type === 'proven') transport.admit(0);
    }
    if (transport.pendingBytes > 35_000 + input.length) throw new Error('it keeps more than a packet');
  }
}

export const sshInits: readonly Bytes[] = inits;

export function feedSshInit(input: Bytes): void {
  const theirs = readKexInit(input);
  for (const end of ['client', 'server'] satisfies SshEnd[]) {
    if (theirs !== undefined) agree(end, readKexInit(inits[end === 'client' ? 0 : 1]!)!, theirs);
  }
}

const rsa = concatBytes(
  string('ssh-rsa'),
  string(Uint8Array.of(1, 0, 1)),
  string(concatBytes(byte(0), random(256).fill(0x81))),
);
const point = concatBytes(string('ecdsa-sha2-nistp256'), string('nistp256'), string(concatBytes(byte(4), random(64))));
const blob = (name: string, bytes: Uint8Array): Bytes => concatBytes(string(name), string(bytes));

/** A key, and a signature behind it. */
export const sshKeys: readonly Bytes[] = [sshWireKey(key.publicKey), rsa, point];

export function feedSshKey(input: Bytes): void {
  const decoded = decodeSshKey(input);
  if (decoded === undefined) return;
  const algorithm = decoded.name === 'ssh-rsa' ? 'rsa-sha2-512' : decoded.name;
  for (const signature of [input, blob(algorithm, input), blob(algorithm, concatBytes(string(input), string(input)))]) {
    if (decoded.verify(algorithm, input, signature)) throw new Error('anything is a signature');
  }
}

const request = [byte(MSG.USERAUTH_REQUEST), string(''), string('ssh-connection'), string('publickey'), bool(true)];
const offered = concatBytes(...request, string('ssh-ed25519'), string(sshWireKey(key.publicKey)));

export const sshAuthentications: readonly Bytes[] = [
  concatBytes(byte(MSG.SERVICE_REQUEST), string('ssh-userauth')),
  concatBytes(offered, string(blob('ssh-ed25519', random(64)))),
  concatBytes(byte(MSG.SERVICE_ACCEPT), string('ssh-userauth')),
  concatBytes(byte(MSG.USERAUTH_FAILURE), string('publickey'), bool(false)),
];

export function feedSshAuthentication(input: Bytes): void {
  const server = new ServerAuthentication(random(32));
  server.handle(sshAuthentications[0]!);
  if (server.handle(input)?.type === 'proven') throw new Error('a key is proven by anything');
  const client = new ClientAuthentication(random(32), key, '');
  if (client.handle(input)?.type === 'success') throw new Error('success before a request');
}

export const sshRequests: readonly Bytes[] = [
  concatBytes(byte(MSG.GLOBAL_REQUEST), string(''), bool(true), random(9)),
  concatBytes(byte(MSG.GLOBAL_REQUEST), string(''), bool(false), random(9)),
  concatBytes(byte(MSG.GLOBAL_REQUEST), string('keepalive@openssh.com'), bool(true)),
  concatBytes(byte(MSG.REQUEST_SUCCESS), random(9)),
  byte(MSG.REQUEST_FAILURE),
  concatBytes(byte(MSG.CHANNEL_OPEN), string('session'), uint32(1)),
];

export function feedSshRequests(input: Bytes): void {
  const requests = new OrderedRequests({
    maxMessageBytes: 64,
    windowBytes: 1000,
    mayWrite: () => true,
    write: () => {},
  });
  requests.ask(new Uint8Array(3), 5);
  requests.poll(0);
  requests.handle(input, 0);
  for (let output = requests.poll(0); output.type !== 'wait'; output = requests.poll(0)) {
    if (output.type !== 'event') continue;
    if (output.event.type === 'tell') requests.release(output.event.payload.length);
    if (output.event.type === 'request') requests.answer(0, output.event.id, new Uint8Array(10));
  }
  requests.handleTimeout(100_000);
  requests.clear();
  if (requests.heldBytes !== 0) throw new Error('something is held');
}
