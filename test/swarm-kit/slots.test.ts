import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Refusal } from '../../src/core/errors.ts';
import { AskSlot } from '../../src/swarm-kit/ask-slot.ts';
import { CounterSet } from '../../src/swarm-kit/counter-set.ts';
import { PendingBudget } from '../../src/swarm-kit/pending-budget.ts';
import { TellSlot } from '../../src/swarm-kit/tell-slot.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';

const message = (length = 1) => ({ src: memoryAddr(1), dst: memoryAddr(2), payload: new Uint8Array(length) });

function parts(limits = {}) {
  const events: string[] = [];
  const realm = createMemoryRealm({ clock: 'virtual', trace: (event) => events.push(`${event.layer} ${event.type}`) });
  const counters = new CounterSet('test');
  return { options: { realm, counters, budget: new PendingBudget(limits) }, counters, events };
}

describe('TellSlot', () => {
  it('keeps pending promises within its budget of messages and bytes', async () => {
    const { options, counters } = parts({ maxPendingMessages: 3, maxPendingBytes: 100 });
    const slot = new TellSlot<MemoryAddr>(options);
    const { promise, resolve } = Promise.withResolvers<void>();
    slot.listen(() => promise);
    assert.deepEqual(
      [slot.deliver(message(60)), slot.deliver(message(60)), slot.deliver(message(1))],
      [true, true, false],
    );
    assert.equal(counters.drops.get('queue_full'), 1);
    assert.deepEqual([slot.budget.messages, slot.budget.bytes], [2, 120]);
    let room = 0;
    slot.budget.onRoom = () => room++;
    resolve();
    await promise;
    await Promise.resolve();
    await Promise.resolve();
    assert.deepEqual([slot.budget.messages, slot.budget.bytes, room], [0, 0, 1]);
  });

  it('pass gives the promise to the layer below and counts an error once', async () => {
    const { options, counters, events } = parts();
    const slot = new TellSlot<MemoryAddr>(options);
    assert.equal(slot.pass(message()), undefined);
    slot.listen(() => Promise.reject(new Error('broken')));
    await slot.pass(message());
    assert.equal(slot.budget.messages, 0);
    assert.deepEqual(Object.fromEntries(counters.drops), { no_handler: 1, handler_error: 1 });
    assert.deepEqual(events, ['test handler_error']);
  });
});

describe('AskSlot', () => {
  it('turns what a handler does into an answer', async () => {
    const { options, counters } = parts();
    const slot = new AskSlot<MemoryAddr>(options);
    assert.deepEqual(await slot.handle(message()).answer, { ok: false, bytes: undefined, code: 255 });
    let behaviour: () => Uint8Array | Promise<Uint8Array> = () => Uint8Array.of(1);
    slot.serve(() => behaviour());
    assert.deepEqual(await slot.handle(message()).answer, { ok: true, bytes: Uint8Array.of(1) });
    behaviour = () => Promise.reject(new Refusal('no', Uint8Array.of(2)));
    assert.deepEqual(await slot.handle(message()).answer, { ok: false, bytes: Uint8Array.of(2), code: 255 });
    behaviour = () => {
      throw new Error('broken');
    };
    assert.deepEqual(await slot.handle(message()).answer, { ok: false, bytes: undefined, code: 255 });
    assert.deepEqual(Object.fromEntries(counters.drops), { no_handler: 1, handler_error: 1 });
  });

  it('refuses beyond its budget, and frees it when answered', async () => {
    const { options, counters } = parts({ maxPendingMessages: 1 });
    const slot = new AskSlot<MemoryAddr>(options);
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    slot.serve(() => promise);
    const first = slot.handle(message());
    assert.deepEqual(await slot.handle(message()).answer, { ok: false, bytes: undefined, code: 255 });
    assert.equal(counters.drops.get('queue_full'), 1);
    resolve(Uint8Array.of(9));
    assert.deepEqual(await first.answer, { ok: true, bytes: Uint8Array.of(9) });
    assert.equal(slot.budget.messages, 0);
  });

  it('gives its signal to objects that have the request as their prototype', () => {
    const slot = new AskSlot<MemoryAddr>(parts().options);
    let signals: readonly AbortSignal[] = [];
    slot.serve((request) => {
      const derived = Object.create(request, { user: { value: 'alice' } }) as typeof request;
      signals = [derived.signal, request.signal];
      return new Promise(() => {});
    });
    slot.handle(message()).abort(new Error('gone'));
    assert.equal(signals[0], signals[1]);
    assert.equal(signals[0]!.aborted, true);
  });

  it('makes a signal only when somebody looks, also after it fired; clear fires those in hand', async () => {
    const { options } = parts();
    const slot = new AskSlot<MemoryAddr>(options);
    const signals: AbortSignal[] = [];
    let look: (() => AbortSignal) | undefined;
    slot.serve((request) => {
      look = () => request.signal;
      if (signals.length === 0) signals.push(request.signal);
      return new Promise(() => {});
    });
    const reason = new Error('over');
    slot.handle(message());
    slot.handle(message()).abort(reason);
    assert.equal(look!().reason, reason);
    slot.clear(new Error('closed'));
    assert.equal(signals[0]!.aborted, true);
    assert.equal(slot.occupied, false);
  });
});
