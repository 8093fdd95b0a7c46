/** Tests of sending: delivery, rejections, and ownership of bytes. */

import type { Addr } from '../../core/addr.ts';
import { EMPTY_BYTES, copyBytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import type { Swarm } from '../../core/swarm.ts';
import { nextTurn } from '../../runtime/system-clock.ts';
import {
  type Bench,
  Inbox,
  type SuiteTest,
  addrOf,
  check,
  checkBytes,
  checkRejects,
  checkSame,
  checkThrows,
  deliver,
  dropsOf,
  pass,
  payloadOf,
  rejectionOf,
  within,
} from './suite.ts';

type Pair = readonly [Swarm<Addr>, Swarm<Addr>];

/** The largest payload that a test tries. */
function mtuFor({ features }: Bench<Swarm<Addr>>, swarm: Swarm<Addr>, dst: Addr): number {
  return Math.min(swarm.mtu(dst), features.maxTriedBytes);
}

/** Part of `swarmSuite`. */
export const tellingTests: readonly SuiteTest<Swarm<Addr>>[] = [
  {
    name: 'tell() delivers the payload, with the destination as dst and a src that can be replied to',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const [inA, inB] = [new Inbox(alice), new Inbox(bob)];
      const message = await deliver(bench, alice, addrOf(bob), payloadOf(1), inB);
      checkSame(message.dst.text, addrOf(bob).text, 'dst');
      const back = await deliver(bench, bob, message.src, payloadOf(2), inA);
      checkSame(back.src.text, addrOf(bob).text, 'src of the message back');
      checkSame(bob.parseAddr(message.src.text).text, message.src.text, 'src parsed');
    },
  },
  {
    name: 'tell() works between all ordered pairs',
    swarms: ({ manySwarms }) => manySwarms,
    body: async (bench) => {
      const inboxes = bench.net.swarms.map((swarm) => new Inbox(swarm));
      for (const [i, from] of bench.net.swarms.entries()) {
        for (const [j, to] of bench.net.swarms.entries()) {
          if (i === j) continue;
          await deliver(bench, from, addrOf(to), payloadOf(1000 * i + j), inboxes[j]!);
        }
      }
    },
  },
  {
    name: 'tell() works in both directions at once: 50 messages each way, none lost on a reliable link',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const [inA, inB] = [new Inbox(alice), new Inbox(bob)];
      if (bench.features.lossy) {
        for (let i = 0; i < 50; i++) {
          await deliver(bench, alice, addrOf(bob), payloadOf(i), inB);
          await deliver(bench, bob, addrOf(alice), payloadOf(i), inA);
        }
        return;
      }
      const sent: Promise<void>[] = [];
      for (let i = 0; i < 50; i++) {
        sent.push(alice.tell(addrOf(bob), payloadOf(i)), bob.tell(addrOf(alice), payloadOf(i)));
      }
      await bench.run(Promise.all(sent));
      for (const inbox of [inA, inB]) {
        await within(
          bench,
          alice,
          inbox.until(() => inbox.messages.length >= 50),
          '50 messages',
        );
        for (let i = 0; i < 50; i++) check(inbox.find(payloadOf(i)) !== undefined, `message ${i} is missing`);
        checkSame(inbox.messages.length, 50, 'messages received');
      }
    },
  },
  {
    name: 'messages of one source arrive in order',
    skip: ({ ordered }) => (ordered ? undefined : 'not ordered'),
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      for (let i = 0; i < 50; i++) void alice.tell(addrOf(bob), payloadOf(i));
      await within(
        bench,
        alice,
        inbox.until(() => inbox.messages.length >= 50),
        '50 messages',
      );
      for (const [i, { payload }] of inbox.messages.entries()) checkBytes(payload, payloadOf(i), `message ${i}`);
    },
  },
  {
    name: 'tell() takes exactly mtu(dst) bytes',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      // Two rounds, because the first contact may change the path.
      await deliver(bench, alice, addrOf(bob), payloadOf(1), inbox);
      const payload = payloadOf(2, mtuFor(bench, alice, addrOf(bob)));
      checkBytes((await deliver(bench, alice, addrOf(bob), payload, inbox)).payload, payload, 'payload');
    },
  },
  {
    name: 'tell() rejects mtu(dst) + 1 bytes with mtu_exceeded, both numbers, and nothing sent',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const mtu = alice.mtu(addrOf(bob));
      const before = dropsOf(alice);
      const told = alice.tell(addrOf(bob), payloadOf(1, mtu + 1));
      const error = await checkRejects(bench, alice, told, 'mtu_exceeded', 'tell() of mtu + 1 bytes');
      checkSame(error.sent, 'no', 'sent');
      check(
        error.message.includes(String(mtu + 1)) && error.message.includes(String(mtu)),
        `message: ${error.message}`,
      );
      check(dropsOf(alice) > before, 'the rejection was not counted');
      await pass(bench, alice);
      checkSame(inbox.messages.length, 0, 'messages received');
    },
  },
  {
    name: 'an empty message is a message',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      checkSame((await deliver(bench, alice, addrOf(bob), EMPTY_BYTES, inbox)).payload.length, 0, 'payload bytes');
    },
  },
  {
    name: 'a swarm can send to itself',
    swarms: 1,
    body: async (bench) => {
      const [alice] = bench.net.swarms as readonly [Swarm<Addr>];
      const inbox = new Inbox(alice);
      const message = await deliver(bench, alice, addrOf(alice), payloadOf(3), inbox);
      checkSame(message.dst.text, addrOf(alice).text, 'dst');
      await deliver(bench, alice, message.src, payloadOf(4), inbox);
    },
  },
  {
    name: 'a tell to an unused address resolves or rejects with a P2PError, and has no other effect',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const addr = bench.net.unknownAddr?.();
      if (addr === undefined) return;
      const outcome = alice.tell(addr, payloadOf(1), { timeoutMs: 1000 }).catch((error: unknown) => error);
      const error = await within(bench, alice, outcome, 'tell() to nobody');
      check(error === undefined || P2PError.is(error), `tell() to nobody gave ${String(error)}`);
      await deliver(bench, alice, addrOf(bob), payloadOf(2), inbox);
    },
  },
  {
    name: 'the caller may change the payload once tell() has settled',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const wanted = payloadOf(5, 100);
      for (let sends = 0; sends < 60 && inbox.find(wanted) === undefined; sends++) {
        const payload = copyBytes(wanted);
        const told = alice.tell(addrOf(bob), payload);
        // The shared promise means that the payload is free already, on the next line.
        const again = alice.tell(addrOf(bob), payloadOf(6));
        if (told === again) payload.fill(0xee);
        else {
          await bench.run(told);
          payload.fill(0xee);
        }
        await bench.run(again);
        await pass(bench, alice);
      }
      check(inbox.find(wanted) !== undefined, 'the message arrived with bytes that were written after tell() settled');
      check(inbox.find(new Uint8Array(100).fill(0xee)) === undefined, 'a message shows what was written afterwards');
    },
  },
  {
    name: 'a Node Buffer and a view into a larger buffer are sent as the bytes they contain',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const large = payloadOf(7, 64);
      await deliver(bench, alice, addrOf(bob), large.subarray(10, 30), inbox);
    },
  },
  {
    name: 'a received payload is a plain Uint8Array that does not change afterwards',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const { payload } = await deliver(bench, alice, addrOf(bob), payloadOf(8), inbox);
      checkSame(Object.getPrototypeOf(payload), Uint8Array.prototype, 'prototype of the payload');
      check(payload.buffer instanceof ArrayBuffer, 'the payload is not over a plain ArrayBuffer');
      for (let i = 100; i < 150; i++) await bench.run(alice.tell(addrOf(bob), payloadOf(i)));
      await pass(bench, alice);
      checkBytes(payload, payloadOf(8), 'payload after 50 further messages');
      payload.fill(0);
      await deliver(bench, alice, addrOf(bob), payloadOf(8).fill(9), inbox);
    },
  },
  {
    name: 'misuse of tell() throws at once, and loses no message',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const dst = addrOf(bob);
      for (const wrong of [undefined, null, 'text', 7, [1, 2], new ArrayBuffer(4), new Uint16Array(2)]) {
        // @ts-expect-error not bytes
        checkThrows(() => alice.tell(dst, wrong), TypeError, 'tell() without bytes');
      }
      for (const wrong of [undefined, null, 7, {}]) {
        // @ts-expect-error not an address
        checkThrows(() => alice.tell(wrong, payloadOf(1)), TypeError, 'tell() without an address');
      }
      checkThrows(() => alice.tell({ text: 'elsewhere' }, payloadOf(1)), TypeError, 'tell() to a foreign address');
      checkThrows(() => alice.tell(dst, payloadOf(1), { timeoutMs: -1 }), RangeError, 'tell() with timeoutMs -1');
      checkThrows(
        () => alice.tell(dst, payloadOf(1), { timeoutMs: Number.NaN }),
        TypeError,
        'tell() with timeoutMs NaN',
      );
      await pass(bench, alice);
      checkSame(inbox.messages.length, 0, 'messages received');
      await deliver(bench, alice, dst, payloadOf(2), inbox);
    },
  },
  {
    name: 'an aborted signal rejects tell() with its reason, unchanged, and nothing is sent',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const reason = new Error('given up');
      const told = alice.tell(addrOf(bob), payloadOf(1), { signal: AbortSignal.abort(reason) });
      checkSame(await rejectionOf(bench, alice, told, 'tell() with an aborted signal'), reason, 'reason');
      await pass(bench, alice);
      checkSame(inbox.messages.length, 0, 'messages received');
    },
  },
  {
    name: 'a rejection of tell() that is not caught is not reported as unhandled',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const unhandled: unknown[] = [];
      const stop = watchUnhandled((reason) => unhandled.push(reason));
      try {
        void alice.tell(addrOf(bob), new Uint8Array(alice.mtu(addrOf(bob)) + 1));
        void alice.tell(addrOf(bob), payloadOf(1), { signal: AbortSignal.abort(new Error('given up')) });
        await pass(bench, alice);
      } finally {
        stop();
      }
      checkSame(unhandled.length, 0, 'unhandled rejections');
    },
  },
  {
    name: 'many messages pass without anything growing',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const { manyMessages, lossy } = bench.features;
      let received = 0;
      bob.listen(() => void received++);
      for (let i = 0; i < manyMessages; i++) {
        void alice.tell(addrOf(bob), payloadOf(i));
        if (i % 50 === 49) await bench.run(alice.drain());
        if (i % 50 === 49 && !lossy)
          await within(
            bench,
            alice,
            turns(() => received > i - 50),
            'messages on their way',
          );
      }
      await pass(bench, alice);
      if (lossy) check(received > manyMessages / 4, `only ${received} of ${manyMessages} messages arrived`);
      else checkSame(received, manyMessages, 'messages received');
    },
  },
];

/** Resolves when `test` is true; checks it in every turn of the event loop. */
async function turns(test: () => boolean): Promise<void> {
  while (!test()) await new Promise<void>((resolve) => nextTurn(resolve));
}

/** Reports unhandled rejections, on platforms that support it. */
function watchUnhandled(report: (reason: unknown) => void): () => void {
  const host: unknown = Reflect.get(globalThis, 'process');
  if (typeof host !== 'object' || host === null || !('on' in host) || !('off' in host)) return () => {};
  const { on, off } = host;
  if (typeof on !== 'function' || typeof off !== 'function') return () => {};
  on.call(host, 'unhandledRejection', report);
  return () => off.call(host, 'unhandledRejection', report);
}
