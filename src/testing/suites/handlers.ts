/** Tests of handlers: when they are called, how many may be pending, and the effect of their errors. */

import type { Addr } from '../../core/addr.ts';
import type { Swarm } from '../../core/swarm.ts';
import {
  type Bench,
  Inbox,
  type SuiteTest,
  addrOf,
  check,
  checkSame,
  checkThrows,
  deliver,
  dropsInStack,
  pass,
  payloadOf,
  within,
} from './suite.ts';

type Pair = readonly [Swarm<Addr>, Swarm<Addr>];

/** Sends tells until `test` is true: once on a reliable link, several times on a lossy one. */
async function tellUntil(bench: Bench<Swarm<Addr>>, from: Swarm<Addr>, dst: Addr, test: () => boolean): Promise<void> {
  for (let sends = 0; sends < 60 && !test(); sends++) {
    await bench.run(from.tell(dst, payloadOf(sends)));
    await pass(bench, from);
  }
  check(test(), 'what 60 messages should have brought about did not happen');
}

/** Part of `swarmSuite`. */
export const handlerTests: readonly SuiteTest<Swarm<Addr>>[] = [
  {
    name: 'a second listen() is a TypeError; after disposal the slot is free again',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const first = bob.listen(() => {});
      checkThrows(() => bob.listen(() => {}), TypeError, 'second listen()');
      first[Symbol.dispose]();
      const inbox = new Inbox(bob);
      first[Symbol.dispose]();
      await deliver(bench, alice, addrOf(bob), payloadOf(1), inbox);
      // @ts-expect-error not a function
      checkThrows(() => alice.listen(undefined), TypeError, 'listen(undefined)');
    },
  },
  {
    name: 'a detached handler gets no further message',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let calls = 0;
      const listening = bob.listen(() => void calls++);
      await tellUntil(bench, alice, addrOf(bob), () => calls > 0);
      await pass(bench, alice);
      listening[Symbol.dispose]();
      const before = calls;
      await bench.run(alice.tell(addrOf(bob), payloadOf(2)));
      await pass(bench, alice);
      checkSame(calls, before, 'calls after disposal');
    },
  },
  {
    name: 'no handler runs synchronously inside a call by the user',
    swarms: 1,
    body: async (bench) => {
      const [alice] = bench.net.swarms as readonly [Swarm<Addr>];
      let inside = '';
      let violation = '';
      let calls = 0;
      const handler = (): void => {
        calls++;
        if (inside !== '') violation = inside;
      };
      const during = <T>(what: string, call: () => T): T => {
        inside = what;
        const result = call();
        inside = '';
        return result;
      };
      const listening = during('listen()', () => alice.listen(handler));
      for (let i = 0; i < 60 && calls < 2; i++) {
        await bench.run(during('tell()', () => alice.tell(addrOf(alice), payloadOf(i))));
        void during('drain()', () => alice.drain());
        during('mtu()', () => alice.mtu(addrOf(alice)));
        await pass(bench, alice);
      }
      during('dispose', () => listening[Symbol.dispose]());
      check(calls > 1, 'no message arrived');
      checkSame(violation, '', 'call inside which the handler ran');
    },
  },
  {
    name: 'a handler is called again before its earlier promises settle',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let calls = 0;
      const { promise, resolve } = Promise.withResolvers<void>();
      bob.listen(() => {
        calls++;
        return promise;
      });
      await tellUntil(bench, alice, addrOf(bob), () => calls >= 2);
      resolve();
    },
  },
  {
    name: 'pending handlers are bounded, and further messages are dropped or left unread until the handlers settle',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const { maxPendingMessages: limit, lossy, flowControlled } = bench.features;
      let calls = 0;
      const { promise, resolve } = Promise.withResolvers<void>();
      bob.listen(() => {
        calls++;
        return promise;
      });
      const sends = (limit + 50) * (lossy ? 3 : 1);
      for (let i = 0; i < sends; i++) {
        // On a flow-controlled link tell() may wait for room, which becomes available only later.
        const told = alice.tell(addrOf(bob), payloadOf(i));
        if (!flowControlled && i % 20 === 19) await bench.run(told);
        if (i % 20 === 19) await pass(bench, alice, 1);
      }
      await pass(bench, alice);
      check(calls <= limit, `${calls} handlers are pending, ${limit} are allowed`);
      if (!lossy) checkSame(calls, limit, 'pending handlers');
      if (!flowControlled) check(dropsInStack(bob, 'queue_full') > 0, 'queue_full was not counted');
      resolve();
      await pass(bench, alice);
      if (flowControlled) checkSame(calls, sends, 'messages after the handlers settled');
      const before = calls;
      await tellUntil(bench, alice, addrOf(bob), () => calls > before);
    },
  },
  {
    name: 'without a handler messages are dropped as no_handler, or left unread on a flow-controlled link',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const { flowControlled, lossy } = bench.features;
      const dropped = (): number => dropsInStack(bob, 'no_handler');
      for (let sends = 0; sends < (lossy ? 60 : 1) && dropped() === 0; sends++) {
        await bench.run(alice.tell(addrOf(bob), payloadOf(1)));
        await pass(bench, alice);
      }
      const inbox = new Inbox(bob);
      if (flowControlled) {
        await within(
          bench,
          alice,
          inbox.until(() => inbox.find(payloadOf(1)) !== undefined),
          'the unread message',
        );
        return;
      }
      check(dropped() > 0, 'no_handler was not counted');
      await deliver(bench, alice, addrOf(bob), payloadOf(2), inbox);
    },
  },
  {
    name: 'a handler that throws or rejects is counted as handler_error, and affects no other message',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let calls = 0;
      bob.listen(() => {
        calls++;
        if (calls === 1) throw new Error('thrown by the handler');
        return calls === 2 ? Promise.reject(new Error('rejected by the handler')) : undefined;
      });
      await tellUntil(bench, alice, addrOf(bob), () => calls >= 4);
      await pass(bench, alice);
      checkSame(dropsInStack(bob, 'handler_error'), 2, 'handler_error');
    },
  },
  {
    name: 'a handler may tell, detach itself and close its swarm',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(alice);
      const listening = bob.listen(async ({ src, payload }) => {
        await bob.tell(src, payload);
        listening[Symbol.dispose]();
        await bob.drain({ timeoutMs: 1000 }).catch((error: unknown) => error);
        await bob.close();
      });
      for (let sends = 0; sends < 60 && bob.localAddrs().length > 0; sends++) {
        await bench.run(alice.tell(addrOf(bob), payloadOf(1)));
        await pass(bench, alice);
      }
      checkSame((await within(bench, alice, bob.closed, 'closed')).by, 'local', 'closed by');
      if (!bench.features.lossy) check(inbox.messages.length > 0, 'the answer did not arrive');
    },
  },
];
