/** Endpoints on real UDP sockets, on loopback. */

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

import { Child } from '../../bench/harness/child.ts';
import type { EndpointOrder, EndpointReport } from '../../bench/endpoint-orders.ts';
import { P2PError } from '../../src/core/errors.ts';
import { type Endpoint, openEndpoint } from '../../src/endpoint/index.ts';
import { watchLeaks } from '../../src/testing/leaks.ts';
import type { UdpAddr } from '../../src/swarms/udp.ts';

type Udp = Endpoint<UdpAddr>;
const bind = '127.0.0.1:0';
const runFile = promisify(execFile);
const ROOT = path.join(import.meta.dirname, '..', '..');
const SOURCE = '--conditions=shoal-source';

function opensslMissing(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'openssl is not installed';
  }
}

async function serve(endpoint: Udp): Promise<void> {
  for await (const { connection, payload, reply } of endpoint.messages()) {
    if (reply === undefined) await connection.send(payload, { timeoutMs: Infinity });
    else await reply.finish(payload);
  }
}

async function failureOf(promise: Promise<unknown>): Promise<P2PError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(P2PError.is(error), String(error));
  return error;
}

describe('endpoint on UDP', () => {
  it('says where it listens; the other side sees that very address', async () => {
    await using alice = await openEndpoint({ bind });
    await using bob = await openEndpoint({ bind });
    const accepted = bob.connections();
    const here = await alice.connect(bob.addr.text);
    const { value: there } = await accepted.next();
    assert.equal(there!.remoteAddr.text, alice.addr.text);
    assert.equal(here.remoteAddr.text, bob.addr.text);
  });

  it('an endpoint that does not listen has an address', async () => {
    await using endpoint = await openEndpoint({ bind, listen: false });
    assert.equal(endpoint.localAddrs().length, 1);
  });

  it('50 clients send 50 messages each and get each of them back', async () => {
    await using bob = await openEndpoint({ bind });
    void serve(bob);
    await using stack = new AsyncDisposableStack();
    const clients: Udp[] = [];
    for (let i = 0; i < 50; i++) clients.push(stack.use(await openEndpoint({ bind, listen: false })));
    const counts = await Promise.all(
      clients.map(async (client) => {
        const connection = await client.connect(bob.addr, { timeoutMs: 60_000 });
        for (let i = 0; i < 50; i++) void connection.send(new Uint8Array(200).fill(i));
        let got = 0;
        for await (const { payload } of connection.messages()) {
          got += payload.length === 200 ? 1 : 0;
          if (got === 50) break;
        }
        return got;
      }),
    );
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      2500,
    );
  });

  it('a dead port costs the time of the attempt; another address family and a used port fail at once', async () => {
    const dead = createSocket('udp4');
    dead.bind(0, '127.0.0.1');
    await once(dead, 'listening');
    const deadAddr = `127.0.0.1:${dead.address().port}`;
    await using alice = await openEndpoint({ bind });
    await using bob = await openEndpoint({ bind });
    assert.equal((await failureOf(alice.connect(deadAddr, { timeoutMs: 200 }))).code, 'timeout');
    const connection = await alice.connectToAny([deadAddr, bob.addr], { timeoutMs: 5000 });
    assert.equal(connection.peerId, bob.peerId);
    // Far less than the ten seconds of an attempt: the deadline of the call would be another code.
    const family = await failureOf(alice.connect('[::1]:9', { timeoutMs: 9000 }));
    assert.deepEqual([family.code, family.side], ['unreachable', 'local']);
    const taken = await failureOf(openEndpoint({ bind: deadAddr }));
    assert.equal(taken.code, 'in_use');
    dead.close();
  });

  it(
    'an address that the kernel refuses to send to is unreachable at once',
    { skip: process.platform === 'linux' ? false : 'which addresses those are is known for Linux' },
    async () => {
      await using alice = await openEndpoint({ bind });
      // The broadcast address of loopback: a socket that has not asked for it may not send there.
      const refused = await failureOf(alice.connect('127.255.255.255:9', { timeoutMs: 9000 }));
      assert.deepEqual([refused.code, refused.side, refused.sent], ['unreachable', 'local', 'no']);
      assert.match(String(refused.cause), /EACCES/);
    },
  );

  it('IPv6 is an address like others', async (t) => {
    const opened = await openEndpoint({ bind: '[::1]:0' }).catch(() => undefined);
    if (opened === undefined) {
      t.skip('no IPv6 here');
      return;
    }
    await using bob = opened;
    await using alice = await openEndpoint({ bind: '[::1]:0' });
    void serve(bob);
    const connection = await alice.connect(bob.addr.text);
    assert.equal((await connection.request(new Uint8Array(10))).length, 10);
  });

  it(
    'certificates from openssl, RSA and others, are identities and authorities',
    { skip: opensslMissing() },
    async () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'shoal-endpoint-'));
      const file = (name: string): string => path.join(folder, name);
      const run = (...args: string[]): unknown => execFileSync('openssl', args, { stdio: 'ignore' });
      const text = (name: string): string => readFileSync(file(name), 'utf8');
      const issue = (name: string, kind: string): { certificate: string; privateKey: string } => {
        run(
          'req',
          '-newkey',
          ...kind.split(' '),
          '-nodes',
          '-keyout',
          file(`${name}.key`),
          '-out',
          file('csr'),
          '-subj',
          '/CN=x',
        );
        writeFileSync(file('ext'), `subjectAltName=DNS:${name}.example.test\n`);
        run(
          'x509',
          '-req',
          '-in',
          file('csr'),
          '-CA',
          file('ca.pem'),
          '-CAkey',
          file('ca.key'),
          '-CAcreateserial',
          '-out',
          file(`${name}.pem`),
          '-days',
          '1',
          '-extfile',
          file('ext'),
        );
        return { certificate: text(`${name}.pem`), privateKey: text(`${name}.key`) };
      };
      try {
        run(
          'req',
          '-x509',
          '-newkey',
          'rsa:2048',
          '-nodes',
          '-keyout',
          file('ca.key'),
          '-out',
          file('ca.pem'),
          '-days',
          '1',
          '-subj',
          '/CN=ca',
        );
        const trust = { ca: text('ca.pem'), serverName: 'server.example.test' };
        for (const kind of [
          'rsa:2048',
          'ec -pkeyopt ec_paramgen_curve:P-256',
          'ec -pkeyopt ec_paramgen_curve:P-384',
          'ed25519',
        ]) {
          await using server = await openEndpoint({ bind, trust, ...issue('server', kind) });
          await using client = await openEndpoint({ bind, trust, ...issue('client', 'rsa:2048') });
          void serve(server);
          const connection = await client.connect(server.addr);
          assert.deepEqual([connection.authenticated, connection.peerId], [true, server.peerId], kind);
          assert.equal((await connection.request(new Uint8Array(10))).length, 10);
          await using stranger = await openEndpoint({ bind });
          assert.equal((await failureOf(stranger.connect(server.addr))).code, 'refused');
        }
        const [one, other] = [issue('one', 'rsa:2048'), issue('other', 'rsa:2048')];
        await assert.rejects(
          openEndpoint({ bind, certificate: one.certificate, privateKey: other.privateKey }),
          TypeError,
        );
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  it('a closed endpoint leaves nothing running, and no listener on a signal', async () => {
    const watch = watchLeaks();
    const stop = new AbortController();
    const alice = await openEndpoint({ bind, signal: stop.signal });
    const bob = await openEndpoint({ bind, keepAliveMs: 1000 });
    void serve(bob);
    const connection = await alice.connect(bob.addr, { signal: stop.signal });
    await connection.request(new Uint8Array(100), { signal: stop.signal });
    const pending = connection.request(new Uint8Array(1), { signal: stop.signal }).catch(() => {});
    await Promise.all([alice.close(), bob.close()]);
    await pending;
    const { resources, abortListeners } = await watch.leaks(stop.signal);
    assert.deepEqual([resources, abortListeners], [[], 0]);
  });

  it('a process that opens an endpoint and does nothing with it can end', async () => {
    await using endpoint = await openEndpoint({ bind });
    assert.equal(endpoint.openConnections().length, 0);
  });

  for (const [example, said] of [
    ['endpoint-marco-polo', /says polo/],
    ['endpoint-chat', /alice reads .*: hello, room/],
    ['endpoint-stress-pair', /all intact/],
  ] as const) {
    it(`the example ${example} runs and ends`, async () => {
      const { stdout } = await runFile(process.execPath, [SOURCE, path.join(ROOT, 'examples', `${example}.ts`)]);
      assert.match(stdout, said);
    });
  }

  it('the ends of the bench measure every kind of work', async () => {
    const start = (): Child<EndpointOrder, EndpointReport> =>
      new Child(new URL('../../bench/endpoint-process.ts', import.meta.url));
    await using server = start();
    await using client = start();
    const addr = (await server.order({ do: 'serve', echo: true })).addr!;
    await client.order({ do: 'connect', addr });
    for (const order of [
      { do: 'bidi', bytes: 64, inFlight: 2, forMs: 1 },
      { do: 'connects', addrs: [addr], count: 3 },
      { do: 'anys', addrs: [addr], count: 3 },
      { do: 'clients', addr, clients: 2, count: 3, bytes: 2000 },
    ] satisfies EndpointOrder[]) {
      const { count, ms } = await client.order(order);
      assert.ok(count! > 0 && ms! > 0, order.do);
    }
  });
});
