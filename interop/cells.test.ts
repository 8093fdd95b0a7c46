/** Cells in real servers of Redis and NATS, also while these are killed; and the traps of both. */

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { decodeText, encodeText } from 'shoal/bytes';
import { P2PError } from 'shoal';
import { apply, type CellStore, openCells, openNatsCells, openRedisCells } from 'shoal/cell';
import { cellSuite } from 'shoal/testing';
import { createTrackerToken, openTracker, openTrackerServer } from 'shoal/tracker';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { KilledWriters } from '../test/real-network/killed-writers.ts';
import { NATS, REDIS, serverMissing, StoreServer, type StoreServerKind } from './store-servers.ts';

const EMPTY = new Uint8Array(0);
/** kill -9 of the server, while three processes write. */
const KILLS = Number(process.env['SHOAL_SERVER_KILLS'] ?? 50);

/** One server for all tests of a suite, with another bucket or other keys for each. */
function suiteOver(name: string, kind: StoreServerKind, open: (url: string) => Promise<CellStore>): void {
  let serving: Promise<StoreServer> | undefined;
  let left = 0;
  let made = 0;
  const count: string[] = [];
  const runner = {
    describe,
    it: (title: string, body: () => Promise<void>) => {
      count.push(title);
      left++;
      it(title, async () => {
        try {
          await body();
        } finally {
          if (--left === 0) await (await serving)?.[Symbol.asyncDispose]();
        }
      });
    },
  };
  cellSuite(runner, name, {
    make: async (n) => {
      serving ??= StoreServer.open(kind);
      const { url } = await serving;
      const stores = await Promise.all(Array.from({ length: n }, () => open(url)));
      const key = `cell-${made++}`;
      return {
        cells: stores.map((store) => store.cell(key)),
        other: stores[0]!.cell(`${key}-other`),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(stores.map((store) => store.close()));
        },
      };
    },
    manyCalls: 20,
  });
}

async function survivesKills(kind: StoreServerKind): Promise<void> {
  await using server = await StoreServer.open(kind);
  await using writers = new KilledWriters(server.url, 'cell');
  await Promise.all(['a', 'b', 'c'].map((name) => writers.start(name)));
  for (let i = 0; i < KILLS; i++) {
    await writers.progress(1 + Math.floor(Math.random() * 20));
    await server.kill();
    await server.start();
  }
  await writers.progress(20);
  await using store = await openCells(server.url);
  await writers.judge(store);
  assert.ok(writers.acknowledged > KILLS);
}

async function servesOneNetwork(kind: StoreServerKind): Promise<void> {
  await using backing = await StoreServer.open(kind);
  await using first = await openTrackerServer({ bind: '127.0.0.1:0', store: backing.url });
  await using second = await openTrackerServer({ bind: '127.0.0.1:0', store: backing.url });
  const token = createTrackerToken(first.url);
  const there = token.text.replace(first.url, second.url);
  const ids = Array.from({ length: 6 }, () => peerIdOfKey(generateKey().publicKey));
  const trackers = ids.map((id, i) => openTracker({ at: i % 2 === 0 ? token.text : there, id, cacheMs: 0 }));
  await Promise.all(trackers.map((tracker, i) => tracker.announce([`tcp://192.0.2.${i}:5000`])));
  for (const tracker of trackers) {
    for (const [i, id] of ids.entries()) {
      const found = (await tracker.lookUp(id)).map(({ addr }) => addr);
      assert.deepEqual(found, tracker === trackers[i] ? [] : [`tcp://192.0.2.${i}:5000`]);
    }
  }
  // A server that ends takes nothing with it.
  await first.close();
  assert.equal((await trackers[1]!.lookUp(ids[0]!)).length, 1);
  await Promise.all(trackers.map((tracker) => tracker.close()));
}

/** A server that is gone is reported at once, and found again when it is back. */
async function comesBack(kind: StoreServerKind): Promise<void> {
  await using server = await StoreServer.open(kind);
  await using store = await openCells(server.url);
  assert.equal((await store.cas('cell', EMPTY, encodeText('a'))).swapped, true);
  await server.kill();
  await assert.rejects(store.cas('cell', encodeText('a'), encodeText('b'), { timeoutMs: 3000 }), (error) =>
    P2PError.is(error),
  );
  await server.start();
  for (;;) {
    const value = await store.get('cell', { timeoutMs: 3000 }).catch(() => undefined);
    if (value === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      continue;
    }
    // What was not acknowledged may have happened.
    assert.match(decodeText(value)!, /^[ab]$/);
    break;
  }
  const { value } = await apply(store.cell('cell'), () => encodeText('c'), { repeatable: true });
  assert.equal(decodeText(value), 'c');
}

/** What a server must not leave behind: it ends by its time. */
async function expires(kind: StoreServerKind, url: (server: StoreServer) => string): Promise<void> {
  await using server = await StoreServer.open(kind);
  await using store = await openCells(url(server), { expireMs: 1000 });
  await store.cas('cell', EMPTY, encodeText('a'));
  assert.equal((await store.get('cell')).length, 1);
  while ((await store.get('cell')).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await store.cas('cell', EMPTY, encodeText('b'))).swapped, true);
}

describe('Redis', { skip: serverMissing(REDIS) }, () => {
  suiteOver('script', REDIS, (url) => openRedisCells(url, { compare: 'script' }));
  suiteOver('whatever the server has', REDIS, (url) => openRedisCells(url));

  it(
    'loses no acknowledged swap, and applies none twice, when it is killed while three processes write',
    { timeout: 300_000 },
    () => survivesKills(REDIS),
  );
  it('serves one network of a tracker through several servers', () => servesOneNetwork(REDIS));
  it('is reported when it is gone, and used again when it is back', { timeout: 60_000 }, () => comesBack(REDIS));
  it('forgets a cell after its time', { timeout: 60_000 }, () => expires(REDIS, (server) => server.url));

  it('is unreachable where no server is, and without its package says what to install', async () => {
    await assert.rejects(openRedisCells('redis://127.0.0.1:1'), (error) => P2PError.is(error, 'unreachable'));
    assert.throws(() => openRedisCells('http://127.0.0.1'), TypeError);
  });

  it('keeps other keys apart, by its prefix', async () => {
    await using server = await StoreServer.open(REDIS);
    await using one = await openRedisCells(server.url);
    await using other = await openRedisCells(server.url, { keyPrefix: 'other:' });
    await one.cas('cell', EMPTY, encodeText('a'));
    assert.equal((await other.get('cell')).length, 0);
  });
});

describe('NATS', { skip: serverMissing(NATS) }, () => {
  suiteOver('key-value bucket', NATS, (url) => openNatsCells(url));

  it(
    'loses no acknowledged swap, and applies none twice, when it is killed while three processes write',
    { timeout: 300_000 },
    () => survivesKills(NATS),
  );
  it('serves one network of a tracker through several servers', () => servesOneNetwork(NATS));
  it('is reported when it is gone, and used again when it is back', { timeout: 60_000 }, () => comesBack(NATS));
  it('forgets a cell after its time', { timeout: 60_000 }, () => expires(NATS, (server) => `${server.url}/short`));

  it('fills a cell whose value was deleted, of several writers by one', async () => {
    await using server = await StoreServer.open(NATS);
    const stores = await Promise.all([1, 2, 3, 4].map(() => openNatsCells(server.url)));
    for (let round = 0; round < 10; round++) {
      const results = await Promise.all(stores.map((store, i) => store.cas('cell', EMPTY, encodeText(`${i}`))));
      assert.equal(results.filter(({ swapped }) => swapped).length, 1);
      const held = await stores[0]!.get('cell');
      assert.equal((await stores[1]!.cas('cell', held, EMPTY)).swapped, true);
    }
    await Promise.all(stores.map((store) => store.close()));
  });

  it('takes both answers for another revision as such, and begins again', async () => {
    await using server = await StoreServer.open(NATS);
    for (const code of [10_071, 10_164]) {
      await using proxy = await answering(server.port, code);
      await using store = await openNatsCells(`nats://127.0.0.1:${proxy.port}`);
      assert.equal((await store.cas(`cell-${code}`, EMPTY, encodeText('a'))).swapped, true);
      assert.equal(proxy.changed, 1, 'the first answer was replaced');
    }
  });

  it('reads from the leader, also in a bucket that allows direct reads, and watches nothing', async () => {
    await using server = await StoreServer.open(NATS);
    const { connect } = await load<{ connect: (options: object) => Promise<NatsConnection> }>(
      '@nats-io/transport-node',
    );
    const { Kvm } = await load<{ Kvm: new (connection: NatsConnection) => Kvm }>('@nats-io/kv');
    const connection = await connect({ servers: `127.0.0.1:${server.port}` });
    await new Kvm(connection).create('shoal-cells', { allow_direct: true });
    const asked: string[] = [];
    const watching = connection.subscribe('$JS.API.>', {
      callback: (_: unknown, { subject }: { readonly subject: string }) => asked.push(subject),
    });
    await connection.flush();
    await using store = await openNatsCells(server.url);
    await store.cas('cell', EMPTY, encodeText('a'));
    assert.equal(decodeText(await store.get('cell')), 'a');
    await connection.flush();
    watching.unsubscribe();
    assert.ok(asked.some((subject) => subject.startsWith('$JS.API.STREAM.MSG.GET.')));
    assert.deepEqual(
      asked.filter((subject) => /DIRECT|CONSUMER/.test(subject)),
      [],
    );
    await connection.close();
  });
});

/** The parts of the packages that are used; their own declarations do not compile with all checks of ours. */
interface NatsConnection {
  subscribe(subject: string, options: object): { unsubscribe(): void };
  flush(): Promise<void>;
  close(): Promise<void>;
}
interface Kvm {
  create(bucket: string, options: object): Promise<unknown>;
}

async function load<T>(name: string): Promise<T> {
  return (await import(name)) as T;
}

/** A proxy that keeps the first write to itself, and answers that the revision is another one, with this code. */
async function answering(
  port: number,
  code: number,
): Promise<AsyncDisposable & { readonly port: number; readonly changed: number }> {
  const { connect } = await import('node:net');
  let changed = 0;
  const server: Server = createServer((socket) => {
    const upstream = connect(port, '127.0.0.1');
    let inbox = '';
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      inbox = /^SUB _INBOX\.\S+ (\d+)\r\n/m.exec(text)?.[1] ?? inbox;
      const [head = '', reply = '', bytes = '0'] = /^HPUB \$KV\.\S+ (\S+) \d+ (\d+)\r\n/m.exec(text) ?? [];
      if (head === '' || changed > 0) {
        upstream.write(chunk);
        return;
      }
      changed++;
      const at = text.indexOf(head);
      upstream.write(Buffer.from(text.slice(0, at) + text.slice(at + head.length + Number(bytes) + 2), 'latin1'));
      const error = JSON.stringify({ error: { code: 400, err_code: code, description: 'wrong last sequence' } });
      socket.write(`MSG ${reply} ${inbox} ${error.length}\r\n${error}\r\n`);
    });
    upstream.on('data', (chunk: Buffer) => socket.write(chunk));
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { readonly port: number }).port,
    get changed() {
      return changed;
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
    },
  };
}
