import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { P2PError, Refusal } from '../../../src/core/errors.ts';
import { type MessageHeader, type Packet, decodePacket, encodePacket } from '../../../src/protocols/mbapp/header.ts';
import { encodePhaseTime } from '../../../src/protocols/mbapp/phase-time.ts';
import { type MbappOptions, mbapp } from '../../../src/wrappers/mbapp/index.ts';
import { createMemoryRealm, memoryAddr } from '../../../src/swarms/memory/index.ts';
import { header, world } from '../../support/mbapp-world.ts';

describe('mbapp over a swarm whose sources may be forged', () => {
  /** Bob answers with 100 000 bytes; what he sends to the victim is counted, and what Mallory sends in its name. */
  function forgery(options: MbappOptions = {}) {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [victim, below] = [realm.swarm(), realm.swarm()];
    const bob = mbapp(below, options);
    let executed = 0;
    bob.serve(() => {
      executed++;
      return new Uint8Array(100_000);
    });
    const got: Packet[] = [];
    let bytes = 0;
    victim.listen(({ payload }) => {
      bytes += payload.length;
      got.push(decodePacket(payload)!);
    });
    // A memory swarm does not let anybody forge its source, so Mallory sends from the victim's.
    const origin = encodePhaseTime(realm.wallMs());
    const send = async (fields: Partial<MessageHeader>, payload = new Uint8Array(0)): Promise<void> => {
      const whole = header({ origin, sizeBytes: payload.length, ...fields });
      void victim.tell(memoryAddr(1), encodePacket(whole, 0, payload));
      await realm.clock.advance(100);
    };
    const drops = (): Record<string, number> => Object.fromEntries(bob.counters.drops);
    return { realm, bob, got, send, drops, bytes: () => bytes, executed: () => executed };
  }

  it('sends at most three bytes for each byte that came in the name of a source, whatever comes again', async () => {
    const { send, bytes, executed, drops } = forgery();
    let sent = 0;
    for (let i = 0; i < 200; i++) {
      await send({ parts: 0 });
      sent += 24;
      assert.ok(bytes() <= 3 * sent, `${bytes()} bytes out for ${sent} in`);
    }
    assert.equal(executed(), 1);
    await send({ counter: 2, parts: 1 }, new Uint8Array(30));
    assert.ok(bytes() <= 3 * (sent + 54));
    assert.ok(drops()['mbapp.repeated_request']! >= 150);
  });

  it('sends the rest when the token comes back, and nothing for another token', async () => {
    const { send, got, bytes, executed, drops } = forgery();
    await send({ parts: 0 });
    assert.deepEqual(
      got.map(({ kind, code, sizeBytes }) => [kind, code, sizeBytes]),
      [['reply', 254, 8]],
    );
    const before = bytes();
    const token = got[0]!.data.slice();
    await send(
      { code: 254, parts: 1 },
      token.map((byte) => byte ^ 1),
    );
    await send({ code: 254, parts: 1, counter: 9 }, token);
    assert.equal(bytes(), before);
    assert.equal(drops()['mbapp.wrong_proof'], 1);
    assert.equal(drops()['mbapp.stale_request'], 1);
    await send({ code: 254, parts: 1 }, token);
    assert.ok(bytes() >= before + 100_000);
    assert.equal(executed(), 1);
    const whole = bytes();
    await send({ code: 254, parts: 1 }, token);
    assert.equal(bytes(), whole + 100_048);
    assert.equal(executed(), 1);
  });

  it('an asker proves its address by itself, also when the token or the proof is lost', async () => {
    const { realm, alice, bob, dst } = world({}, { netem: { loss: 0.3, latencyMs: 20 }, seed: 3 });
    let executed = 0;
    bob.serve(() => {
      executed++;
      return new Uint8Array(5000).fill(7);
    });
    for (let i = 0; i < 20; i++) {
      const answer = await realm.clock.run(alice.ask(dst, Uint8Array.of(i)));
      assert.deepEqual(answer, new Uint8Array(5000).fill(7));
    }
    assert.equal(executed, 20);
  });

  it('an answer that was given up before the proof came is limit_exceeded at the asker', async () => {
    const { realm, alice, bob, dst } = world({ maxCachedBytes: 10_000 });
    bob.serve(() => new Uint8Array(4000));
    const asks = Array.from({ length: 20 }, () => alice.ask(dst, Uint8Array.of(1)));
    const settled = await realm.clock.run(Promise.allSettled(asks));
    const reasons = settled.map((each) => (each.status === 'rejected' ? (each.reason as P2PError).code : 'answered'));
    assert.deepEqual(new Set(reasons), new Set(['limit_exceeded', 'answered']));
    assert.ok(realm.nowMs() < 1000);
  });

  it('a repeat with another size or other parts is no repeat', async () => {
    const { send, got, drops } = forgery({ provenSources: true });
    await send({ parts: 0 });
    const answers = got.length;
    assert.ok(answers > 0);
    await send({}, Uint8Array.of(1));
    await send({ parts: 2, sizeBytes: 0 });
    assert.equal(got.length, answers);
    assert.equal(drops()['mbapp.other_request'], 2);
  });

  it('one answer is sent sixteen times and no more', async () => {
    const { send, bytes, drops } = forgery({ provenSources: true });
    await send({ parts: 0 });
    const once = bytes();
    for (let i = 0; i < 40; i++) await send({ parts: 0 });
    assert.equal(bytes(), 16 * once);
    assert.equal(drops()['mbapp.answered_too_often'], 25);
  });

  it('a Refusal with the code that asks for proof is a plain refusal', async () => {
    const { realm, alice, bob, dst } = world();
    bob.serve(() => {
      throw new Refusal('no', new Uint8Array(8), 254);
    });
    const error: unknown = await realm.clock.run(alice.ask(dst, Uint8Array.of(1)).catch((thrown: unknown) => thrown));
    assert.ok(P2PError.is(error, 'refused') && Refusal.is(error.cause));
    assert.equal(error.cause.code, 255);
  });

  it('takes true and false for provenSources, nothing else', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    assert.throws(
      () => mbapp(realm.swarm(), { provenSources: 'yes' as never }),
      /provenSources: expected true or false/,
    );
  });
});
