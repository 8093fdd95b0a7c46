import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { platform } from 'node:os';
import { describe, it } from 'node:test';

import { openTrackerServer, type TrackerServer, type TrackerServerOptions } from '../../src/discovery/tracker/index.ts';

const KEY = 'a'.repeat(43);
/** Only Linux has all of 127.0.0.0/8: an address in it stands for a source. */
const skip = platform() !== 'linux';
const open = (options: TrackerServerOptions): Promise<TrackerServer> =>
  openTrackerServer({ bind: '127.0.0.1:0', ...options });

interface Client extends Disposable {
  readonly socket: Socket;
  /** All that was answered, once the connection has ended. */
  readonly ended: Promise<string>;
}

async function client(server: TrackerServer, localAddress: string, text: string): Promise<Client> {
  const socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1', localAddress });
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => socket.on('close', () => resolve(answer)));
  await once(socket, 'connect');
  socket.write(text);
  return { socket, ended, [Symbol.dispose]: () => void socket.destroy() };
}

const GET = `GET /${KEY} HTTP/1.1\r\nHost: x\r\n\r\n`;
const LAST_GET = GET.replace('Host', 'Connection: close\r\nHost');
/** A request whose body does not come. */
const SLOW = `PUT /${KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na`;

/** No connection ends because it is slow. */
const PATIENT = { requestTimeoutMs: 3_600_000, answerTimeoutMs: 3_600_000, idleMs: 3_600_000 };

/** Opens a connection that is answered: it is in the server's table. */
async function served(server: TrackerServer, localAddress: string): Promise<Client> {
  const opened = await client(server, localAddress, GET);
  await once(opened.socket, 'data');
  return opened;
}

const faults = (server: TrackerServer, fault: string): number =>
  server
    .metrics()
    .find(({ name }) => name === 'shoal_tracker_faults_total')!
    .samples.find(({ labels }) => labels!['fault'] === fault)?.value ?? 0;

describe('the shares of sources at the server of a tracker', { skip }, () => {
  it('ends the oldest connection of the network with the most when another network comes', async () => {
    await using server = await open({ http: { maxConnections: 4, maxConnectionsPerSource: 3 } });
    using first = await served(server, '127.0.1.1');
    using second = await served(server, '127.0.1.2');
    using third = await served(server, '127.0.1.2');
    using other = await served(server, '127.0.2.1');
    using late = await client(server, '127.0.3.1', LAST_GET);
    assert.match(await late.ended, /^HTTP\/1\.1 200 /);
    await second.ended;
    assert.deepEqual(
      [first, third, other].map(({ socket }) => socket.closed),
      [false, false, false],
    );
    assert.equal(faults(server, 'too_many_connections'), 1);
  });

  it('answers others while one network sends as many bodies as may be read', async () => {
    await using server = await open({ http: { maxPending: 4, ...PATIENT } });
    const slow: Client[] = [];
    for (let i = 0; i < 4; i++) slow.push(await client(server, '127.0.1.1', SLOW));
    using other = await client(server, '127.0.2.1', SLOW);
    // One of the four has made room.
    assert.equal(await Promise.race(slow.map(({ ended }) => ended)), '');
    using late = await client(server, '127.0.3.1', LAST_GET);
    assert.match(await late.ended, /^HTTP\/1\.1 200 /);
    assert.equal(other.socket.closed, false);
    assert.equal(faults(server, 'busy'), 2);
    for (const each of slow) each[Symbol.dispose]();
  });

  it('holds fewer requests at a time where cells are long, so that bodies have a bound in all', async () => {
    await using server = await open({ maxCellBytes: 16_777_216, http: PATIENT });
    const slow: Client[] = [];
    for (let i = 0; i < 17; i++) slow.push(await client(server, '127.0.1.1', SLOW));
    assert.equal(await Promise.race(slow.map(({ ended }) => ended)), '');
    for (const each of slow) each[Symbol.dispose]();
  });
});
