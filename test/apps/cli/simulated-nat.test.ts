import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DatagramSocket, Network, RawConnection, SocketAddress } from 'shoal/net';
import { simulatedNat } from '../../../apps/cli/src/demo/simulated-nat.ts';
import { codeOf } from '../../support/code-of.ts';
import { VirtualWorld } from '../../support/virtual-world.ts';

/** A NAT on a virtual host, whose loopback is that of all of them. */
function behind() {
  const w = new VirtualWorld({ trace: undefined });
  const { network, realm } = w.net.host();
  const nat = simulatedNat({ network, insideIp: '127.77.1.2', nowMs: () => realm.nowMs() });
  const bind = (on: Network, port = 0): Promise<DatagramSocket> => on.bindUdp({ bind: { ip: '127.0.0.1', port } });
  const listen = (on: Network, port: number, taken: RawConnection[]) =>
    on.listen({
      bind: { ip: '127.0.0.1', port },
      backlog: 4,
      reusePort: false,
      onConnection: (connection) => void taken.push(connection),
      onError: () => undefined,
    });
  return { w, network, nat, bind, listen };
}

const { signal } = new AbortController();

/** What a socket gets, and from where. */
function received(socket: DatagramSocket): { readonly from: SocketAddress; readonly text: string }[] {
  const got: { from: SocketAddress; text: string }[] = [];
  socket.sink = { onDatagram: (bytes, ip, port) => void got.push({ from: { ip, port }, text: String(bytes[0]) }) };
  return got;
}

describe('the simulated NAT of the demo', () => {
  it('shows another port outside, the same for all, and lets in only answers, for a minute', async () => {
    const { w, network, nat, bind } = behind();
    const [inside, peer, stranger] = await w.run(
      Promise.all([bind(nat, 5000), bind(network, 6001), bind(network, 6002)]),
    );
    assert.deepEqual(inside.address, { ip: '127.77.1.2', port: 5000 });
    const [atInside, atPeer, atStranger] = [received(inside), received(peer), received(stranger)];
    inside.send(Uint8Array.of(1), '127.0.0.1', 6001);
    await w.advance(100);
    const { from } = atPeer[0]!;
    assert.equal(from.ip, '127.0.0.1');
    assert.notEqual(from.port, 5000);
    stranger.send(Uint8Array.of(2), from.ip, from.port);
    peer.send(Uint8Array.of(3), from.ip, from.port);
    await w.advance(100);
    assert.deepEqual(atInside, [{ from: { ip: '127.0.0.1', port: 6001 }, text: '3' }]);
    inside.send(Uint8Array.of(4), '127.0.0.1', 6002);
    await w.advance(100);
    assert.deepEqual(atStranger, [{ from, text: '4' }]);
    stranger.send(Uint8Array.of(5), from.ip, from.port);
    await w.advance(60_000);
    stranger.send(Uint8Array.of(6), from.ip, from.port);
    await w.advance(100);
    assert.deepEqual(
      atInside.map(({ text }) => text),
      ['3', '5'],
    );
  });

  it('has one socket on each inside port, and frees it', async () => {
    const { w, nat, bind } = behind();
    const first = await w.run(bind(nat, 5000));
    assert.equal(await w.run(codeOf(bind(nat, 5000))), 'in_use');
    await w.run(first.close());
    assert.equal((await w.run(bind(nat, 5000))).address.port, 5000);
    const others = await w.run(Promise.all([bind(nat), bind(nat)]));
    assert.equal(new Set(others.map(({ address }) => address.port)).size, 2);
  });

  it('lets out TCP, and lets in nobody that was not dialled from inside', async () => {
    const { w, network, nat, listen } = behind();
    const [atOutside, atInside]: [RawConnection[], RawConnection[]] = [[], []];
    const outside = await w.run(listen(network, 6001, atOutside));
    const inside = await w.run(listen(nat, 5000, atInside));
    assert.deepEqual(inside.address, { ip: '127.77.1.2', port: 5000 });
    const { local } = await w.run(nat.dial({ remote: outside.address, signal }));
    assert.equal(local.ip, '127.77.1.2');
    const dial = (port: number): Promise<RawConnection> => {
      const bind = { ip: '127.0.0.1', port };
      return w.run(network.dial({ remote: { ip: '127.0.0.1', port: 5000 }, bind, signal }));
    };
    await dial(6003);
    await w.advance(100);
    assert.equal(atInside.length, 0);
    await w.run(nat.dial({ remote: { ip: '127.0.0.1', port: 6004 }, signal }).catch(() => undefined));
    await dial(6004);
    await w.advance(100);
    assert.deepEqual(
      atInside.map(({ remote }) => remote.port),
      [6004],
    );
    assert.equal(atOutside.length, 1);
  });
});
