/** P2PKE against the independent Go peer, over UDP on loopback. Real time, but nothing waits for it to pass. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GoPeer, goMissing } from './go-peer.ts';
import { OurEnd } from './p2pke-end.ts';

const idOf = (address: string): string => address.split('@')[0]!;

describe('p2pke with the independent Go peer', { skip: goMissing() }, () => {
  it('we begin: the first message and its echo arrive', async () => {
    await using go = new GoPeer('udp,p2pke', 1, ['--echo']);
    const address = await go.address();
    await using us = await OurEnd.open((id) => id === idOf(address));
    us.connect(address);
    us.tell('hello');
    assert.equal(await go.text(), 'hello');
    await us.until(() => us.received.includes('echo:hello'));
    assert.deepEqual(us.sent, [0, 2, 16, 17, 16]);
  });

  it('Go begins: the first message and our answer arrive', async () => {
    await using go = new GoPeer('udp,p2pke', 2);
    await go.address();
    await using us = await OurEnd.open();
    go.tell(us.address, 'from Go');
    await us.until(() => us.received.includes('from Go'));
    us.tell('answer');
    assert.equal(await go.text(), 'answer');
  });

  it('both begin at the same moment', async () => {
    for (let round = 0; round < 5; round++) {
      await using go = new GoPeer('udp,p2pke', 10 + round);
      const address = await go.address();
      await using us = await OurEnd.open((id) => id === idOf(address));
      us.connect(address);
      us.tell('from us');
      go.tell(us.address, 'from Go');
      await us.until(() => us.received.includes('from Go'));
      assert.equal(await go.text(), 'from us');
      assert.deepEqual(us.received, ['from Go']);
    }
  });

  for (const counter of [0, 1, 2, 3, 16]) {
    it(`the first datagram with counter ${counter} is lost, whoever begins`, async () => {
      await using go = new GoPeer('udp,p2pke', 20, ['--echo']);
      const address = await go.address();
      await using us = await OurEnd.open();
      us.connect(address);
      us.link = (direction, which, index) => ({
        copies: which === counter && index === 0 && direction === 'out' ? 0 : 1,
      });
      if (counter === 1 || counter === 3) go.command({ cmd: 'lose', counter, times: 1 });
      us.tell('hello');
      assert.equal(await go.text(), 'hello');

      await using other = new GoPeer('udp,p2pke', 21);
      await other.address();
      await using them = await OurEnd.open();
      them.link = us.link;
      if (counter !== 1 && counter !== 3) other.command({ cmd: 'lose', counter, times: 1 });
      other.command({ cmd: 'open', dst: them.address });
      await them.until(() => them.events.some(({ type }) => type === 'ready'));
      them.tell('from us');
      if (counter !== 16) assert.equal(await other.text(), 'from us');
      else {
        them.tell('again'); // data alone is lost when it is lost
        assert.equal(await other.text(), 'again');
      }
    });
  }

  it('every datagram comes three times', async () => {
    await using go = new GoPeer('udp,p2pke', 30, ['--echo']);
    const address = await go.address();
    await using us = await OurEnd.open();
    us.connect(address);
    us.link = () => ({ copies: 3 });
    for (const text of ['a', 'b', 'c']) us.tell(text);
    await us.until(() => us.received.length >= 3);
    us.tell('end');
    await us.until(() => us.received.includes('echo:end'));
    assert.deepEqual(us.received.toSorted(), ['echo:a', 'echo:b', 'echo:c', 'echo:end']);
    const texts = [await go.text(), await go.text(), await go.text(), await go.text()];
    assert.deepEqual(texts.toSorted(), ['a', 'b', 'c', 'end']);
    us.tell('afterwards');
    assert.equal(await go.text(), 'afterwards', 'no copy has come in between');
  });

  it('data overtakes RespDone', async () => {
    await using go = new GoPeer('udp,p2pke', 31, ['--echo']);
    const address = await go.address();
    await using us = await OurEnd.open();
    us.connect(address);
    us.link = (direction, counter) => ({ delayMs: direction === 'in' && counter === 3 ? 150 : 0 });
    us.tell('one');
    await us.until(() => us.received.includes('echo:one'));
    us.tell('two');
    await us.until(() => us.received.includes('echo:two'));
  });

  it('sessions roll over while messages are under way, and none is lost', async () => {
    await using go = new GoPeer('udp,p2pke', 32, ['--echo']);
    const address = await go.address();
    await using us = await OurEnd.open(() => true, { rekeyAfterMs: 50 });
    us.connect(address);
    const sessions = (): number => us.events.filter(({ type }) => type === 'session').length;
    let told = 0;
    while (sessions() < 6) {
      us.tell(`m${told++}`);
      await us.until(() => us.received.length === told);
    }
    assert.equal(new Set(us.received).size, told);
  });

  it('a wrong ID is refused at once, in both directions', async () => {
    await using go = new GoPeer('udp,p2pke', 33);
    const address = await go.address();
    await using us = await OurEnd.open((id) => id === '-'.repeat(43));
    us.connect(address);
    us.tell('for somebody else');
    await us.until(() => us.events.some(({ type }) => type === 'failed'));
    assert.ok(us.events.some((event) => event.type === 'failed' && event.reason === 'identity_mismatch'));

    await using them = await OurEnd.open();
    go.tell(them.address.replace(/^[^@]*/, '-'.repeat(43)), 'for somebody else');
    assert.equal((await go.next('error')).message, 'identity_mismatch');
    assert.deepEqual(them.received, []);
    assert.equal(go.events.filter(({ event }) => event === 'tell').length, 0);
  });

  it('empty messages arrive, in both directions', async () => {
    await using go = new GoPeer('udp,p2pke', 34, ['--echo']);
    const address = await go.address();
    await using us = await OurEnd.open();
    us.connect(address);
    us.tell('');
    assert.equal(await go.text(), '');
    await us.until(() => us.received.includes('echo:'));
    go.tell(us.address, '');
    await us.until(() => us.received.includes(''));
  });

  it('a session on which nothing was said does not stand in the way of the next', async () => {
    await using go = new GoPeer('udp,p2pke', 35, ['--echo']);
    const address = await go.address();
    await using us = await OurEnd.open();
    us.connect(address);
    us.open();
    await us.until(() => us.events.some(({ type }) => type === 'ready'));
    await using again = await OurEnd.open();
    again.connect(address);
    again.open();
    await again.until(() => again.events.some(({ type }) => type === 'ready'));
    again.tell('after that');
    await again.until(() => again.received.includes('echo:after that'));
    assert.ok(us.sent.length < 10 && again.sent.length < 10);
  });
});
