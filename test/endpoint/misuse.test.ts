/** What is misuse of an endpoint, at the exact bounds, and what is a failure. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import type { ConnectToAnyOptions } from '../../src/endpoint/index.ts';
import { CLOSE_CODE } from '../../src/endpoint/codes.ts';
import { resolveEndpointOptions } from '../../src/endpoint/options.ts';
import { targetOf } from '../../src/endpoint/targets.ts';
import { P2PError } from '../../src/core/errors.ts';
import { parseUdpAddr, udpAddr } from '../../src/net/socket-address.ts';
import {
  bytes,
  drops,
  errorOf,
  idOf,
  nowhere,
  pair,
  take,
  type TestConnection,
  type TestOptions,
  world,
} from '../support/endpoint-world.ts';

const U32 = 2 ** 32 - 1;

describe('endpoint: options', () => {
  it('that are numbers take their bounds and nothing beyond them', () => {
    const bounds = {
      maxMessageBytes: [1, U32],
      maxConnectionBytes: [1, 2 ** 40],
      maxEndpointBytes: [1, 2 ** 40],
      maxQueuedMessages: [1, 2 ** 24],
      maxConnectionsPerPeer: [1, 2 ** 20],
      maxUniStreams: [1, 2 ** 20],
      maxBidiStreams: [0, 2 ** 20],
      streamTimeoutMs: [1, U32],
      connectTimeoutMs: [1, U32],
      idleTimeoutMs: [0, U32],
      keepAliveMs: [0, U32],
      maxPendingMessages: [1, Number.MAX_SAFE_INTEGER],
      maxPendingBytes: [1, Number.MAX_SAFE_INTEGER],
    } as const;
    for (const [name, [min, max]] of Object.entries(bounds)) {
      for (const value of [min, max]) resolveEndpointOptions({ [name]: value });
      for (const value of [min - 1, max + 1, Number.NaN, '5']) {
        assert.throws(() => resolveEndpointOptions({ [name]: value }), /Cannot/, `${name} ${value}`);
      }
    }
  });

  it('of other kinds are checked at once, by name', () => {
    const wrong: readonly [RegExp, TestOptions & { readonly preset?: never }][] = [
      [/onOther/, { onOther: 5 as never }],
      [/onKeyLog/, { onKeyLog: {} as never }],
      [/fingerprint/, { fingerprint: 'sha' as never }],
      [/preset/, { preset: '' as never }],
      [/alpn/, { alpn: {} as never }],
      [/alpn/, { alpn: ['a', 5] as never }],
      [/alpn/, { alpn: { length: 1 } as never }],
      [/retry/, { retry: 'yes' as never }],
      [/retry/, { retry: null as never }],
      [/trust/, { trust: {} as never }],
      [/trust/, { trust: 5 as never }],
      [/trust\.peerIds/, { trust: { peerIds: 'x' } }],
      [/trust\.peerIds/, { trust: { peerIds: 5 as never } }],
      [/options/, null as never],
      [/options/, 5 as never],
    ];
    for (const [message, options] of wrong) {
      assert.throws(() => resolveEndpointOptions(options), { name: 'TypeError', message }, String(message));
    }
    assert.deepEqual(resolveEndpointOptions({ alpn: 'a' }).alpn, ['a']);
    assert.deepEqual(resolveEndpointOptions({ preset: 'qp2p' }).alpn, []);
    const { retry } = resolveEndpointOptions({ retry: { maxAttempts: 2 } });
    assert.deepEqual(
      [retry, resolveEndpointOptions({ retry: false }).retry],
      [{ timeoutMs: 30_000, maxAttempts: 2 }, undefined],
    );
    assert.deepEqual(resolveEndpointOptions({ retry: true }).retry, { timeoutMs: 30_000 });
  });
});

describe('endpoint: targets', () => {
  const target = (text: string, expect?: ReturnType<typeof idOf>) => targetOf(text, expect, parseUdpAddr);

  it('are addresses with a port from 1 to 65535, with a PeerID before an @ or none', () => {
    for (const port of [1, 65_535]) {
      const found = target(`192.0.2.1:${port}`);
      assert.ok(!(found instanceof P2PError));
      assert.deepEqual([found.addr.port, found.expect], [port, undefined]);
    }
    const id = idOf(1);
    const found = target(`${id}@[2001:db8::1]:5`, id);
    assert.ok(!(found instanceof P2PError));
    assert.deepEqual([found.addr.text, found.expect], ['[2001:db8::1]:5', id]);
    const wrongTexts = [`${id}x192.0.2.1:5`, `${id}192.0.2.1:5`, id, `${id}@`, `${id.slice(1)}@192.0.2.1:5`, ''];
    for (const wrong of [...wrongTexts, '192.0.2.1:65536']) {
      assert.ok(P2PError.is(target(wrong), 'unreachable'), wrong);
    }
    assert.ok(P2PError.is(target(`${id}@192.0.2.1:5`, idOf(2)), 'identity_mismatch'));
    for (const wrong of [undefined, null, 5, {}, { text: 5 }, { addr: 5 }]) {
      assert.throws(() => targetOf(wrong as never, undefined, parseUdpAddr), TypeError, JSON.stringify(wrong));
    }
    assert.throws(() => target('192.0.2.1:5', 'me' as never), TypeError);
  });

  it('at which no peer can be reached are failures', () => {
    for (const text of [
      '192.0.2.1:0',
      '[2001:db8::1]:0',
      '0.0.0.0:5',
      '224.0.0.1:5',
      '[ff02::1]:5',
      `${idOf(1)}@[::]:5`,
    ]) {
      assert.ok(P2PError.is(target(text), 'unreachable'), text);
    }
    for (const addr of [udpAddr({ ip: '239.1.2.3', port: 5 }), { addr: udpAddr({ ip: '::', port: 5 }) }]) {
      assert.ok(P2PError.is(targetOf(addr, undefined, parseUdpAddr), 'unreachable'));
    }
    const addr = udpAddr({ ip: '192.0.2.1', port: 5 });
    assert.deepEqual(targetOf({ addr, expect: idOf(1) }, undefined, parseUdpAddr), { addr, expect: idOf(1) });
    assert.deepEqual(targetOf({ addr }, idOf(2), parseUdpAddr), { addr, expect: idOf(2) });
  });
});

describe('endpoint: calls', () => {
  it('check their options before anything is done', async () => {
    const w = world();
    const { alice, here } = await pair(w);
    const there = nowhere(w);
    const anyOf = (options: ConnectToAnyOptions) => () => void alice.connectToAny([there], options);
    const misuse: readonly (() => unknown)[] = [
      () => alice.connect(there, { timeoutMs: -1 }),
      () => alice.connect(there, { serverName: 5 as never }),
      () => alice.connect(there, { retry: 5 as never }),
      () => alice.connectToAny('x' as never),
      () => alice.connectToAny([]),
      anyOf({ staggerMs: -1 }),
      anyOf({ maxParallel: 0 }),
      anyOf({ maxParallel: 2 ** 20 + 1 }),
      anyOf({ timeoutMs: -1 }),
      () => alice.send(there, 'x' as never),
      () => alice.send(there, bytes('x'), { timeoutMs: -1 }),
      () => alice.trySend(there, null as never),
      () => alice.trySend(there, bytes('x'), { timeoutMs: -1 }),
      () => alice.drain({ timeoutMs: -1 }),
      () => alice.disconnectFrom(there, { code: -1 }),
      () => alice.close({ code: 2 ** 53 }),
      () => alice.events({ capacity: 0 }),
      () => alice.events({ capacity: 2 ** 24 + 1 }),
      () => alice.messages(5 as never),
      () => here.send({ payload: bytes('x') } as never),
      () => here.send(undefined as never),
      () => here.send(bytes('x'), { priority: 2 ** 31 }),
      () => here.send(bytes('x'), { priority: -(2 ** 31) - 1 }),
      () => here.request(bytes('x'), { maxResponseBytes: -1 }),
      () => here.request(bytes('x'), { maxResponseBytes: U32 + 1 }),
      () => here.openUni({ priority: 0.5 }),
      () => here.openBi({ timeoutMs: -1 }),
      () => here.drain({ timeoutMs: -1 }),
      () => here.close({ code: -1 }),
      () => here.messages({ timeoutMs: -1 }),
      () => here.streams({ signal: {} as never }),
    ];
    for (const wrong of misuse) assert.throws(wrong, /Cannot/, String(wrong));
    assert.deepEqual(w.realm.clock.waits, []);
    const limits = [
      here.send(bytes('x'), { priority: 2 ** 31 - 1 }),
      here.send(bytes('x'), { priority: -(2 ** 31) }),
      alice.connectToAny([here.remoteAddr], { maxParallel: 2 ** 20, staggerMs: 0 }),
    ];
    for (const call of limits) await w.run<unknown>(call);
    void alice.events({ capacity: 2 ** 24 }).return();
  });

  it('with a signal that has fired are not begun', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w);
    const signal = AbortSignal.abort('no');
    const there = nowhere(w);
    const calls: readonly (() => Promise<unknown>)[] = [
      () => alice.connect(there, { signal }),
      () => alice.connectToAny([there], { signal }),
      () => alice.send(there, bytes('x'), { signal }),
      () => here.send(bytes('x'), { signal }),
      () => here.request(bytes('x'), { signal }),
      () => here.openUni({ signal }),
      () => here.messages({ signal }).next(),
    ];
    for (const call of calls) {
      await assert.rejects(w.run(call()), (reason) => reason === 'no', String(call));
    }
    await w.pass(100);
    assert.deepEqual([bob.messages().tryNext(), alice.counters.sent], [undefined, 0]);
  });

  it('a stagger is none unless it is asked for, and eight are tried at a time', async () => {
    const w = world();
    const alice = w.open();
    const all = Array.from({ length: 10 }, () => nowhere(w));
    const lost = errorOf(alice.connectToAny(all, { timeoutMs: 1000 }));
    await w.pass(0);
    assert.equal(inspect(alice).state['dials'], 8);
    const began = w.realm.nowMs();
    assert.equal((await w.run(lost)).code, 'unreachable');
    assert.equal(w.realm.nowMs() - began, 2000, 'two rounds: eight and two');
  });
});

describe('endpoint: messages and events at their exact bounds', () => {
  it('a message of exactly maxMessageBytes arrives; one byte more is refused here and there', async () => {
    const w = world();
    const { bob, here, there } = await pair(w, { maxMessageBytes: 2000 }, { maxMessageBytes: 1000 });
    await w.run(here.send(new Uint8Array(1000), { acked: true }));
    assert.equal((await w.run(there.messages().next())).value!.payload.length, 1000);
    await w.run(here.send(new Uint8Array(1001)));
    await w.pass(100);
    const local = await w.run(errorOf(there.send(new Uint8Array(1001))));
    assert.deepEqual([local.code, local.side, local.sent], ['mtu_exceeded', 'local', 'no']);
    assert.equal(drops(bob, 'endpoint.oversize'), 1);
    await w.run(here.send(new Uint8Array(1)));
    assert.equal((await w.run(take(there.messages(), 1)))[0]?.payload.length, 1, 'the connection lives');
  });

  it('events beyond the capacity push the oldest out, and are counted', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const [two, many] = [alice.events({ capacity: 2 }), alice.events()];
    assert.deepEqual([two.dropped, many.dropped], [0, 0]);
    for (let i = 0; i < 2; i++) await w.run((await w.run(alice.connect(bob.addr))).close());
    const types = [...Array(4)].map(() => two.tryNext()?.type);
    assert.deepEqual([types, two.dropped], [['connected', 'disconnected', undefined, undefined], 2]);
    assert.deepEqual([[...Array(5)].map(() => many.tryNext()?.type).filter(Boolean).length, many.dropped], [4, 0]);
  });

  it('a connection that was replaced is not closed while a request is under way on it', async () => {
    const w = world({ latencyMs: 10 });
    const ends = [w.open({ keepAliveMs: 10_000 }), w.open({ keepAliveMs: 10_000 })] as const;
    await w.run(Promise.all([ends[0].connect(ends[1].addr), ends[1].connect(ends[0].addr)]));
    await w.pass(100);
    const isReplaced = (each: TestConnection): boolean =>
      each.side === 'responder' && ends.every((end) => end.connectionTo(each.peerId!) !== each);
    const initiator = ends.find((end) => end.openConnections().some(isReplaced))!;
    const other = ends.find((end) => end !== initiator)!;
    const replaced = initiator.openConnections().find(isReplaced)!;
    const answer = replaced.request(bytes('x'), { timeoutMs: 200_000 });
    const { reply } = (await w.run(other.messages().next())).value!;
    await w.pass(80_000);
    assert.equal(replaced.closeReason, undefined);
    await w.run(reply!.finish(bytes('y')));
    assert.equal((await w.run(answer)).length, 1);
    await w.pass(70_000);
    const { by, code } = await w.run(replaced.closed);
    assert.deepEqual([by, code], ['local', CLOSE_CODE.REPLACED]);
    assert.equal(initiator.openConnections().length, 1);
  });
});
