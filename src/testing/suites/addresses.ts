/** Tests of addresses. */

import type { Addr } from '../../core/addr.ts';
import type { Swarm } from '../../core/swarm.ts';
import {
  type SuiteTest,
  Inbox,
  addrOf,
  check,
  checkRejects,
  checkSame,
  checkThrows,
  deliver,
  payloadOf,
} from './suite.ts';

const GARBAGE = [
  '',
  ' ',
  '@',
  '://',
  'x',
  '-1',
  '1.5',
  '0x10',
  '999999999999999999999',
  '127.0.0.1',
  '[::1]',
  ':1',
  '\u0000',
];

/** Part of `swarmSuite`. */
export const addressTests: readonly SuiteTest<Swarm<Addr>>[] = [
  {
    name: 'localAddrs() has at least one address while open, and all their texts differ',
    body: async ({ net: { swarms } }) => {
      const [alice, bob] = swarms as readonly [Swarm<Addr>, Swarm<Addr>];
      check(alice.localAddrs().length > 0, 'localAddrs() is empty');
      const texts = alice.localAddrs().map(({ text }) => text);
      checkSame(new Set(texts).size, texts.length, 'distinct texts');
      check(addrOf(alice).text !== addrOf(bob).text, 'two swarms have the same first address');
    },
  },
  {
    name: 'parseAddr() reads back every local address, on any swarm of the network, and the text is canonical',
    body: async ({ net: { swarms } }) => {
      for (const swarm of swarms) {
        for (const addr of swarm.localAddrs()) {
          for (const reader of swarms)
            checkSame(reader.parseAddr(addr.text).text, addr.text, 'text of the parsed address');
        }
      }
    },
  },
  {
    name: 'an address shows its text, and cannot be changed',
    body: async ({ net: { swarms } }) => {
      const [alice] = swarms as readonly [Swarm<Addr>];
      for (const addr of [addrOf(alice), alice.parseAddr(addrOf(alice).text)]) {
        checkSame(String(addr), addr.text, 'String(addr)');
        const { text } = addr;
        Reflect.set(addr, 'text', 'changed');
        checkSame(addr.text, text, 'text after an attempt to change it');
      }
    },
  },
  {
    name: 'parseAddr() throws a TypeError for a text that is not an address',
    body: async ({ net: { swarms } }) => {
      const [alice] = swarms as readonly [Swarm<Addr>];
      const { text } = addrOf(alice);
      for (const garbage of [...GARBAGE, ` ${text}`, `${text} `, `${text}\n`]) {
        checkThrows(() => alice.parseAddr(garbage), TypeError, `parseAddr(${JSON.stringify(garbage)})`);
      }
      // @ts-expect-error not a string
      checkThrows(() => alice.parseAddr(undefined), TypeError, 'parseAddr(undefined)');
    },
  },
  {
    name: 'addr is the first of localAddrs()',
    body: async ({ net: { swarms } }) => {
      for (const swarm of swarms) checkSame(swarm.addr.text, swarm.localAddrs()[0]?.text, 'text of addr');
    },
  },
  {
    name: 'tryParseAddr() parses what parseAddr() parses, and returns undefined for other text',
    body: async ({ net: { swarms } }) => {
      const [alice, bob] = swarms as readonly [Swarm<Addr>, Swarm<Addr>];
      const { text } = addrOf(bob);
      checkSame(alice.tryParseAddr(text)?.text, text, 'text of the parsed address');
      for (const garbage of [...GARBAGE, ` ${text}`, `${text} `, `${text}\n`]) {
        checkSame(alice.tryParseAddr(garbage), undefined, `tryParseAddr(${JSON.stringify(garbage)})`);
      }
      // @ts-expect-error not a string
      checkSame(alice.tryParseAddr(undefined), undefined, 'tryParseAddr(undefined)');
    },
  },
  {
    name: 'tell() and mtu() accept the text of an address, and tell() rejects an invalid text with unreachable',
    body: async (bench) => {
      const [alice, bob] = bench.net.swarms as readonly [Swarm<Addr>, Swarm<Addr>];
      const inbox = new Inbox(bob);
      const dst = addrOf(bob);
      await deliver(bench, alice, dst, payloadOf(1), inbox);
      await deliver(bench, alice, dst.text, payloadOf(2), inbox);
      checkSame(alice.mtu(dst.text), alice.mtu(dst), 'mtu() of the text');
      checkThrows(() => alice.mtu(''), TypeError, 'mtu() of a text that is no address');
      const { drops } = alice.counters;
      const dropped = (): number => [...drops.values()].reduce((sum, count) => sum + count, 0);
      const before = dropped();
      const error = await checkRejects(
        bench,
        alice,
        alice.tell('', payloadOf(3)),
        'unreachable',
        'tell() to no address',
      );
      checkSame(error.sent, 'no', 'sent');
      check(dropped() > before, 'tell() to a text that is no address was not counted');
    },
  },
];
