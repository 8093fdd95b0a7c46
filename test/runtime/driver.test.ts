import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Machine, Millis, Output } from '../../src/base/machine.ts';
import { Driver } from '../../src/runtime/driver.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

/** Says `tick` every 10 ms, and transmits what it is given. */
class Ticker implements Machine<string, string> {
  #out: Output<string, string>[] = [];
  #nextMs: Millis | undefined;

  start(now: Millis): void {
    this.#nextMs = now + 10;
  }

  stop(): void {
    this.#nextMs = undefined;
  }

  send(text: string): void {
    this.#out.push({ type: 'transmit', transmit: text });
  }

  handleTimeout(now: Millis): void {
    if (this.#nextMs === undefined || now < this.#nextMs) return;
    this.#nextMs = now + 10;
    this.#out.push({ type: 'event', event: `tick ${now}` });
  }

  poll(): Output<string, string> {
    return this.#out.shift() ?? { type: 'wait', until: this.#nextMs };
  }
}

function drive<M extends Machine<string, string>>(machine: M, onEvent: (event: string) => void = () => {}) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const log: string[] = [];
  const driver = new Driver(machine, {
    realm,
    transmit: (text) => log.push(`sent ${text}`),
    event: (event) => {
      log.push(event);
      onEvent(event);
    },
    failed: (bug) => log.push(bug.message),
  });
  return { realm, driver, log, clock: realm.clock };
}

describe('Driver', () => {
  it('takes outputs after every input and wakes the machine at its deadlines', async () => {
    const ticker = new Ticker();
    const { clock, driver, log } = drive(ticker);
    ticker.start(0);
    ticker.send('hello');
    driver.poll();
    await clock.advance(25);
    assert.deepEqual(log, ['sent hello', 'tick 10', 'tick 20']);
    driver.stop();
    await clock.advance(100);
    assert.equal(log.length, 3);
  });

  it('polls again when an event calls the machine', async () => {
    const ticker = new Ticker();
    const { clock, driver, log } = drive(ticker, () => {
      ticker.send('from an event');
      ticker.stop();
      driver.poll();
    });
    ticker.start(0);
    driver.poll();
    await clock.advance(100);
    assert.deepEqual(log, ['tick 10', 'sent from an event']);
  });

  it('detects a machine that never says wait', () => {
    const { driver, log } = drive({ handleTimeout: () => {}, poll: () => ({ type: 'transmit', transmit: 'x' }) });
    driver.poll();
    assert.equal(log.at(-1), 'Bug in a machine: 100000 outputs without a wait');
  });

  it('detects a machine that wants to be woken at one instant for ever', async () => {
    const { clock, driver, log } = drive({ handleTimeout: () => {}, poll: () => ({ type: 'wait', until: 5 }) });
    driver.poll();
    await clock.advance(10);
    assert.deepEqual(log, ['Bug in a machine: 1000 deadlines at one instant']);
  });
});
