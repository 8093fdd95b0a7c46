import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Bytes, fromHex } from '../../../src/base/bytes.ts';
import { attributeOf, decodeAddress } from '../../../src/protocols/stun/attributes.ts';
import { MAX_STUN_QUESTIONS, StunClient, type StunEvent } from '../../../src/protocols/stun/client.ts';
import { STUN_ATTRIBUTE } from '../../../src/protocols/stun/constants.ts';
import { decodeStun, encodeStun } from '../../../src/protocols/stun/message.ts';
import { answerStun } from '../../../src/protocols/stun/server.ts';

const SERVER = { ip: '192.0.2.1', port: 3478 };
const OTHER = { ip: '192.0.2.2', port: 3479 };
const ME = { ip: '203.0.113.7', port: 40_000 };
const id = (n: number): Uint8Array => new Uint8Array(12).fill(n);

function drain(client: StunClient): {
  readonly sent: Bytes[];
  readonly events: StunEvent[];
  readonly until: number | undefined;
} {
  const sent: Bytes[] = [];
  const events: StunEvent[] = [];
  for (;;) {
    const output = client.poll();
    if (output.type === 'transmit') sent.push(output.transmit.bytes);
    else if (output.type === 'event') events.push(output.event);
    else return { sent, events, until: output.until };
  }
}

describe('a STUN client', () => {
  it('learns its address from the answer of the server that it asked', () => {
    const client = new StunClient();
    client.ask(0, { server: SERVER, transactionId: id(1) });
    const [request] = drain(client).sent;
    const reply = answerStun(request!, ME, { here: SERVER })!;
    assert.equal(client.handleDatagram(30, SERVER, reply.bytes), true);
    const [event] = drain(client).events;
    assert.ok(event?.type === 'answer');
    assert.deepEqual([event.mapped, event.rttMs, event.other], [ME, 30, undefined]);
    assert.equal(client.size, 0);
    assert.equal(client.handleDatagram(31, SERVER, reply.bytes), false, 'the same again');
  });

  it('takes no answer from a third party, by a guessed id, or that says something else', () => {
    const client = new StunClient();
    client.ask(0, { server: SERVER, transactionId: id(1) });
    const [request] = drain(client).sent;
    const right = answerStun(request!, ME, { here: SERVER })!.bytes;
    for (const from of [OTHER, { ip: SERVER.ip, port: 3479 }, { ip: '192.0.2.9', port: 3478 }]) {
      assert.equal(client.handleDatagram(1, from, right), false);
    }
    const message = { class: 'success', method: 1, transactionId: id(1), attributes: [] } as const;
    for (const wrong of [
      encodeStun({ ...message, transactionId: id(2) }),
      encodeStun(message),
      encodeStun({ ...message, class: 'request' }),
      encodeStun({ ...message, method: 3 }),
      encodeStun({ ...message, attributes: [{ type: STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS, value: new Uint8Array(3) }] }),
      right.slice(0, -1),
      new Uint8Array(0),
    ]) {
      assert.equal(client.handleDatagram(2, SERVER, wrong), false);
    }
    // Up to the head of the fingerprint: there a flipped bit only makes it an answer without one.
    for (let bit = 0; bit < 8 * (right.length - 8); bit++) {
      const flipped = right.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(client.handleDatagram(3, SERVER, flipped), false, `bit ${bit}`);
    }
    assert.equal(client.handleDatagram(4, SERVER, right), true);
  });

  it('repeats the question at growing pauses, and gives up', () => {
    const client = new StunClient({ firstRetryMs: 150, timeoutMs: 3000 });
    const question = client.ask(0, { server: SERVER, transactionId: id(1) });
    const at: number[] = [];
    let [now, events]: [number, StunEvent[]] = [0, []];
    for (let until: number | undefined = 0; until !== undefined;) {
      now = until;
      client.handleTimeout(now);
      const drained = drain(client);
      at.push(...drained.sent.map(() => now));
      events = drained.events;
      until = drained.until;
    }
    assert.deepEqual(at, [0, 150, 450, 1050, 2250]);
    assert.deepEqual(events, [{ type: 'failed', question, server: SERVER, reason: 'timeout', error: undefined }]);
    assert.equal(now, 3000);
  });

  it('reports what the server says when it refuses', () => {
    const client = new StunClient();
    client.ask(0, { server: SERVER, transactionId: id(1) });
    const value = Uint8Array.of(0, 0, 4, 0, ...new TextEncoder().encode('Bad Request'));
    const refusal = encodeStun({
      class: 'error',
      method: 1,
      transactionId: id(1),
      attributes: [{ type: STUN_ATTRIBUTE.ERROR_CODE, value }],
    });
    assert.equal(client.handleDatagram(1, SERVER, refusal), true);
    const event = drain(client).events[0];
    assert.ok(event?.type === 'failed');
    assert.deepEqual([event.reason, event.error], ['refused', { code: 400, reason: 'Bad Request' }]);
  });

  it('has a bound on questions under way, and a cancelled one is silent', () => {
    const client = new StunClient();
    for (let n = 0; n < MAX_STUN_QUESTIONS; n++) assert.ok(client.ask(0, { server: SERVER, transactionId: id(n) }));
    assert.equal(client.ask(0, { server: SERVER, transactionId: id(200) }), undefined);
    client.cancel('00'.repeat(12));
    assert.ok(client.ask(0, { server: SERVER, transactionId: id(200) }));
    client.handleTimeout(10_000);
    assert.equal(drain(client).events.length, MAX_STUN_QUESTIONS);
  });

  it('takes an answer from elsewhere only when it asked for one', () => {
    const client = new StunClient();
    client.ask(0, { server: SERVER, transactionId: id(1), changeIp: true, changePort: true });
    const [request] = drain(client).sent;
    const reply = answerStun(request!, ME, { here: SERVER, other: OTHER })!;
    assert.deepEqual([reply.otherIp, reply.otherPort], [true, true]);
    assert.equal(client.handleDatagram(1, OTHER, reply.bytes), true);
    const event = drain(client).events[0];
    assert.ok(event?.type === 'answer');
    assert.deepEqual([event.from, event.other], [OTHER, OTHER]);
  });
});

describe('a STUN server', () => {
  const request = encodeStun(
    { class: 'request', method: 1, transactionId: id(1), attributes: [] },
    { fingerprint: false },
  );

  it('answers at most three times the bytes of a request, also over IPv6 and with a second address', () => {
    for (const source of [ME, { ip: '2001:db8::7', port: 1 }]) {
      const addresses = source.ip.includes(':')
        ? { here: { ip: '2001:db8::1', port: 3478 }, other: { ip: '2001:db8:1::1', port: 3479 } }
        : { here: SERVER, other: OTHER };
      const reply = answerStun(request, source, addresses)!;
      assert.ok(reply.bytes.length <= 3 * request.length, `${reply.bytes.length} bytes`);
    }
  });

  it('answers nothing but Binding requests', () => {
    const message = { class: 'request', method: 1, transactionId: id(1), attributes: [] } as const;
    for (const wrong of [
      encodeStun({ ...message, class: 'indication' }),
      encodeStun({ ...message, class: 'success' }),
      encodeStun({ ...message, method: 3 }),
      new Uint8Array(20).fill(255),
      new Uint8Array(0),
    ]) {
      assert.equal(answerStun(wrong, ME, { here: SERVER }), undefined);
    }
  });

  it('names attributes that it must understand and does not', () => {
    const attributes = [{ type: 0x7abc, value: new Uint8Array(40) }];
    const strange = encodeStun({ class: 'request', method: 1, transactionId: id(1), attributes });
    const answer = decodeStun(answerStun(strange, ME, { here: SERVER })!.bytes)!;
    assert.equal(answer.class, 'error');
    assert.deepEqual(attributeOf(answer, STUN_ATTRIBUTE.UNKNOWN_ATTRIBUTES), Uint8Array.of(0x7a, 0xbc));
    assert.equal(answer.hasFingerprint, true);
  });

  it('does not answer from where it was not asked to', () => {
    const attributes = [{ type: STUN_ATTRIBUTE.CHANGE_REQUEST, value: Uint8Array.of(0, 0, 0, 6) }];
    const change = encodeStun({ class: 'request', method: 1, transactionId: id(1), attributes });
    assert.equal(answerStun(change, ME, { here: SERVER }), undefined);
  });

  it('answers classic STUN in its form, and never sends to a RESPONSE-ADDRESS', () => {
    // RFC 3489: no cookie, 16 bytes of transaction id; CHANGE-REQUEST 0, RESPONSE-ADDRESS of a victim.
    const classic = fromHex('000100140102030405060708090a0b0c0d0e0f1000030004000000000002000800010050c6336401');
    const reply = answerStun(classic, ME, { here: SERVER, other: OTHER })!;
    const answer = decodeStun(reply.bytes, true)!;
    assert.equal(answer.transactionId.length, 16);
    assert.deepEqual(decodeAddress(attributeOf(answer, STUN_ATTRIBUTE.MAPPED_ADDRESS)!), ME);
    assert.deepEqual(decodeAddress(attributeOf(answer, STUN_ATTRIBUTE.CHANGED_ADDRESS)!), OTHER);
    assert.equal(attributeOf(answer, STUN_ATTRIBUTE.XOR_MAPPED_ADDRESS), undefined);
  });
});
