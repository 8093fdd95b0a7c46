/** The libp2p example, live with js-libp2p: Noise with verified identities, yamux, ping and identify, whoever dials. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { generateKey } from 'shoal/keys';
import { Libp2pHost, type Libp2pStream } from '../examples/libp2p/host.ts';
import { identify } from '../examples/libp2p/identify.ts';
import { libp2pMissing, Libp2pProcess } from './libp2p-peer.ts';

const skip = libp2pMissing();

interface Listening {
  readonly addr: string;
  readonly peer: string;
}

/** Where js-libp2p listens, as `ip:port`. */
async function listening(js: Libp2pProcess): Promise<Listening> {
  const { addr, peer } = await js.order({ do: 'listen' });
  const [, , ip, , port] = String(addr).split('/');
  return { addr: `${ip}:${port}`, peer: String(peer) };
}

const multiaddrOf = (host: Libp2pHost, addr: string): string => {
  const [ip, port] = addr.split(':');
  return `/ip4/${ip}/tcp/${port}/p2p/${host.id}`;
};

describe('libp2p, live with js-libp2p', { skip }, () => {
  it('dials it: the key is the one it announces, ping and identify work, streams opened in both styles', async () => {
    await using js = new Libp2pProcess();
    const { addr, peer: id } = await listening(js);
    await using host = new Libp2pHost(generateKey());
    const peer = await host.dial(addr, id);
    assert.equal(peer.id, id);
    for (const style of ['window', 'data'] as const) {
      for (let i = 0; i < 5; i++) assert.ok((await host.ping(peer, style)) >= 0);
    }
    const { agent, protocols } = await identify(peer);
    assert.match(agent ?? '', /js-libp2p/);
    assert.ok(protocols.includes('/ipfs/ping/1.0.0'));
    await assert.rejects(peer.open('/nobody/has/this/1'), /does not have/);
  });

  it('is dialled by it: ping and identify work, the key is the one we announce', async () => {
    await using js = new Libp2pProcess();
    await using host = new Libp2pHost(generateKey());
    const addr = multiaddrOf(host, await host.node.listen());
    for (let i = 0; i < 3; i++) assert.ok(Number((await js.order({ do: 'ping', addr }))['rttMs']) >= 0);
    const { agent, protocols, peer } = await js.order({ do: 'identify', addr });
    assert.equal(agent, 'shoal-example/0.1.0');
    assert.deepEqual(protocols, host.protocols);
    assert.equal(peer, host.id);
  });

  it('neither side takes somebody else for the one that was dialled', async () => {
    await using js = new Libp2pProcess();
    const { addr, peer } = await listening(js);
    await using host = new Libp2pHost(generateKey());
    await using other = new Libp2pHost(generateKey());
    await assert.rejects(host.dial(addr, other.id), new RegExp(peer));
    const wrong = multiaddrOf(other, await host.node.listen());
    await assert.rejects(js.order({ do: 'ping', addr: wrong }), /UnexpectedPeerError|mismatch|Expected/i);
  });

  it('takes more than a window from it, giving back as it reads', async () => {
    await using js = new Libp2pProcess();
    const { promise, resolve } = Promise.withResolvers<number>();
    const [count, bytes] = [500, 4096];
    const sink = async (stream: Libp2pStream): Promise<void> => {
      let taken = 0;
      while (taken < count * bytes && (await stream.read(bytes)) !== undefined) taken += bytes;
      resolve(taken);
    };
    await using host = new Libp2pHost(generateKey(), { '/shoal-bench/1': (stream) => void sink(stream) });
    const addr = multiaddrOf(host, await host.node.listen());
    await js.order({ do: 'flood', addr, count, bytes });
    assert.equal(await promise, count * bytes);
  });
});
