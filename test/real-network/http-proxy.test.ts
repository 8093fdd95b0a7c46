/** A TCP swarm through a real HTTP proxy on loopback: that of node:http. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { throughProxy } from '../../src/net/through-proxy.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

describe('a TCP swarm through a real HTTP proxy', () => {
  it('dials with TLS through it, sends a megabyte both ways, and is refused without the password', async () => {
    const seen: string[] = [];
    const server = createServer();
    const open = new Set<Socket>();
    server.on('connect', (request, near: Socket, head: Buffer) => {
      seen.push(`${request.url} ${request.headers['proxy-authorization']}`);
      open.add(near);
      near.on('error', () => undefined);
      if (request.headers['proxy-authorization'] !== `Basic ${btoa('user:secret')}`) {
        near.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n');
        return;
      }
      const [ip, port] = request.url!.split(':');
      const far = connect(Number(port), ip, () => {
        near.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        far.write(head);
        near.pipe(far).pipe(near);
      });
      open.add(far);
      far.on('error', () => near.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await using bob = await openTcpSwarm({ privateKey: testKey(2), bind: '127.0.0.1:0' });
    bob.serve(({ payload }) => payload);
    const through = (user: string) => throughProxy(undefined, `http://${user}@127.0.0.1:${port}`, { except: [] });
    await using alice = await openTcpSwarm({
      privateKey: testKey(1),
      bind: '127.0.0.1:0',
      network: through('user:secret'),
    });
    const large = new Uint8Array(1_000_000).fill(0x61);
    const answer = await alice.ask(bob.addr, large, { maxResponseBytes: 2_000_000 });
    assert.equal(answer.length, large.length);
    assert.equal(decodeText(await alice.ask(bob.addr, encodeText('again'))), 'again');
    assert.deepEqual(seen, [`${bob.addr.inner.text} Basic ${btoa('user:secret')}`]);
    await using eve = await openTcpSwarm({
      privateKey: testKey(3),
      bind: '127.0.0.1:0',
      network: through('user:wrong'),
    });
    await assert.rejects(eve.ask(bob.addr, encodeText('hello')), (error) => {
      let text = '';
      for (let at: unknown = error; at instanceof Error; at = at.cause) text += at.message;
      return P2PError.is(error) && /407 Proxy Authentication Required/.test(text);
    });
    for (const socket of open) socket.destroy();
    server.close();
  });
});
