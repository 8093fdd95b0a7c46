/** Every byte of a handshake and its data against the vectors that go-p2p made. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { encodeText, fromHex, toHex } from '../../../src/base/bytes.ts';
import { importKey } from '../../../src/identity/keys.ts';
import { verifyInitHello, type VerifiedHello } from '../../../src/protocols/p2pke/hello.ts';
import { createP2pkeIdentity, type P2pkeIdentity } from '../../../src/protocols/p2pke/identity.ts';
import {
  answerSession,
  initiateSession,
  type Session,
  type VerifiedReply,
} from '../../../src/protocols/p2pke/session.ts';
import { signatureInput } from '../../../src/protocols/p2pke/signature-input.ts';
import { encodeTai64n } from '../../../src/protocols/p2pke/tai64n.ts';

const all = JSON.parse(readFileSync(new URL('../../vectors/go-p2p.json', import.meta.url), 'utf8'));
const { p2pke: vectors, tai64n, keys } = all;
const EMPTY = new Uint8Array(0);

function identity(seed: string): P2pkeIdentity {
  return createP2pkeIdentity({ privateKey: importKey(fromHex(seed)), random: (length) => new Uint8Array(length) });
}
const initiator = identity(keys[0].seed);
const responder = identity(keys[1].seed);

function begin(): { readonly a: Session; readonly b: Session } {
  const timestamp = encodeTai64n(1_700_000_000, 123_456_789);
  const a = initiateSession(initiator, 0, timestamp, fromHex(vectors.e_init_private));
  const hello = verifyInitHello(a.message, responder.registry) as VerifiedHello;
  const b = answerSession(responder, 0, hello, fromHex(vectors.e_resp_private))!;
  return { a, b };
}

function binding(hash: string): string {
  return toHex(signatureInput('p2pke/channel-binding', fromHex(hash)));
}

function openData(session: Session, hex: string): Uint8Array | undefined {
  const datagram = fromHex(hex);
  const out = new Uint8Array(datagram.length - 20);
  const counter = new DataView(datagram.buffer).getUint32(0);
  return session.isFresh(counter) && session.open(counter, datagram.subarray(4), out) ? out : undefined;
}

describe('p2pke against the vectors of go-p2p', () => {
  it('all four handshake messages are the same bytes', () => {
    const { a, b } = begin();
    assert.equal(toHex(a.message), vectors.m0);
    assert.equal(toHex(a.id), vectors.session_id_blake2b256_m0);
    assert.equal(toHex(b.message), vectors.m1);
    assert.deepEqual(b.id, a.id);
    a.takeReply(a.readRespHello(b.message) as VerifiedReply);
    assert.equal(toHex(a.message), vectors.m2);
    assert.equal(b.takeInitDone(a.message), undefined);
    assert.equal(toHex(b.message), vectors.m3);
    assert.equal(a.takeRespDone(b.message), true);
    assert.equal(toHex(a.publicKey!.spki), keys[1].spki_der);
    assert.equal(toHex(b.publicKey!.spki), keys[0].spki_der);
    assert.deepEqual([166, 164, 86, 20], vectors.lens);
  });

  it('data of the original is read, in both directions and empty too', () => {
    const { a, b } = begin();
    a.takeReply(a.readRespHello(b.message) as VerifiedReply);
    b.takeInitDone(a.message);
    assert.deepEqual(openData(b, vectors.data_i2r_16_hello_p2pke), encodeText('hello p2pke'));
    assert.equal(openData(b, vectors.data_i2r_16_hello_p2pke), undefined, 'a replay');
    assert.deepEqual(openData(b, vectors.data_i2r_17_empty), EMPTY);
    assert.deepEqual(openData(a, vectors.data_r2i_16_hi_initiator), encodeText('hi initiator'));
  });

  it('data is written as the original writes it', () => {
    const { a, b } = begin();
    a.takeReply(a.readRespHello(b.message) as VerifiedReply);
    b.takeInitDone(a.message);
    assert.equal(toHex(b.seal(encodeText('hi initiator'))), vectors.data_r2i_16_hi_initiator);
    assert.equal(a.confirm!.length, 20, 'counter 16 is the empty confirm');
    assert.equal(toHex(a.seal(EMPTY)), vectors.data_i2r_17_empty);
  });

  it('the inputs of signatures and the timestamps agree', () => {
    const { intermediate } = vectors;
    assert.equal(toHex(signatureInput('p2pke/channel-binding', EMPTY)), vectors.presig_example_empty);
    assert.equal(toHex(signatureInput('p2pke/timestamp', fromHex(vectors.tai64n))), vectors.presig_timestamp);
    assert.equal(binding(intermediate.h1_after_m0), intermediate.presig_h1);
    assert.equal(binding(intermediate.h2_after_m1), intermediate.presig_h2);
    assert.equal(toHex(encodeTai64n(1_700_000_000, 123_456_789)), vectors.tai64n);
    for (const [when, hex] of Object.entries(tai64n)) {
      const [, seconds, nanoseconds] = /^unix (\d+) \+(\d+)ns$/.exec(when)!;
      assert.equal(toHex(encodeTai64n(Number(seconds), Number(nanoseconds))), hex);
    }
  });
});
