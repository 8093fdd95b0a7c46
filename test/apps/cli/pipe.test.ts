import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Server, connect, createServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import { encodeText } from 'shoal/bytes';
import { peerIdOfKey } from 'shoal/keys';
import { openPeers } from 'shoal/peers';
import { testKey } from 'shoal/testing';
import { formatPipeAddress, parsePipeAddress } from '../../../apps/cli/src/pipe/address.ts';
import { assertFails, machineLan, shoal, spawnShoal, startShoal } from './command.ts';

const LOOPBACK = ['--bind', '127.0.0.1:0'];
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

/** Answers what it got, once it has all of it. */
async function reverser(): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => socket.end(Buffer.concat(chunks).toReversed()));
    socket.on('error', () => socket.destroy());
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function through(tcp: string, bytes: Buffer): Promise<Buffer> {
  const [host, port] = tcp.split(':') as [string, string];
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  socket.end(bytes);
  return buffer(socket);
}

describe('shoal pipe', { concurrency: 2 }, () => {
  it('joins standard input and output of two processes, both ways at once', async () => {
    const [here, there] = [randomBytes(3_000_000), randomBytes(100_000)];
    const waiting = spawnShoal(['pipe', ...LOOPBACK]);
    const heard = buffer(waiting.stdout!);
    let note = '';
    while (!note.includes("'")) note += String((await once(waiting.stderr!, 'data'))[0]);
    const addr = /'(.+)'/.exec(note)![1]!;
    waiting.stdin!.end(here);
    const initiator = spawnShoal(['pipe', addr]);
    initiator.stdin!.end(there);
    const [came, closed] = [buffer(initiator.stdout!), once(initiator, 'close')];
    assert(here.equals(await came));
    assert(there.equals(await heard));
    assert.equal((await closed)[0], 0);
    if (waiting.exitCode === null) await once(waiting, 'close');
    assert.equal(waiting.exitCode, 0);
  });

  for (const [what, here, there] of [
    ['a TCP port of the one who waits', '--connect-tcp', '--listen-tcp'],
    ['a TCP port of the one who dials', '--listen-tcp', '--connect-tcp'],
  ] as const) {
    it(`carries connections to ${what}, each by itself, half-closed ones too`, async () => {
      const target = await reverser();
      const place = (option: string): string => (option === '--connect-tcp' ? target : '127.0.0.1:0');
      await using waiting = startShoal('pipe', ...LOOPBACK, here, place(here));
      const early = here === '--listen-tcp' ? (await waiting.next('forwarding'))['tcp'] : undefined;
      const { addr } = await waiting.next('pipe');
      await using initiator = startShoal('pipe', String(addr), there, place(there));
      await initiator.next('connected');
      await waiting.next('connected');
      const tcp = String(early ?? (await initiator.next('forwarding'))['tcp']);
      const sent = [randomBytes(1_000_000), Buffer.of(1), Buffer.alloc(0)];
      const came = await Promise.all(sent.map((bytes) => through(tcp, bytes)));
      for (const [i, bytes] of sent.entries())
        assert(
          bytes.toReversed().every((byte, at) => byte === came[i]![at]),
          `${came[i]!.length} bytes`,
        );
      assert.deepEqual(
        came.map(({ length }) => length),
        [1_000_000, 1, 0],
      );
      const ended = await initiator.interrupt();
      assert.equal(ended.code, 0, ended.stderr);
      const { sentBytes, receivedBytes } = ended.events.at(-1)!;
      assert.deepEqual([sentBytes, receivedBytes], [1_000_001, 1_000_001]);
      assert.equal((await waiting.interrupt()).code, 0);
    });
  }

  it('lets nobody in without the secret, and says on one line what is wrong', async () => {
    await using waiting = startShoal('pipe', ...LOOPBACK);
    const address = parsePipeAddress(String((await waiting.next('pipe'))['addr']));
    const guessed = formatPipeAddress({ ...address, secret: 'A'.repeat(22) });
    assertFails(await shoal(['pipe', guessed]), 1, /the other side does not know this address/);
    const another = formatPipeAddress({ ...address, id: peerIdOfKey(testKey(1).publicKey) });
    assertFails(await shoal(['pipe', another]), 1, /has another key/);
    assertFails(await shoal(['pipe', '127.0.0.1:5000']), 2, /expected the whole line that `shoal pipe` prints/);
    assertFails(await shoal(['pipe', '--connect-tcp', 'localhost']), 2, /expected an IP and a port/);
    const taken = await reverser();
    assertFails(await shoal(['pipe', ...LOOPBACK, '--listen-tcp', taken]), 1, /Cannot listen on TCP .*EADDRINUSE/);
    assert.equal((await waiting.interrupt()).code, 0);
  });

  it('lets the owner in at once while strangers ask and open streams without the secret', async () => {
    await using waiting = startShoal('pipe', ...LOOPBACK);
    const address = parsePipeAddress(String((await waiting.next('pipe'))['addr']));
    const ends: Promise<unknown>[] = [];
    await using strangers = new AsyncDisposableStack();
    for (let i = 0; i < 16; i++) {
      const stranger = strangers.use(
        await openPeers({ privateKey: testKey(100 + i), bind: '127.0.0.1:0', kind: 'client', dialBack: false }),
      );
      const { id, place: addr } = address;
      stranger.add({ id, addr, source: 'test', trust: 'given', seenMs: 0, expiresMs: Infinity });
      const dst = stranger.parseAddr(id);
      for (const guess of ['', 'done', 'A'.repeat(22)])
        await assert.rejects(stranger.ask(dst, encodeText(guess)), { code: 'refused' });
      const stream = await stranger.openStream(id);
      ends.push(assert.rejects(stream.readable.getReader().read(), { code: 'refused' }));
      await stream.writable.getWriter().write(Uint8Array.of(0));
    }
    await Promise.all(ends);
    waiting.process.stdin!.end();
    const owner = await shoal(['pipe', formatPipeAddress(address)], 'hello');
    assert.equal(owner.stderr, '');
    assert.equal(owner.code, 0);
  });

  it('finds the other side again on the LAN when its address is stale', async () => {
    await using lan = await machineLan();
    await using waiting = startShoal('pipe', ...lan.args);
    const address = parsePipeAddress(String((await waiting.next('pipe'))['addr']));
    waiting.process.stdin!.end();
    const owner = await shoal(['pipe', formatPipeAddress({ ...address, place: '127.0.0.1:9' }), ...lan.args], 'hello');
    assert.equal(owner.stderr, '');
    assert.equal(owner.code, 0);
  });

  it('shows the greeting of a server that speaks first, and reports a refused port', async () => {
    const greeter = createServer((socket) => void socket.end('220 ready\r\n'));
    servers.push(greeter);
    greeter.listen(0, '127.0.0.1');
    await once(greeter, 'listening');
    const port = String((greeter.address() as AddressInfo).port);
    await using waiting = startShoal('pipe', ...LOOPBACK, '--connect-tcp', port);
    const { addr } = await waiting.next('pipe');
    await using initiator = startShoal('pipe', String(addr), '--listen-tcp', '127.0.0.1:0');
    const { tcp } = await initiator.next('forwarding');
    const greeted = async (): Promise<string> => {
      const socket = connect({ host: '127.0.0.1', port: Number(String(tcp).split(':')[1]) });
      socket.on('error', () => undefined);
      return text(socket).catch(() => '');
    };
    assert.equal(await greeted(), '220 ready\r\n');
    greeter.close();
    await once(greeter, 'close');
    assert.equal(await greeted(), '');
    await waiting.noted(/Cannot carry a connection to TCP \d+: connect ECONNREFUSED/);
  });

  it('carries more than a hundred connections at a time, and survives clients that reset', async () => {
    const server = createServer((socket) => void socket.on('error', () => undefined).write('hi'));
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using waiting = startShoal('pipe', ...LOOPBACK, '--connect-tcp', place);
    await using initiator = startShoal(
      'pipe',
      String((await waiting.next('pipe'))['addr']),
      '--listen-tcp',
      '127.0.0.1:0',
    );
    const port = Number(String((await initiator.next('forwarding'))['tcp']).split(':')[1]);
    for (let i = 0; i < 50; i++) {
      const socket = connect({ host: '127.0.0.1', port });
      await once(socket, 'connect');
      socket.resetAndDestroy();
    }
    const sockets = Array.from({ length: 150 }, () => connect({ host: '127.0.0.1', port }));
    for (const each of await Promise.all(sockets.map((socket) => once(socket, 'data'))))
      assert.equal(String(each[0]), 'hi');
    for (const socket of sockets) socket.destroy();
    assert.equal((await initiator.interrupt()).code, 0);
    assert.equal((await waiting.interrupt()).code, 0);
  });

  it('begins on the side that only listens, and notices a restart at the same key and port', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'shoal-pipe-'));
    after(() => rmSync(folder, { recursive: true, force: true }));
    const key = path.join(folder, 'key.pem');
    assert.equal((await shoal(['keygen', '--out', key])).code, 0);
    await using waiting = startShoal('pipe', ...LOOPBACK, '--key', key);
    const { addr } = await waiting.next('pipe');
    waiting.process.stdin!.write('backup'); // while the initiator says nothing
    const initiator = spawnShoal(['pipe', String(addr)]);
    const said = text(initiator.stderr!);
    assert.equal(String((await once(initiator.stdout!, 'data'))[0]), 'backup');
    waiting.process.kill('SIGKILL');
    await once(waiting.process, 'exit');
    await using again = startShoal('pipe', '--bind', parsePipeAddress(String(addr)).place, '--key', key);
    await again.next('pipe');
    initiator.stdin!.write('to the one that is not there');
    assert.equal((await once(initiator, 'close'))[0], 1);
    assert.match(await said, /The pipe has broken/);
  });
});
