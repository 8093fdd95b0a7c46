/** Tests about addresses. */

import { type Addr } from '../../core/addr.ts';
import { type Swarm } from '../../core/swarm.ts';
import { type SuiteTest, addrOf, check, checkSame, checkThrows } from './suite.ts';

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
    name: 'parseAddr() throws a TypeError for what is no address',
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
];
