/**
 * Noise on its own, without a connection: XX between two ends in one process, then sealed records on what could be any
 * stream. The caller owns the randomness and the wire. Run it with `node --conditions=shoal-source`.
 */

import { NoiseHandshake, NoiseRecordReader, type NoiseTransport, sealRecords } from 'shoal/machines/noise';

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
const end = (role: 'initiator' | 'responder'): NoiseHandshake =>
  new NoiseHandshake({
    pattern: 'XX',
    hash: 'BLAKE2s',
    role,
    ephemeralSeed: random(32),
    staticSeed: random(32),
    prologue: new TextEncoder().encode('what both have seen before'),
  });

const [alice, bob] = [end('initiator'), end('responder')];
let [from, to] = [alice, bob];
while (from.turn === 'write') {
  const written = from.write();
  if (!written.ok) throw new Error(written.fault);
  console.log(`${from === alice ? 'alice' : 'bob'} sends ${written.bytes.length} bytes`);
  const read = to.read(written.bytes);
  if (!read.ok) throw new Error(read.fault);
  [from, to] = [to, from];
}

const [left, right]: NoiseTransport[] = [alice.finish(), bob.finish()];
const sealed = sealRecords(left!.send, new TextEncoder().encode('now only bob can read this'));
if (typeof sealed === 'string') throw new Error(sealed);
const opened = new NoiseRecordReader(right!.receive).push(sealed);
if (typeof opened === 'string') throw new Error(opened);
console.log(new TextDecoder().decode(opened[0]));
