/** The native compare-and-set of newer servers, and what is said when a package is missing. The real server of `interop/cells.test.ts` has scripts only. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { loadPackage } from '../../src/cells/optional-package.ts';
import { openRedisCells } from '../../src/cells/redis.ts';
import { P2PError } from '../../src/core/errors.ts';
import { cellSuite } from '../../src/testing/suites/cells.ts';

/** The commands of a server with `SET … IFEQ` (Redis 8.4, Valkey 8.1), as far as cells use them. `EVAL` is that of the cells' script. */
class SmallRedis implements AsyncDisposable {
  readonly #values = new Map<string, string>();
  readonly asked: string[] = [];
  readonly #isOld: boolean;
  readonly #server = createServer((socket) => {
    let input = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      input += chunk.toString('latin1');
      for (let next = parse(input); next !== undefined; next = parse(input)) {
        input = next.rest;
        socket.write(Buffer.from(this.#answer(next.args), 'latin1'));
      }
    });
  });

  constructor(isOld: boolean) {
    this.#isOld = isOld;
  }

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer(args: readonly string[]): string {
    const [command = '', ...rest] = args;
    this.asked.push([command, ...rest.filter((each) => /^(NX|IFEQ|GET|PX)$/.test(each))].join(' '));
    switch (command.toUpperCase()) {
      case 'HELLO':
        return '%1\r\n$5\r\nproto\r\n:3\r\n';
      case 'GET':
        return bulk(this.#values.get(rest[0]!));
      case 'SET':
        return this.#set(rest);
      case 'EVAL': {
        const [, , key = '', expected = '', next = ''] = rest;
        const now = this.#values.get(key) ?? '';
        if (now !== expected) return `*2\r\n:0\r\n${bulk(now)}`;
        if (next === '') this.#values.delete(key);
        else this.#values.set(key, next);
        return `*2\r\n:1\r\n${bulk(next)}`;
      }
      default:
        return '+OK\r\n';
    }
  }

  #set([key = '', value = '', condition, ...more]: readonly string[]): string {
    if (this.#isOld && condition === 'IFEQ') return '-ERR syntax error\r\n';
    const before = this.#values.get(key);
    const expected = condition === 'IFEQ' ? more[0] : undefined;
    if (before === expected) this.#values.set(key, value);
    return bulk(before);
  }
}

const bulk = (value: string | undefined): string =>
  value === undefined ? '_\r\n' : `$${value.length}\r\n${value}\r\n`;

/** One command of RESP; `undefined` when it is not whole. */
function parse(input: string): { readonly args: readonly string[]; readonly rest: string } | undefined {
  const [head = '', count = '0'] = /^\*(\d+)\r\n/.exec(input) ?? [];
  if (head === '') return undefined;
  let at = head.length;
  const args: string[] = [];
  for (let i = 0; i < Number(count); i++) {
    const [line = '', length = ''] = /^\$(\d+)\r\n/.exec(input.slice(at)) ?? [];
    if (line === '' || input.length < at + line.length + Number(length) + 2) return undefined;
    args.push(input.slice(at + line.length, at + line.length + Number(length)));
    at += line.length + Number(length) + 2;
  }
  return { args, rest: input.slice(at) };
}

for (const [name, isOld] of [
  ['native compare-and-set', false],
  ['a server that does not know it', true],
] as const) {
  cellSuite({ describe, it }, name, {
    make: async (n) => {
      const server = new SmallRedis(isOld);
      const url = await server.open();
      const stores = await Promise.all(Array.from({ length: n }, () => openRedisCells(url)));
      return {
        cells: stores.map((store) => store.cell('a')),
        other: stores[0]!.cell('b'),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(stores.map((store) => store.close()));
          await server[Symbol.asyncDispose]();
        },
      };
    },
    manyCalls: 10,
  });
}

describe('cells in Redis', () => {
  it('swap by SET with IFEQ, fill an empty cell by NX, and set their time', async () => {
    await using server = new SmallRedis(false);
    await using store = await openRedisCells(await server.open(), { expireMs: 60_000 });
    await store.cas('a', new Uint8Array(0), encodeText('1'));
    await store.cas('a', encodeText('1'), encodeText('2'));
    assert.deepEqual(
      server.asked.filter((each) => /^(SET|EVAL)/.test(each)),
      ['SET NX GET PX', 'SET IFEQ GET PX'],
    );
  });

  it('ask an older server once, and then use the script', async () => {
    await using server = new SmallRedis(true);
    await using store = await openRedisCells(await server.open());
    for (let i = 0; i < 3; i++) await store.cas('a', encodeText(`${i}`), encodeText(`${i + 1}`));
    assert.deepEqual(
      server.asked.filter((each) => /^(SET|EVAL)/.test(each)),
      ['SET IFEQ GET', 'EVAL', 'EVAL', 'EVAL'],
    );
  });

  it('stay with what they were told, also where the server does not know it', async () => {
    await using server = new SmallRedis(true);
    await using store = await openRedisCells(await server.open(), { compare: 'native' });
    await assert.rejects(
      store.cas('a', encodeText('1'), encodeText('2')),
      (error) => P2PError.is(error, 'unreachable') && error.sent === 'no',
    );
  });

  it('say what to install when a package is missing', async () => {
    await assert.rejects(loadPackage('@shoal/no-such-package', 'some-package@1'), {
      code: 'unsupported',
      message: 'Cannot load @shoal/no-such-package: run `npm install some-package@1`, or use another store',
    });
  });
});
