/** Tests of closing, and of counters and inspection. */

import type { Addr } from '../../core/addr.ts';
import { canAsk } from '../../core/ask.ts';
import type { Counters } from '../../core/counters.ts';
import { inspect } from '../../core/inspect.ts';
import { isSecure } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import {
  Inbox,
  dropsInStack,
  type SuiteTest,
  addrOf,
  check,
  checkRejects,
  checkSame,
  deliver,
  pass,
  payloadOf,
  within,
} from './suite.ts';

type Pair = readonly [Swarm<Addr>, Swarm<Addr>];

/** The contract's limit of `close()`, plus time for the event loop of a busy machine. */
const CLOSE_MS = 1500;

/** Part of `swarmSuite`. */
export const endingTests: readonly SuiteTest<Swarm<Addr>>[] = [
  {
    name: 'close() is idempotent, never rejects, and closed reports the cause',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      await deliver(bench, alice, addrOf(bob), payloadOf(1), inbox);
      const before = alice.realm.nowMs();
      await within(bench, bob, Promise.all([alice.close(), alice.close()]), 'close()');
      check(alice.realm.nowMs() - before <= CLOSE_MS, `close() took ${alice.realm.nowMs() - before} ms`);
      await bench.run(alice.close());
      checkSame((await within(bench, bob, alice.closed, 'closed')).by, 'local', 'closed by');
    },
  },
  {
    name: 'a closed swarm has no addresses, and every call on it rejects with closed',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const dst = addrOf(bob);
      await bench.run(alice.close());
      checkSame(alice.localAddrs().length, 0, 'local addresses');
      const told = await checkRejects(bench, bob, alice.tell(dst, payloadOf(1)), 'closed', 'tell()');
      checkSame(told.sent, 'no', 'sent');
      await checkRejects(bench, bob, alice.drain(), 'closed', 'drain()');
      if (canAsk(alice)) await checkRejects(bench, bob, alice.ask(dst, payloadOf(1)), 'closed', 'ask()');
      if (isSecure(alice)) await checkRejects(bench, bob, alice.lookupPublicKey(dst), 'closed', 'lookupPublicKey()');
    },
  },
  {
    name: 'await using closes',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      await bench.run(alice[Symbol.asyncDispose]() as Promise<void>);
      await checkRejects(bench, bob, alice.tell(addrOf(bob), payloadOf(1)), 'closed', 'tell()');
    },
  },
  {
    name: 'no handler is called once close() has been called',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      await deliver(bench, alice, addrOf(bob), payloadOf(1), inbox);
      for (let i = 0; i < 20; i++) void alice.tell(addrOf(bob), payloadOf(i));
      const before = inbox.messages.length;
      await bench.run(bob.close());
      await pass(bench, alice);
      checkSame(inbox.messages.length, before, 'messages after close()');
    },
  },
  {
    name: 'messages to a closed peer have no effect on others',
    swarms: 3,
    body: async (bench) => {
      const [alice, bob, carol] = bench.net.swarms as readonly [Swarm<Addr>, Swarm<Addr>, Swarm<Addr>];
      const inB = new Inbox(bob);
      const inC = new Inbox(carol);
      const dst = addrOf(bob);
      await deliver(bench, alice, dst, payloadOf(1), inB);
      await bench.run(bob.close());
      for (let i = 0; i < 5; i++) void alice.tell(dst, payloadOf(i), { timeoutMs: 500 });
      await pass(bench, alice, 2000);
      await deliver(bench, alice, addrOf(carol), payloadOf(2), inC);
    },
  },
  {
    name: 'drain() resolves, and the swarm stays usable',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      void alice.tell(addrOf(bob), payloadOf(1));
      await within(bench, alice, alice.drain(), 'drain()');
      await within(bench, alice, alice.drain(), 'drain() of nothing');
      await deliver(bench, alice, addrOf(bob), payloadOf(2), inbox);
    },
  },
  {
    name: 'close() with pending messages, handlers and drains ends within a second and settles them all',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      bob.listen(() => new Promise(() => {}));
      alice.listen(() => new Promise(() => {}));
      for (let i = 0; i < 50; i++) {
        void alice.tell(addrOf(bob), payloadOf(i));
        void bob.tell(addrOf(alice), payloadOf(i));
      }
      const drained = alice.drain().catch((error: unknown) => error);
      const before = alice.realm.nowMs();
      await bench.run(Promise.all([alice.close(), bob.close()]));
      check(alice.realm.nowMs() - before <= CLOSE_MS, `close() took ${alice.realm.nowMs() - before} ms`);
      await within(bench, alice, drained, 'drain() after close()');
    },
  },
  {
    name: 'bytes from the network never throw: whatever arrives, the swarm goes on',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const { inject } = bench.net;
      if (inject === undefined) return;
      const inbox = new Inbox(bob);
      let injected = 0;
      const before = [dropsInStack(bob), dropsInStack(bob, 'handler_error')] as const;
      for (let length = 0; length < 70; length++) {
        for (const garbage of [payloadOf(length, length), new Uint8Array(length).fill(0xff), new Uint8Array(length)]) {
          injected++;
          await bench.run(inject(1, garbage));
        }
      }
      await pass(bench, alice);
      // What was sent after the garbage has arrived, so that a slow machine has seen the garbage, too.
      await deliver(bench, alice, addrOf(bob), payloadOf(5), inbox);
      // Some layers may treat garbage as a message, or as a part that waits for others; a link may lose some of it.
      const known = inbox.messages.length + dropsInStack(bob) - before[0];
      const silent = injected - known;
      check(
        silent < injected / 2,
        `${silent} of ${injected} packets of garbage were neither delivered nor counted as a drop`,
      );
      const thrown = dropsInStack(bob, 'handler_error') - before[1];
      checkSame(thrown, 0, 'handlers of a layer that threw on bytes from the network (handler_error)');
    },
  },
  {
    name: 'counters count what was sent and received, and inner is the layer below',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const inbox = new Inbox(bob);
      const [sent, sentBytes] = [alice.counters.sent, alice.counters.sentBytes];
      await deliver(bench, alice, addrOf(bob), payloadOf(1, 33), inbox);
      check(alice.counters.sent > sent, 'sent did not grow');
      check(alice.counters.sentBytes >= sentBytes + 33, 'sentBytes did not grow by the payload');
      check(bob.counters.received >= 1 && bob.counters.receivedBytes >= 33, 'received did not grow');
      for (let at: Counters | undefined = alice.counters; at !== undefined; at = at.inner) {
        check(/^[a-z0-9_:-]+$/.test(at.layer), `layer name ${at.layer}`);
        check(at.drops instanceof Map, 'drops is not a Map');
      }
    },
  },
  {
    name: 'inspect() returns the stack as plain data',
    swarms: 1,
    body: async (bench) => {
      const [alice] = bench.net.swarms as readonly [Swarm<Addr>];
      const inspection = inspect(alice);
      checkSame(inspection.addrs[0], addrOf(alice).text, 'first address');
      checkSame(inspection.layer, alice.counters.layer, 'layer');
      checkSame(JSON.stringify(JSON.parse(JSON.stringify(inspection))), JSON.stringify(inspection), 'as JSON');
    },
  },
  {
    name: 'the realm has time and randomness',
    swarms: 1,
    body: async (bench) => {
      const [alice] = bench.net.swarms as readonly [Swarm<Addr>];
      const { realm } = alice;
      const before = realm.nowMs();
      await pass(bench, alice, 5);
      check(realm.nowMs() >= before + 5, 'nowMs() did not move on');
      checkSame(realm.random(20).length, 20, 'random bytes');
      check(realm.wallMs() > 0, 'wallMs() is not positive');
    },
  },
];
