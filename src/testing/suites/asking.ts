/** Tests of asks. */

import { type Addr, peerIdOf } from '../../core/addr.ts';
import type { AskSwarm } from '../../core/ask.ts';
import { type Bytes, EMPTY_BYTES, copyBytes, encodeText } from '../../base/bytes.ts';
import { P2PError, Refusal } from '../../core/errors.ts';
import type { AskHandler, Request } from '../../core/message.ts';
import { connectionsOf } from '../../sessions/connections.ts';
import {
  type Bench,
  type SuiteTest,
  addrOf,
  check,
  checkBytes,
  checkRejects,
  checkSame,
  checkThrows,
  pass,
  payloadOf,
  rejectionOf,
  within,
} from './suite.ts';

type Pair = readonly [AskSwarm<Addr>, AskSwarm<Addr>];
type AskBench = Bench<AskSwarm<Addr>>;

const echo: AskHandler<Addr> = ({ payload }) => payload;

/**
 * Asks until there is an answer or a failure other than `timeout`: once on a reliable link, several times on a lossy
 * one.
 */
async function askOf(bench: AskBench, from: AskSwarm<Addr>, dst: Addr | string, request: Uint8Array): Promise<Bytes> {
  const attempts = bench.features.lossy ? 40 : 1;
  for (let attempt = 1; ; attempt++) {
    try {
      const options = bench.features.lossy ? { timeoutMs: 5000 } : {};
      return await bench.run(from.ask(dst, request, options));
    } catch (error) {
      if (attempt >= attempts || !P2PError.is(error, 'timeout')) throw error;
    }
  }
}

/** The failure of an ask: on a lossy link the first that is not `timeout`. */
async function refusalOf(bench: AskBench, from: AskSwarm<Addr>, dst: Addr, what: string): Promise<P2PError> {
  return checkRejects(bench, from, askOf(bench, from, dst, payloadOf(1)), 'refused', what);
}

/** Part of `askSuite`. */
export const askingTests: readonly SuiteTest<AskSwarm<Addr>>[] = [
  {
    name: 'ask() brings the request, with the address asked as dst, and the answer back',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let seen: Request<Addr> | undefined;
      bob.serve((request) => {
        seen = request;
        return encodeText('pong');
      });
      checkBytes(await askOf(bench, alice, addrOf(bob), encodeText('ping')), encodeText('pong'), 'answer');
      check(seen !== undefined, 'the handler was not called');
      checkBytes(seen.payload, encodeText('ping'), 'request');
      checkSame(seen.dst.text, addrOf(bob).text, 'dst');
      check(seen.signal instanceof AbortSignal, 'signal is not an AbortSignal');
      alice.serve(echo);
      checkBytes(await askOf(bench, bob, seen.src, payloadOf(2)), payloadOf(2), 'answer from src');
    },
  },
  {
    name: 'a spread copy of a request has its src, dst, payload and signal',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let seen: Request<Addr> | undefined;
      let copy: Partial<Request<Addr>> | undefined;
      bob.serve((request) => {
        seen = request;
        copy = { ...request };
        return EMPTY_BYTES;
      });
      await askOf(bench, alice, addrOf(bob), payloadOf(1));
      for (const property of ['src', 'dst', 'payload', 'signal'] as const)
        checkSame(copy?.[property], seen?.[property], `${property} of the copy`);
      check(copy?.signal instanceof AbortSignal, 'the copy has no signal');
    },
  },
  {
    name: 'asks go between all ordered pairs, several rounds',
    swarms: ({ manySwarms }) => manySwarms,
    body: async (bench) => {
      const { swarms } = bench.net;
      for (const swarm of swarms) swarm.serve(echo);
      for (let round = 0; round < 3; round++) {
        for (const [i, from] of swarms.entries()) {
          for (const [j, to] of swarms.entries()) {
            const request = payloadOf(10_000 * round + 100 * i + j);
            checkBytes(await askOf(bench, from, addrOf(to), request), request, `answer of ${j} to ${i}`);
          }
        }
      }
    },
  },
  {
    name: '200 asks in flight at once get their own answers',
    skip: ({ maxPendingMessages }) => (maxPendingMessages < 200 ? 'fewer than 200 may pend' : undefined),
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      bob.serve(async ({ payload }) => {
        await Promise.resolve();
        return payload;
      });
      const asks = Array.from({ length: 200 }, (_, i) => askOf(bench, alice, addrOf(bob), payloadOf(i)));
      for (const [i, answer] of (await bench.run(Promise.all(asks))).entries())
        checkBytes(answer, payloadOf(i), `answer ${i}`);
    },
  },
  {
    name: 'empty requests and empty answers are fine',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      bob.serve(() => EMPTY_BYTES);
      checkSame((await askOf(bench, alice, addrOf(bob), EMPTY_BYTES)).length, 0, 'answer bytes');
    },
  },
  {
    name: 'a swarm can ask itself',
    swarms: 1,
    body: async (bench) => {
      const [alice] = bench.net.swarms as readonly [AskSwarm<Addr>];
      alice.serve(echo);
      checkBytes(await askOf(bench, alice, addrOf(alice), payloadOf(1)), payloadOf(1), 'answer');
    },
  },
  {
    name: 'a Refusal, any other throw, a wrong return value and a missing handler are all refused, and nothing leaks',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      await refusalOf(bench, alice, addrOf(bob), 'ask() without a handler');
      let behaviour: AskHandler<Addr> = echo;
      bob.serve((request) => behaviour(request));
      const secret = 'a secret of the server';
      const behaviours: readonly AskHandler<Addr>[] = [
        () => {
          throw new Refusal(secret);
        },
        () => Promise.reject(new Refusal(secret)),
        () => {
          throw new Error(secret);
        },
        () => Promise.reject(new Error(secret)),
        () => undefined as unknown as Uint8Array,
        () => secret as unknown as Uint8Array,
      ];
      for (const [i, each] of behaviours.entries()) {
        behaviour = each;
        const error = await refusalOf(bench, alice, addrOf(bob), `ask() with behaviour ${i}`);
        checkSame(error.side, 'remote', 'side');
        const { cause } = error;
        const told = `${error.message} ${cause instanceof Error ? cause.message : ''}`;
        check(!told.includes(secret), 'the text of the server’s error reached the asker');
      }
      behaviour = echo;
      checkBytes(await askOf(bench, alice, addrOf(bob), payloadOf(9)), payloadOf(9), 'answer after refusals');
    },
  },
  {
    name: 'a second serve() is a TypeError; after disposal the slot is free again',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const first = bob.serve(echo);
      checkThrows(() => bob.serve(echo), TypeError, 'second serve()');
      // @ts-expect-error not a function
      checkThrows(() => alice.serve(7), TypeError, 'serve(7)');
      first[Symbol.dispose]();
      await refusalOf(bench, alice, addrOf(bob), 'ask() after disposal');
      bob.serve(() => encodeText('second'));
      checkBytes(await askOf(bench, alice, addrOf(bob), payloadOf(1)), encodeText('second'), 'answer');
    },
  },
  {
    name: 'ask() takes exactly maxRequestBytes(dst), and rejects one more with mtu_exceeded and nothing sent',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let served = 0;
      bob.serve(({ payload }) => {
        served++;
        return payload.subarray(0, 1);
      });
      await askOf(bench, alice, addrOf(bob), payloadOf(1));
      const limit = alice.maxRequestBytes(addrOf(bob));
      await askOf(bench, alice, addrOf(bob), payloadOf(2, Math.min(limit, bench.features.maxTriedBytes)));
      const before = served;
      const asked = alice.ask(addrOf(bob), payloadOf(3, limit + 1));
      const error = await checkRejects(bench, alice, asked, 'mtu_exceeded', 'ask() of maxRequestBytes + 1');
      checkSame(error.sent, 'no', 'sent');
      await pass(bench, alice);
      checkSame(served, before, 'requests served');
    },
  },
  {
    name: 'an answer larger than maxResponseBytes gives limit_exceeded; one of that size is accepted',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      bob.serve(() => payloadOf(1, 100));
      const ask = async (maxResponseBytes: number): Promise<Bytes> => {
        for (let attempt = 0; ; attempt++) {
          try {
            return await bench.run(alice.ask(addrOf(bob), payloadOf(1), { maxResponseBytes, timeoutMs: 5000 }));
          } catch (error) {
            if (!bench.features.lossy || attempt > 40 || !P2PError.is(error, 'timeout')) throw error;
          }
        }
      };
      checkSame((await ask(100)).length, 100, 'answer bytes');
      await checkRejects(bench, alice, ask(99), 'limit_exceeded', 'ask() with maxResponseBytes 99');
      checkThrows(
        () => alice.ask(addrOf(bob), payloadOf(1), { maxResponseBytes: -1 }),
        RangeError,
        'maxResponseBytes -1',
      );
    },
  },
  {
    name: 'an ask to an unused address fails with a P2PError by the deadline',
    body: async (bench) => {
      const [alice] = bench.net.swarms as Pair;
      const addr = bench.net.unknownAddr?.();
      if (addr === undefined) return;
      const asked = alice.ask(addr, payloadOf(1), { timeoutMs: 1000 });
      await checkRejects(bench, alice, asked, ['unreachable', 'timeout', 'not_found'], 'ask() of nobody');
    },
  },
  {
    name: 'timeoutMs applies on both sides: the asker gets timeout, and the handler’s signal is aborted',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let signal: AbortSignal | undefined;
      bob.serve((request) => {
        signal ??= request.signal;
        return new Promise(() => {});
      });
      const before = alice.realm.nowMs();
      await checkRejects(bench, alice, alice.ask(addrOf(bob), payloadOf(1), { timeoutMs: 3000 }), 'timeout', 'ask()');
      const tookMs = alice.realm.nowMs() - before;
      check(tookMs >= 2999 && tookMs < 6000, `a deadline of 3000 ms took ${tookMs} ms`);
      for (let i = 0; bench.features.lossy && signal === undefined && i < 40; i++) {
        await rejectionOf(bench, alice, alice.ask(addrOf(bob), payloadOf(1), { timeoutMs: 1000 }), 'ask()');
      }
      await pass(bench, alice, 1000);
      check(signal?.aborted === true, 'request.signal did not fire');
    },
  },
  {
    name: 'an aborted signal rejects ask() with its reason, unchanged, before and during',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let served = 0;
      bob.serve(() => {
        served++;
        return new Promise(() => {});
      });
      const reason = new Error('given up');
      const early = alice.ask(addrOf(bob), payloadOf(1), { signal: AbortSignal.abort(reason) });
      checkSame(await rejectionOf(bench, alice, early, 'ask() with an aborted signal'), reason, 'reason');
      await pass(bench, alice);
      checkSame(served, 0, 'requests served');
      const controller = new AbortController();
      const asked = alice.ask(addrOf(bob), payloadOf(1), { signal: controller.signal });
      const outcome = asked.catch((error: unknown) => error);
      await pass(bench, alice);
      controller.abort(reason);
      checkSame(await within(bench, alice, outcome, 'ask() after abort'), reason, 'reason');
    },
  },
  {
    name: 'close() rejects pending asks with closed, and aborts the signals of requests being served',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      let signal: AbortSignal | undefined;
      const { promise: served, resolve: onServed } = Promise.withResolvers<void>();
      bob.serve((request) => {
        signal ??= request.signal;
        onServed();
        return new Promise(() => {});
      });
      const asks = Array.from({ length: 20 }, () =>
        alice.ask(addrOf(bob), payloadOf(1)).catch((error: unknown) => error),
      );
      await within(bench, alice, served, 'the first of 20 requests');
      await bench.run(alice.close());
      for (const error of await within(bench, bob, Promise.all(asks), 'asks')) {
        check(P2PError.is(error, 'closed'), `an ask ended with ${String(error)}`);
      }
      await bench.run(bob.close());
      check(signal?.aborted === true, 'request.signal did not fire');
    },
  },
  {
    name: 'the caller may change the request once ask() has settled, and the answer is a plain Uint8Array',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const kept: Bytes[] = [];
      const answer = payloadOf(7, 40);
      bob.serve(({ payload }) => {
        kept.push(payload);
        return answer;
      });
      const request = copyBytes(payloadOf(3, 40));
      const first = await askOf(bench, alice, addrOf(bob), request);
      request.fill(0);
      first.fill(0);
      checkBytes(kept[0]!, payloadOf(3, 40), 'request kept by the handler');
      checkSame(Object.getPrototypeOf(first), Uint8Array.prototype, 'prototype of the answer');
      checkSame(Object.getPrototypeOf(kept[0]), Uint8Array.prototype, 'prototype of the request');
      checkBytes(await askOf(bench, alice, addrOf(bob), payloadOf(4)), payloadOf(7, 40), 'second answer');
    },
  },
  {
    name: 'a handler may ask its source before it answers',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      alice.serve(({ payload }) => payload);
      bob.serve(({ src, payload }) => askOf(bench, bob, src, payload));
      checkBytes(await askOf(bench, alice, addrOf(bob), payloadOf(6)), payloadOf(6), 'answer');
      let answered: Bytes | undefined;
      bob.listen(async ({ src, payload }) => {
        answered ??= await askOf(bench, bob, src, payload);
      });
      for (let sends = 0; sends < 60 && answered === undefined; sends++) {
        await bench.run(alice.tell(addrOf(bob), payloadOf(8)));
        await pass(bench, alice, 2000);
      }
      check(answered !== undefined, 'an ask from inside a tell handler got no answer');
    },
  },
  {
    name: 'ask() accepts the text of an address, and rejects an invalid text with unreachable',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      bob.serve(echo);
      const dst = addrOf(bob);
      await askOf(bench, alice, dst, payloadOf(1));
      checkSame(alice.maxRequestBytes(dst.text), alice.maxRequestBytes(dst), 'maxRequestBytes() of the text');
      const answer = await askOf(bench, alice, dst.text, payloadOf(2));
      checkBytes(answer, payloadOf(2), 'answer');
      const error = await checkRejects(bench, alice, alice.ask('', payloadOf(1)), 'unreachable', 'ask() of no address');
      checkSame(error.sent, 'no', 'sent');
    },
  },
  {
    name: 'asks and tells right after disconnect() dial again, where the swarm has connections',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const peer = peerIdOf(addrOf(bob));
      const connections = connectionsOf(alice);
      if (connections === undefined || peer === undefined) return;
      let told = 0;
      bob.serve(echo);
      bob.listen(() => void told++);
      for (let round = 0; round < 3; round++) {
        await askOf(bench, alice, addrOf(bob), payloadOf(round));
        check(connections.disconnect(peer), 'disconnect() found no connection');
        const telling = alice.tell(addrOf(bob), payloadOf(round));
        checkBytes(await askOf(bench, alice, addrOf(bob), payloadOf(round)), payloadOf(round), 'answer');
        await bench.run(telling);
      }
      await pass(bench, alice);
      if (!bench.features.lossy) checkSame(told, 3, 'tells that came');
    },
  },
  {
    name: 'misuse of ask() throws at once',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      bob.serve(echo);
      // @ts-expect-error not bytes
      checkThrows(() => alice.ask(addrOf(bob), 'text'), TypeError, 'ask() without bytes');
      // @ts-expect-error not an address
      checkThrows(() => alice.ask(undefined, payloadOf(1)), TypeError, 'ask() without an address');
      checkThrows(() => alice.ask({ text: 'elsewhere' }, payloadOf(1)), TypeError, 'ask() of a foreign address');
      checkThrows(() => alice.ask(addrOf(bob), payloadOf(1), { timeoutMs: -1 }), RangeError, 'ask() with timeoutMs -1');
      await askOf(bench, alice, addrOf(bob), payloadOf(1));
    },
  },
  {
    name: 'requests beyond the bound are refused, not queued',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as Pair;
      const { maxPendingMessages, lossy } = bench.features;
      let inHand = 0;
      const { promise, resolve } = Promise.withResolvers<void>();
      bob.serve(async () => {
        inHand++;
        await promise;
        return EMPTY_BYTES;
      });
      const refused: unknown[] = [];
      const count = maxPendingMessages + 40;
      const asks = Array.from({ length: count }, () =>
        alice.ask(addrOf(bob), payloadOf(1), { timeoutMs: 60_000 }).catch((error: unknown) => refused.push(error)),
      );
      await pass(bench, alice, lossy ? 8000 : 1000);
      check(inHand <= maxPendingMessages, `${inHand} requests are in hand, ${maxPendingMessages} are allowed`);
      if (!lossy) check(refused.length >= 40, `only ${refused.length} of 40 surplus requests were refused`);
      check(
        refused.every((error) => P2PError.is(error, 'refused') || P2PError.is(error, 'limit_exceeded')),
        'another error',
      );
      resolve();
      await bench.run(Promise.all(asks));
    },
  },
];
