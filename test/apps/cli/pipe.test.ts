import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Server, connect, createServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import { peerIdOf } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { formatPipeAddress, parsePipeAddress } from '../../../apps/cli/src/pipe/door.ts';
import { assertFails, shoal, spawnShoal, startShoal } from './command.ts';

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
    const dialler = spawnShoal(['pipe', addr]);
    dialler.stdin!.end(there);
    const [came, closed] = [buffer(dialler.stdout!), once(dialler, 'close')];
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
      await using dialler = startShoal('pipe', String(addr), there, place(there));
      await dialler.next('connected');
      await waiting.next('connected');
      const tcp = String(early ?? (await dialler.next('forwarding'))['tcp']);
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
      const ended = await dialler.interrupt();
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
    const another = formatPipeAddress({ ...address, id: peerIdOf(testKey(1).publicKey) });
    assertFails(await shoal(['pipe', another]), 1, /has another key/);
    assertFails(await shoal(['pipe', '127.0.0.1:5000']), 2, /expected the whole line that `shoal pipe` prints/);
    assertFails(await shoal(['pipe', '--connect-tcp', 'localhost']), 2, /expected an IP and a port/);
    const taken = await reverser();
    assertFails(await shoal(['pipe', ...LOOPBACK, '--listen-tcp', taken]), 1, /Cannot listen on TCP .*EADDRINUSE/);
    assert.equal((await waiting.interrupt()).code, 0);
  });
});
