import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { fromHex } from '../../src/base/bytes.ts';
import { createMemoryCells } from '../../src/cells/memory.ts';
import { encodePeerId, type PeerId } from '../../src/core/peer-id.ts';
import {
  createTrackerToken,
  openTracker,
  openTrackerServer,
  type TrackerServer,
  type TrackerServerOptions,
} from '../../src/discovery/tracker/index.ts';
import vectors from '../vectors/go-p2p.json' with { type: 'json' };

const { celltracker } = vectors;
const body = fromHex(celltracker.cell_body);
const headers = { 'X-Current': celltracker.x_current_of_empty, 'X-Signer': celltracker.x_signer };
const idOf = (n: number): PeerId => encodePeerId(new Uint8Array(32).fill(n));

const open = (options: TrackerServerOptions = {}): Promise<TrackerServer> =>
  openTrackerServer({ bind: '127.0.0.1:0', ...options });

const valueOf = (server: TrackerServer, name: string, label?: string): number => {
  const samples = server.metrics().find((each) => each.name === name)!.samples;
  return samples.find(({ labels = {} }) => label === undefined || Object.values(labels).includes(label))?.value ?? 0;
};

/** Writes text to a server, and resolves with all it answers once the connection has closed. */
function raw(server: TrackerServer, text: string | Buffer, onSocket?: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    onSocket?.(socket);
  });
}

describe('the server of a tracker', () => {
  it('takes the requests of go-p2p and answers with its bytes', async () => {
    await using server = await open();
    const url = `${server.url}/${celltracker.cell_id}`;
    const empty = await fetch(url);
    assert.deepEqual([empty.status, (await empty.bytes()).length], [200, 0]);
    const written = await fetch(url, { method: 'PUT', headers, body });
    assert.deepEqual([written.status, await written.bytes()], [200, body]);
    assert.deepEqual(await (await fetch(url)).bytes(), body);
    const again = await fetch(url, { method: 'PUT', headers, body });
    assert.deepEqual([again.status, await again.bytes()], [200, body]);
    for (const [method, more] of [
      ['DELETE', {}],
      ['PUT', { headers: {} }],
      ['PUT', { headers: { ...headers, 'X-Signer': 'AAAA' } }],
    ] as const) {
      assert.equal((await fetch(url, { method, ...more })).status, 400);
    }
  });

  it('lets peers announce themselves and look each other up', async () => {
    await using server = await open();
    const at = createTrackerToken(server.url).text;
    await using alice = openTracker({ at, id: idOf(1) });
    await using bob = openTracker({ at, id: idOf(2), cacheMs: 0 });
    await alice.announce(['tcp://192.0.2.1:5000']);
    assert.deepEqual(
      (await bob.lookUp(idOf(1))).map(({ addr }) => addr),
      ['tcp://192.0.2.1:5000'],
    );
    await alice.withdraw();
    assert.deepEqual(await bob.lookUp(idOf(1)), []);
  });

  it('refuses bodies that are too long before it has read them, said and unsaid', async () => {
    await using server = await open();
    const put = `PUT /${celltracker.cell_id} HTTP/1.1\r\nHost: x\r\nX-Current: ${celltracker.x_current_of_empty}\r\nX-Signer: ${celltracker.x_signer}\r\n`;
    assert.match(
      await raw(server, `${put}Content-Length: 1000000000\r\n\r\n`),
      /^HTTP\/1\.1 400 [^]*connection: close/i,
    );
    const chunk = `8000\r\n${'a'.repeat(0x8000)}\r\n`;
    assert.match(
      await raw(server, `${put}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(64)}`),
      /^(HTTP\/1\.1 400 |$)/,
    );
    assert.equal(valueOf(server, 'shoal_tracker_faults_total', 'oversize'), 2);
    assert.equal(valueOf(server, 'shoal_tracker_cells'), 0);
  });

  it('refuses floods of headers, wrong requests and tricks with paths', async () => {
    await using server = await open();
    const flood = Array.from({ length: 1000 }, (_, i) => `X-${i}: ${'a'.repeat(100)}\r\n`).join('');
    assert.match(await raw(server, `GET /a HTTP/1.1\r\nHost: x\r\n${flood}\r\n`), /^HTTP\/1\.1 431 /);
    assert.match(await raw(server, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
    assert.match(await raw(server, Buffer.alloc(20_000, 0xff)), /^HTTP\/1\.1 4/);
    for (const trick of [
      '/../../etc/passwd',
      '/%2e%2e/x',
      '//x',
      '/a/../b',
      '/a%00b',
      '/a?b',
      '*',
      'http://other/x',
      '/',
    ]) {
      const answer = await raw(server, `GET ${trick} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 /, trick);
    }
    // Two lengths, which proxies and servers read differently.
    assert.match(
      await raw(
        server,
        `PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      ),
      /^HTTP\/1\.1 400 /,
    );
    assert.equal((await fetch(`${server.url}/a`)).status, 200);
  });

  it('ends connections that send a request slowly, read an answer slowly, or say nothing', async () => {
    const http = { headersTimeoutMs: 300, requestTimeoutMs: 300, answerTimeoutMs: 2000, idleMs: 1500 };
    const store = createMemoryCells({ maxBytes: 16_000_000 });
    await using server = await open({ http, store, maxCellBytes: 16_000_000 });
    await store.cas('large', new Uint8Array(0), new Uint8Array(15_000_000));
    const trickle = (socket: Socket): void => {
      const timer = setInterval(() => socket.write('a'), 50);
      socket.once('close', () => clearInterval(timer));
    };
    let deaf: Socket | undefined;
    const listen = (socket: Socket): void => void (deaf = socket.pause());
    const deafened = raw(server, 'GET /large HTTP/1.1\r\nHost: x\r\n\r\n', listen);
    await Promise.all([
      raw(server, 'GET /a HTTP/1.1\r\nX-A: ', trickle),
      raw(server, 'PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n', trickle),
      raw(server, ''),
      closedBy(server, 4),
    ]);
    deaf?.destroy();
    await deafened;
    assert.ok(valueOf(server, 'shoal_tracker_faults_total', 'too_slow') >= 4);
    assert.equal(valueOf(server, 'shoal_tracker_connections'), 0);
  });

  it('counts what is no HTTP as a fault, and not as a request', async () => {
    await using server = await open();
    assert.match(await raw(server, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
    assert.equal(valueOf(server, 'shoal_tracker_faults_total', 'malformed'), 1);
    assert.equal(valueOf(server, 'shoal_tracker_requests_total', 'malformed'), 0);
  });

  it('answers 429 to a source that asks too often, and bounds its connections', async () => {
    await using server = await open({ requestsPerSecond: 2 });
    const statuses: number[] = [];
    for (let i = 0; i < 30; i++) statuses.push((await fetch(`${server.url}/a`)).status);
    assert.ok(
      statuses.slice(0, 10).every((status) => status === 200),
      'ten at once are allowed',
    );
    assert.ok(statuses.includes(429));
    assert.equal(
      valueOf(server, 'shoal_tracker_requests_total', 'limited'),
      statuses.filter((status) => status === 429).length,
    );
    await using small = await open({ http: { maxConnectionsPerSource: 4, idleMs: 500 } });
    await Promise.all(Array.from({ length: 8 }, () => raw(small, '')));
    assert.equal(valueOf(small, 'shoal_tracker_faults_total', 'too_many_connections'), 4);
    assert.equal(valueOf(small, 'shoal_tracker_faults_total', 'too_slow'), 4);
  });

  it('has a quota of cells for each source, and lets those that are there be written', async () => {
    await using server = await open({ maxCellsPerSource: 2 });
    const trackers = [1, 2, 3].map((n) => openTracker({ at: createTrackerToken(server.url).text, id: idOf(n) }));
    await trackers[0]!.announce(['a:1']);
    await trackers[1]!.announce(['a:1']);
    await assert.rejects(trackers[2]!.announce(['a:1']), { code: 'limit_exceeded' });
    await trackers[0]!.announce(['a:2']);
    assert.equal(valueOf(server, 'shoal_tracker_requests_total', 'quota'), 1);
    await Promise.all(trackers.map((each) => each.close()));
  });

  it('evicts a cell when there are too many, and forgets those whose time is over', async () => {
    const store = createMemoryCells();
    await using server = await open({ maxCells: 3, store });
    const tokens = [1, 2, 3, 4].map(() => createTrackerToken(server.url));
    for (const { text } of tokens) {
      await using tracker = openTracker({ at: text, id: idOf(1) });
      await tracker.announce(['a:1']);
    }
    const held = await Promise.all(tokens.map(async ({ id }) => (await store.get(id)).length > 0));
    assert.deepEqual(held, [false, true, true, true]);
    assert.equal(valueOf(server, 'shoal_tracker_evicted_total'), 1);
    assert.equal(valueOf(server, 'shoal_tracker_cells'), 3);
  });

  it('shows its health and its metrics, the latter to this machine only', async () => {
    const store = createMemoryCells();
    await using server = await open({
      store,
      moreMetrics: () => [{ name: 'own_total', help: 'Own.', type: 'counter', samples: [{ value: 7 }] }],
    });
    const health: unknown = await (await fetch(`${server.url}/health`)).json();
    assert.deepEqual({ ...(health as object), tookMs: 0 }, { ok: true, store: 'memory', tookMs: 0 });
    const text = await (await fetch(`${server.url}/metrics`)).text();
    assert.match(text, /^# HELP shoal_tracker_requests_total [^]*# TYPE own_total counter\nown_total 7\n$/);
    await using off = await open({ metrics: 'off', store });
    assert.equal((await fetch(`${off.url}/metrics`)).status, 404);
    // Behind a proxy, whoever the proxy names asks.
    await using behind = await open({ trustProxy: true, store });
    const named = { headers: { 'X-Forwarded-For': '127.0.0.1, 203.0.113.7' } };
    assert.equal((await fetch(`${behind.url}/metrics`, named)).status, 404);
    assert.equal((await fetch(`${server.url}/metrics`, named)).status, 200);
    await store.close();
    await using broken = await open({ store });
    assert.equal((await fetch(`${broken.url}/health`)).status, 503);
    assert.equal((await fetch(`${broken.url}/a`)).status, 503);
  });

  it('lets requests under way end when it closes, and takes no new ones', async () => {
    const store = createMemoryCells();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: asked, resolve: begun } = Promise.withResolvers<void>();
    const slow = { ...store, maxBytes: store.maxBytes, kind: 'slow', realm: store.realm } as unknown as typeof store;
    Object.assign(slow, {
      get: async (key: string) => {
        begun();
        await released;
        return store.get(key);
      },
      cas: store.cas.bind(store),
    });
    const server = await open({ store: slow });
    const { url } = server;
    const answer = fetch(`${url}/a`);
    await asked;
    const closed = server.close();
    release();
    assert.equal((await answer).status, 200);
    await closed;
    await assert.rejects(fetch(`${url}/a`));
    assert.equal((await store.get('a')).length, 0, 'a store that was given stays open');
  });

  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-tls-'));
  after(() => rmSync(folder, { recursive: true }));
  const made = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-keyout',
    path.join(folder, 'key.pem'),
    '-out',
    path.join(folder, 'cert.pem'),
  ]);
  const skip = made.status === 0 ? false : 'no openssl';

  it('serves HTTPS', { skip }, async () => {
    const [cert, key] = ['cert', 'key'].map((name) => readFileSync(path.join(folder, `${name}.pem`), 'utf8')) as [
      string,
      string,
    ];
    await using server = await open({ tls: { cert, key } });
    assert.match(server.url, /^https:/);
    const status = await new Promise((resolve, reject) => {
      request(`${server.url}/health`, { ca: cert, agent: false }, ({ statusCode }) => resolve(statusCode))
        .on('error', reject)
        .end();
    });
    assert.equal(status, 200);
    // Plain HTTP at an HTTPS server is a fault of one connection.
    await raw(server, 'GET / HTTP/1.1\r\n\r\n');
    await assert.rejects(open({ tls: { cert: 'no certificate', key } }));
  });

  it('throws at once for misuse', () => {
    const wrong = [
      { bind: 'nowhere' },
      { store: 'carrier-pigeon:' },
      { store: {} },
      { maxCells: 0 },
      { metrics: 'some' },
      { cellTtlMs: 1 },
      { trustProxy: 'yes' },
      { http: 'fast' },
      { http: { maxConnections: Number.NaN } },
      { http: { maxPending: 0 } },
      { http: { idleMs: '1' } },
    ];
    for (const options of [...wrong, null] as never[]) {
      assert.throws(
        () => openTrackerServer(options),
        (error) => error instanceof TypeError || error instanceof RangeError,
      );
    }
  });
});

/** Resolves once the server has ended so many slow connections. */
async function closedBy(server: TrackerServer, count: number): Promise<void> {
  while (valueOf(server, 'shoal_tracker_faults_total', 'too_slow') < count) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
