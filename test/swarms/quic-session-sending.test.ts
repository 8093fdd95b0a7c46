/** What a QUIC session sends: tells and asks, and what becomes of them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { CODE } from '../../src/swarms/quic/codes.ts';
import { frame } from '../scenarios/raw-quic-peer.ts';
import { type FakeStream, ok, setUp, settled } from './quic-session-world.ts';

const error = (sent: 'no' | 'maybe'): P2PError => new P2PError('disconnected', 'path', `ended ${sent}`, { sent });

describe('a QUIC session: what is sent', () => {
  it('tells wait for a stream in order, are given up, and resolve when the transport has them', () => {
    const s = setUp();
    const taken: string[] = [];
    const tell = (name: string, bytes = 1): true | (() => void) =>
      s.session.tell(new Uint8Array(bytes), (failed) => void taken.push(`${name} ${failed?.code ?? 'taken'}`));
    const stop = [tell('a'), tell('b'), tell('c')] as (() => void)[];
    assert.deepEqual([s.session.waiting, s.session.unacknowledged], [3, 3]);
    stop[1]!();
    s.credit.uni = 1;
    s.session.handleAvailable();
    assert.deepEqual([taken, s.session.waiting, s.session.unacknowledged], [['a taken'], 1, 2]);
    s.credit.uni = 2;
    assert.notEqual(tell('d'), true, 'behind those who wait');
    s.session.handleAvailable();
    assert.deepEqual(taken, ['a taken', 'c taken', 'd taken']);
    for (const each of s.opened) s.session.handleAcknowledged(each.stream);
    assert.deepEqual([s.session.unacknowledged, s.told.settled, s.session.busy], [0, 3, false]);
    s.session.handleAcknowledged(s.opened[0]!.stream);
    assert.equal(s.told.settled, 3, 'once');
  });

  it('messages with a higher priority get streams first, and their streams have it', () => {
    const s = setUp();
    const taken: string[] = [];
    const tell = (name: string, priority?: number): true | (() => void) =>
      s.session.tell(new Uint8Array(1), () => void taken.push(name), priority);
    const ask = (name: string, priority?: number): void =>
      void s.session.ask(new Uint8Array(name.charCodeAt(0)), 10, () => undefined, priority);
    s.credit.uni = 1;
    assert.equal(tell('now', 7), true);
    const all = [tell('a'), tell('b', 5), tell('c', -0.5), tell('d', 5), tell('e', 1e12), tell('f')] as (() => void)[];
    all[5]!();
    s.credit.uni = 10;
    s.session.handleAvailable();
    assert.deepEqual(taken, ['e', 'b', 'd', 'a', 'c']);
    const told = s.opened.map(({ done }) => done.join());
    assert.deepEqual(told, ['priority 7', `priority ${2 ** 31 - 1}`, 'priority 5', 'priority 5', '', 'priority -1']);
    for (const [name, priority] of [
      ['x', undefined],
      ['y', 3],
    ] as const)
      ask(name, priority);
    s.credit.bidi = 2;
    s.session.handleAvailable();
    const asked = s.opened.slice(6).map(({ done, written }) => [String.fromCharCode(written.length - 4), done.join()]);
    assert.deepEqual(asked, [
      ['y', 'priority 3'],
      ['x', ''],
    ]);
    assert.equal(s.session.waiting, 0);
  });

  it('a tell that does not fit goes on when there is room, is reset when it is given up, fails when it is stopped', () => {
    const s = setUp();
    const taken: string[] = [];
    const begin = (name: string): { readonly stream: FakeStream; readonly stop: () => void } => {
      const stop = s.session.tell(
        new Uint8Array(100),
        (failed) => void taken.push(`${name} ${failed?.code ?? 'taken'}`),
      );
      s.credit.uni = 1;
      s.credit.room = 0;
      const before = s.opened.length;
      s.session.handleAvailable();
      return { stream: s.opened[before]!, stop: stop as () => void };
    };
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(begin) as [
      ReturnType<typeof begin>,
      ReturnType<typeof begin>,
      ReturnType<typeof begin>,
      ReturnType<typeof begin>,
    ];
    assert.equal(s.session.unacknowledged, 4);
    a.stream.room = 100;
    s.session.handleWritable(a.stream.stream);
    b.stop();
    b.stop();
    Object.assign(c.stream, { stopCode: CODE.OVERSIZE });
    s.session.handleStopped(c.stream.stream);
    s.session.handleStopped(d.stream.stream);
    assert.deepEqual(taken, ['a taken', 'c mtu_exceeded', 'd refused']);
    assert.deepEqual([a.stream.done, b.stream.done], [[], [`reset ${CODE.CANCELLED}`]]);
    assert.equal(s.session.unacknowledged, 1);
    a.stop();
    assert.deepEqual(a.stream.done, [], 'it is with the transport');
  });

  it('asks get an answer of exactly the limit; larger ones, resets, ends and frames that are cut fail', () => {
    const results: string[] = [];
    const ask = (answer: Uint8Array, after: FakeStream['after'], resetCode?: number): FakeStream => {
      const s = setUp();
      s.credit.bidi = 1;
      s.session.ask(new Uint8Array(3), 10, (result) => {
        results.push(result instanceof P2PError ? result.code : `bytes ${result.length}`);
      });
      const [stream] = s.opened as [FakeStream];
      assert.equal(stream.written.length, 7);
      Object.assign(stream, { incoming: answer, after, resetCode });
      s.session.handleReadable(stream.stream);
      assert.equal(s.session.busy, false);
      return stream;
    };
    const fates = [
      ask(frame(new Uint8Array(10)), 'finished'),
      ask(frame(new Uint8Array(0)), 'finished'),
      ask(frame(new Uint8Array(0), 11), 'open'),
      ask(new Uint8Array(0), 'reset', CODE.OVERSIZE),
      ask(new Uint8Array(0), 'reset', CODE.REFUSED),
      ask(new Uint8Array(0), 'finished'),
      ask(frame(new Uint8Array(5), 6), 'finished'),
      ask(new Uint8Array(0), 'lost'),
      ask(frame(new Uint8Array(12), 10), 'open'),
    ].map(({ done }) => done.join());
    assert.deepEqual(results, [
      'bytes 10',
      'bytes 0',
      'limit_exceeded',
      'mtu_exceeded',
      'refused',
      'refused',
      'refused',
      'refused',
      'bytes 10',
    ]);
    const given = `stop ${CODE.OVERSIZE},reset ${CODE.OVERSIZE}`;
    assert.deepEqual(fates, ['', '', given, given, given, given, given, given, `stop ${CODE.MALFORMED}`]);
  });

  it('an ask that is given up is reset both ways, or never begun', () => {
    const s = setUp();
    const results: unknown[] = [];
    const ask = (): (() => void) => s.session.ask(new Uint8Array(1), 10, (result) => results.push(result));
    const [early, waiting] = [ask(), ask()];
    assert.equal(s.session.waiting, 2);
    waiting();
    s.credit.bidi = 5;
    s.session.handleAvailable();
    assert.deepEqual([s.opened.length, s.session.waiting, s.session.busy], [1, 0, true]);
    early();
    early();
    assert.deepEqual(s.opened[0]!.done, [`reset ${CODE.CANCELLED}`, `stop ${CODE.CANCELLED}`]);
    assert.deepEqual([results, s.session.busy], [[], false]);
  });

  it('what is under way when the connection ends fails, and says whether it may have been sent', async () => {
    const s = setUp();
    s.credit.bidi = 1;
    const results: string[] = [];
    s.session.ask(new Uint8Array(1), 10, (result) => results.push((result as P2PError).sent));
    s.session.ask(new Uint8Array(1), 10, (result) => results.push((result as P2PError).sent));
    s.session.tell(new Uint8Array(1), (failed) => results.push(String(failed?.sent)));
    s.come('bidi', frame(new Uint8Array(1)));
    s.come('uni', new Uint8Array(300), 'open');
    s.session.handleClosed(error);
    assert.deepEqual(results.toSorted(), ['maybe', 'no', 'no']);
    assert.ok(P2PError.is(s.asked[0]!.aborted, 'disconnected'));
    assert.deepEqual([s.session.held, s.host.memory.held, s.session.waiting, s.session.unacknowledged], [0, 0, 0, 0]);
    assert.deepEqual([s.session.busy, s.told.settled > 0], [false, true]);
    s.asked[0]!.answer(ok(1));
    await settled();
  });

  it('65 536 messages of a kind wait for a stream, and one more fails at once', () => {
    const s = setUp();
    let failed: unknown;
    for (let i = 0; i < 65_536; i++) s.session.tell(new Uint8Array(0), (reason) => (failed = reason));
    assert.deepEqual([failed, s.session.waiting], [undefined, 65_536]);
    s.session.tell(new Uint8Array(0), (reason) => (failed = reason));
    assert.ok(P2PError.is(failed, 'limit_exceeded'));
    assert.equal(s.session.waiting, 65_536);
  });
});
