/** Connections through an HTTP proxy, on a virtual internet. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { ConnectReader, MAX_PROXY_HEADER_BYTES } from '../../src/net/http-connect.ts';
import { throughProxy } from '../../src/net/through-proxy.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { relaySwarm, serveRelay } from '../../src/nat/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { type HttpProxy, openHttpProxy } from '../support/http-proxy.ts';
import { reading, saying, VirtualWorld } from '../support/virtual-world.ts';

interface Cast {
  readonly w: VirtualWorld;
  readonly office: VirtualHost;
  readonly proxy: HttpProxy;
  readonly proxyIp: string;
  readonly far: VirtualHost;
}

async function cast(answer?: (header: string) => string | undefined): Promise<Cast> {
  const w = new VirtualWorld({ latencyMs: 10, trace: undefined });
  const gate = w.net.host();
  const proxy = await w.run(openHttpProxy(gate.network, { ip: gate.ip, port: 3128 }, answer));
  return { w, office: w.net.host(), proxy, proxyIp: gate.ip, far: w.net.host() };
}

const signal = new AbortController().signal;
const through = ({ office, proxyIp }: Cast, more = {}, user = '') =>
  throughProxy(office.network, `http://${user}${proxyIp}:3128`, { realm: office.realm, except: [], ...more });

describe('a network through an HTTP proxy', () => {
  it('dials by CONNECT with Basic credentials, and says what comes behind the answer to the new owner', async () => {
    const c = await cast();
    const come = await c.w.listener(c.far, 443);
    const connection = await c.w.run(
      through(c, {}, 'ann:p%40ss%3A@').dial({ remote: { ip: c.far.ip, port: 443 }, signal }),
    );
    assert.deepEqual(connection.remote, { ip: c.far.ip, port: 443 });
    assert.equal(
      c.proxy.requests[0],
      `CONNECT ${c.far.ip}:443 HTTP/1.1\r\nHost: ${c.far.ip}:443\r\nProxy-Authorization: Basic ${btoa('ann:p@ss:')}\r\n\r\n`,
    );
    const heard = reading(connection);
    await c.w.advance(100);
    saying(come[0]!, 'from there');
    saying(connection, 'from here');
    const answered = reading(come[0]!);
    await c.w.advance(100);
    assert.deepEqual([heard.text, answered.text], ['from there', 'from here']);
  });

  it('keeps bytes that come together with the answer', async () => {
    const c = await cast(() => 'HTTP/1.0 200\r\n\r\nhello');
    const connection = await c.w.run(through(c).dial({ remote: { ip: c.far.ip, port: 443 }, signal }));
    const heard = reading(connection);
    await c.w.advance(100);
    assert.equal(heard.text, 'hello');
  });

  it('fails with the status of the proxy, in a code that says whom to ask', async () => {
    for (const [status, code] of [
      ['407 Proxy Authentication Required', 'refused'],
      ['403 Forbidden', 'refused'],
      ['502 Bad Gateway', 'unreachable'],
      ['504 Gateway Timeout', 'timeout'],
      ['302 Found', 'unreachable'],
    ] as const) {
      const c = await cast(() => `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
      await assert.rejects(
        c.w.run(through(c, {}, 'ann:secret@').dial({ remote: { ip: c.far.ip, port: 443 }, signal })),
        (error) =>
          P2PError.is(error, code) &&
          error.sent === 'no' &&
          error.message === `Cannot connect to ${c.far.ip}:443 through proxy ${c.proxyIp}:3128: it answers ${status}`,
      );
    }
  });

  it('ends a dial whose proxy is silent, endless, or no proxy, and leaves no connection', async () => {
    for (const [answer, code] of [
      ['HTTP/1.1 200 OK\r\nX: y\r\n', 'timeout'],
      [`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(4000)}`, 'unreachable'],
      ['SSH-2.0-OpenSSH\r\n\r\n', 'unreachable'],
      ['HTTP/1.1 2000 OK\r\n\r\n', 'unreachable'],
    ] as const) {
      const c = await cast(() => answer);
      const dialling = through(c, { timeoutMs: 3000 }).dial({ remote: { ip: c.far.ip, port: 443 }, signal });
      await assert.rejects(c.w.run(dialling), (error) => P2PError.is(error, code), answer.slice(0, 20));
    }
    const c = await cast(() => 'HTTP/1.1 200 OK\r\n');
    const given = new AbortController();
    const dialling = through(c).dial({ remote: { ip: c.far.ip, port: 443 }, signal: given.signal });
    given.abort(new Error('enough'));
    await assert.rejects(c.w.run(dialling), /enough/);
  });

  it('names the proxy when it cannot be reached', async () => {
    const c = await cast();
    await c.w.run(c.proxy.close());
    await assert.rejects(
      c.w.run(through(c).dial({ remote: { ip: c.far.ip, port: 443 }, signal })),
      (error) => P2PError.is(error, 'unreachable') && /through proxy .* nobody listens there/.test(error.message),
    );
  });

  it('goes directly to loopback and to own networks unless told, and to exceptions', async () => {
    const w = new VirtualWorld({ latencyMs: 10, trace: undefined });
    const gate = w.net.host();
    const proxy = await w.run(openHttpProxy(gate.network, { ip: gate.ip, port: 3128 }));
    const nat = w.net.nat('port');
    const [office, printer] = [w.net.host({ behind: nat }), w.net.host({ behind: nat })];
    const far = w.net.host();
    for (const host of [office, printer, far]) await w.listener(host, 443);
    const dialled = async (except: readonly string[] | undefined, ip: string): Promise<boolean> => {
      const before = proxy.requests.length;
      const network = throughProxy(office.network, `http://${gate.ip}:3128`, { realm: office.realm, except });
      await w.run(network.dial({ remote: { ip, port: 443 }, signal })).catch(() => undefined);
      return proxy.requests.length > before;
    };
    assert.deepEqual(
      [await dialled(undefined, '127.0.0.1'), await dialled(undefined, printer.ip), await dialled(undefined, far.ip)],
      [false, false, true],
    );
    assert.deepEqual([await dialled([], printer.ip), await dialled([`${far.ip}/32`], far.ip)], [true, false]);
  });

  it('takes no other URL and no other exception', async () => {
    const { office } = await cast();
    for (const url of [
      '',
      'proxy:3128',
      'https://192.0.2.1:3128',
      'http://192.0.2.1:3128/path',
      'http://a:%ff@192.0.2.1',
    ]) {
      assert.throws(
        () => throughProxy(office.network, url),
        (error) => error instanceof TypeError && !error.message.includes('%ff'),
      );
    }
    assert.throws(() => throughProxy(office.network, 'http://192.0.2.1', { except: ['nowhere'] }), TypeError);
    assert.throws(() => throughProxy(office.network, 'http://192.0.2.1', { timeoutMs: 0 }), RangeError);
  });

  it('reads an answer whatever pieces it comes in, and never more than 16 KiB of header', () => {
    const text = 'HTTP/1.1 200 Fine\r\nA: b\r\n\r\nrest';
    for (let cut = 0; cut < text.length - 4; cut++) {
      const reader = new ConnectReader();
      const first = reader.push(encodeText(text.slice(0, cut)));
      const answer = first ?? reader.push(encodeText(text.slice(cut)));
      assert.ok(typeof answer === 'object' && answer.status === 200 && answer.reason === 'Fine', String(cut));
    }
    const long = new ConnectReader();
    assert.equal(long.push(new Uint8Array(MAX_PROXY_HEADER_BYTES)), undefined);
    assert.equal(long.push(new Uint8Array(1)), 'malformed');
    const escape = new ConnectReader().push(encodeText('HTTP/1.1 403 \u001b[31mred\r\n\r\n'));
    assert.ok(typeof escape === 'object' && !escape.reason.includes('\u001b'));
  });
});

describe('from behind a NAT that lets only TCP 443 out', () => {
  it('a relay on port 443 is reached with TLS, directly and through a proxy, and peers talk over it', async () => {
    const w = new VirtualWorld({ latencyMs: 10, trace: undefined });
    const gate = w.net.host();
    const proxy = await w.run(openHttpProxy(gate.network, { ip: gate.ip, port: 443 }));
    const open = (i: number, host: VirtualHost, viaProxy: boolean) => {
      const network = viaProxy
        ? throughProxy(host.network, `http://${gate.ip}:443`, { realm: host.realm })
        : host.network;
      return w.run(openTcpSwarm({ privateKey: testKey(i), realm: host.realm, network, bind: '0.0.0.0:443' }));
    };
    const relay = await open(0, w.net.host(), false);
    serveRelay(relay);
    const at = relay.localAddrs()[0]!;
    const inner = [
      await open(1, w.net.host({ behind: w.net.nat('443-only') }), false),
      await open(2, w.net.host({ behind: w.net.nat('443-only') }), true),
    ] as const;
    const [alice, bob] = inner.map((swarm, i) =>
      p2pke(relaySwarm(swarm, { relays: [at] }), { privateKey: testKey(i + 1) }),
    );
    await w.advance(1000);
    assert.equal(proxy.requests.length, 1);
    const heard: number[] = [];
    alice!.listen(({ payload }) => void heard.push(payload[0]!));
    await w.run(bob!.tell(alice!.addr, Uint8Array.of(7)));
    await w.advance(1000);
    assert.deepEqual(heard, [7]);
    await w.run(Promise.all([alice!, bob!, relay].map((swarm) => swarm.close())));
  });
});
