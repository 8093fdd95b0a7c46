/** What every network does, this system's and a virtual host's: the same calls, the same outcomes, the same errors. */

import assert from 'node:assert/strict';
import type { describe as Describe, it as It } from 'node:test';

import { concatBytes } from '../../src/base/bytes.ts';
import type { SocketAddress } from '../../src/base/ip.ts';
import { P2PError, type P2PErrorCode } from '../../src/core/errors.ts';
import type { DatagramSocket, Listener, Network, RawConnection } from '../../src/net/network.ts';

/** Two hosts, or one twice, that reach each other. */
export interface ContractWorld {
  readonly near: Network;
  readonly far: Network;
  readonly nearIp: string;
  readonly farIp: string;
  /** Lets time go on until the promise settles. */
  run<T>(promise: Promise<T>): Promise<T>;
  /** A little later. */
  tick(): Promise<void>;
}

const NEVER = new AbortController().signal;

/** What has come on a connection, and how it ended. */
class Reader {
  readonly connection: RawConnection;
  readonly chunks: Uint8Array[] = [];
  error: Error | undefined;
  readonly ended: Promise<void>;
  readonly closed: Promise<void>;

  constructor(connection: RawConnection) {
    this.connection = connection;
    const [ended, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    [this.ended, this.closed] = [ended.promise, closed.promise];
    connection.pipe.sink = {
      onData: (chunk) => void this.chunks.push(chunk),
      onEnd: () => ended.resolve(),
      onClose: (error) => {
        this.error = error;
        closed.resolve();
      },
    };
  }

  bytes(): Uint8Array {
    return concatBytes(...this.chunks);
  }
}

function write({ pipe }: RawConnection, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) =>
    pipe.write([bytes], (error) => (error === undefined || error === null ? resolve() : reject(error))),
  );
}

function rejects(promise: Promise<unknown>, code: P2PErrorCode, side?: P2PError['side']): Promise<void> {
  return assert.rejects(
    promise,
    (error) => P2PError.is(error, code) && error.sent === 'no' && (side === undefined || error.side === side),
  );
}

/** A listener, and the connections that come to it in order. */
interface Server {
  readonly listener: Listener;
  readonly address: SocketAddress;
  next(): Promise<RawConnection>;
}

async function serve(network: Network, bind: SocketAddress, reusePort = false): Promise<Server> {
  const come: RawConnection[] = [];
  const waiting: ((connection: RawConnection) => void)[] = [];
  const listener = await network.listen({
    bind,
    backlog: 16,
    reusePort,
    onError: () => undefined,
    onConnection: (connection) => {
      const wanted = waiting.shift();
      if (wanted === undefined) come.push(connection);
      else wanted(connection);
    },
  });
  return {
    listener,
    address: listener.address,
    next: () => {
      const first = come.shift();
      return first === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(first);
    },
  };
}

/** The next datagram of a socket. */
function nextDatagram(socket: DatagramSocket): Promise<{ readonly payload: Uint8Array; readonly from: SocketAddress }> {
  return new Promise((resolve) => {
    socket.sink = { onDatagram: (payload, ip, port) => resolve({ payload, from: { ip, port } }) };
  });
}

function nextFailure(socket: DatagramSocket): Promise<string> {
  return new Promise((resolve) => {
    socket.sink = {
      onDatagram: () => undefined,
      onSendFailed: (error) => resolve((error as { readonly code?: string }).code ?? error.message),
    };
  });
}

/** Registers the contract's tests. @param make - a world for each test. */
export function networkContract(
  { describe, it }: { readonly describe: typeof Describe; readonly it: typeof It },
  name: string,
  make: () => ContractWorld,
): void {
  const nowhere = { ip: '192.0.2.77', port: 0 };
  const test = (what: string, body: (world: ContractWorld) => Promise<void>): void =>
    void it(what, () => {
      const world = make();
      return world.run(body(world));
    });

  void describe(`${name}: UDP`, () => {
    test('datagrams arrive whole, with the address that they came from, and can be answered', async (w) => {
      const [a, b] = [
        await w.near.bindUdp({ bind: { ip: w.nearIp, port: 0 } }),
        await w.far.bindUdp({ bind: { ip: w.farIp, port: 0 } }),
      ];
      const buffer = Uint8Array.of(1, 2, 3);
      const heard = nextDatagram(b);
      a.send(buffer, b.address.ip, b.address.port);
      if (!a.mayWait) buffer.fill(9);
      const { payload, from } = await heard;
      assert.deepEqual([[...payload], from], [[1, 2, 3], a.address]);
      const back = nextDatagram(a);
      b.send(new Uint8Array(0), from.ip, from.port);
      assert.deepEqual([...(await back).payload], []);
      await Promise.all([a.close(), b.close()]);
    });

    test('a dual-stack socket takes IPv4, and names its sources as IPv4', async (w) => {
      const both = await w.far.bindUdp({ bind: { ip: '::', port: 0 } });
      const four = await w.near.bindUdp({ bind: { ip: w.nearIp, port: 0 } });
      const heard = nextDatagram(both);
      four.send(Uint8Array.of(1), w.farIp, both.address.port);
      const { from } = await heard;
      assert.deepEqual(from, four.address);
      const back = nextDatagram(four);
      both.send(Uint8Array.of(2), from.ip, from.port);
      assert.deepEqual((await back).from, { ip: w.farIp, port: both.address.port });
      await Promise.all([both.close(), four.close()]);
    });

    test('a port that is taken is in_use, a wildcard takes it for all addresses, a foreign address is unreachable', async (w) => {
      const first = await w.near.bindUdp({ bind: { ip: w.nearIp, port: 0 } });
      const { port } = first.address;
      for (const ip of [w.nearIp, '0.0.0.0', '::']) {
        await rejects(w.near.bindUdp({ bind: { ip, port } }), 'in_use', 'local');
      }
      await rejects(w.near.bindUdp({ bind: nowhere }), 'unreachable', 'local');
      await first.close();
      await (await w.near.bindUdp({ bind: { ip: w.nearIp, port } })).close();
    });

    test('reusePort and reuseAddress share a port when all of its sockets say so', async (w) => {
      for (const sharing of [{ reusePort: true }, { reuseAddress: true }]) {
        const first = await w.near.bindUdp({ bind: { ip: '0.0.0.0', port: 0 }, ...sharing });
        const second = await w.near.bindUdp({ bind: first.address, ...sharing });
        await rejects(w.near.bindUdp({ bind: first.address }), 'in_use');
        await Promise.all([first.close(), second.close()]);
      }
    });

    test('an aborted signal gives up with its reason', async (w) => {
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      await assert.rejects(w.near.bindUdp({ bind: { ip: w.nearIp, port: 0 }, signal }), (error) => error === reason);
    });

    test('a broadcast that is not allowed fails afterwards; a closed port and a low TTL do not', async (w) => {
      const socket = await w.near.bindUdp({ bind: { ip: '0.0.0.0', port: 0 } });
      const failed = nextFailure(socket);
      socket.send(Uint8Array.of(1), w.farIp, 9);
      socket.setTtl(3);
      socket.send(Uint8Array.of(1), w.farIp, 9, 1);
      socket.send(Uint8Array.of(1), '255.255.255.255', 9);
      assert.equal(await failed, 'EACCES');
      await socket.close();
    });

    test('a datagram of a family that the socket has not fails afterwards', async (w) => {
      const socket = await w.near.bindUdp({ bind: { ip: w.nearIp, port: 0 } });
      const failed = nextFailure(socket);
      socket.send(Uint8Array.of(1), '::1', 9);
      assert.notEqual(await failed, '');
      await socket.close();
    });

    test('ports and TTLs out of range are a RangeError; what is closed sends nothing', async (w) => {
      const socket = await w.near.bindUdp({ bind: { ip: w.nearIp, port: 0 } });
      assert.throws(() => socket.send(Uint8Array.of(1), w.farIp, 70_000), RangeError);
      assert.throws(() => socket.send(Uint8Array.of(1), w.farIp, 9, 256), RangeError);
      assert.throws(() => socket.setTtl(0), RangeError);
      await socket.close();
      await socket.close();
      assert.throws(() => socket.send(Uint8Array.of(1), w.farIp, 9), Error);
    });

    test('a broadcast on the loopback network is heard by all sockets of the port, a datagram to one address by one', async (w) => {
      const bind = { ip: '0.0.0.0', port: 0 };
      const first = await w.near.bindUdp({ bind, reuseAddress: true });
      const { port } = first.address;
      const others = [await w.near.bindUdp({ bind: first.address, reuseAddress: true })];
      others.push(await w.near.bindUdp({ bind: first.address, reuseAddress: true }));
      const asker = await w.near.bindUdp({ bind });
      asker.setBroadcast(true);
      asker.setTtl(1);
      const heard = Promise.all([first, ...others].map(nextDatagram));
      asker.send(Uint8Array.of(7), '127.255.255.255', port);
      for (const { payload, from } of await heard) {
        assert.deepEqual([[...payload], from], [[7], { ip: '127.0.0.1', port: asker.address.port }]);
      }
      let alone = 0;
      for (const socket of [first, ...others]) socket.sink = { onDatagram: () => void alone++ };
      asker.send(Uint8Array.of(8), '127.0.0.1', port);
      const back = nextDatagram(asker);
      asker.send(Uint8Array.of(9), '127.0.0.1', asker.address.port);
      await back;
      assert.equal(alone, 1);
      await Promise.all([first, ...others, asker].map((socket) => socket.close()));
    });

    test('an IPv6-only wildcard leaves IPv4 on its port to another socket, and takes none', async (w) => {
      const six = await w.near.bindUdp({ bind: { ip: '::', port: 0 }, ipv6Only: true });
      const four = await w.near.bindUdp({ bind: { ip: '0.0.0.0', port: six.address.port } });
      await rejects(w.near.bindUdp({ bind: { ip: '::', port: six.address.port } }), 'in_use', 'local');
      const asker = await w.near.bindUdp({ bind: { ip: '::', port: 0 } });
      const heard = Promise.all([nextDatagram(six), nextDatagram(four)]);
      asker.send(Uint8Array.of(6), '::1', six.address.port);
      asker.send(Uint8Array.of(4), '127.0.0.1', six.address.port);
      assert.deepEqual(
        (await heard).map(({ payload }) => [...payload]),
        [[6], [4]],
      );
      const failed = nextFailure(six);
      six.send(Uint8Array.of(1), '127.0.0.1', 9);
      assert.notEqual(await failed, '');
      await Promise.all([six, four, asker].map((socket) => socket.close()));
    });

    test('hop limits of multicast are 1 to 255', async (w) => {
      const socket = await w.near.bindUdp({ bind: { ip: '0.0.0.0', port: 0 } });
      socket.setMulticastTtl(255);
      assert.throws(() => socket.setMulticastTtl(0), RangeError);
      assert.throws(() => socket.setMulticastTtl(256), RangeError);
      await socket.close();
    });

    test('a group is heard by all sockets of the port that joined it, the sender’s host included', async (w) => {
      const bind = { ip: '0.0.0.0', port: 0 };
      const group = '239.77.7.7';
      const first = await w.near.bindUdp({ bind, reuseAddress: true });
      const second = await w.near.bindUdp({ bind: first.address, reuseAddress: true });
      const other = await w.near.bindUdp({ bind });
      for (const socket of [first, second]) socket.joinMulticast(group, 'lo');
      assert.throws(() => other.joinMulticast('10.0.0.1', 'lo'), Error);
      assert.throws(() => other.joinMulticast(group, 'nothing0'), Error);
      assert.throws(() => other.leaveMulticast(group, 'lo'), Error);
      other.setMulticastInterface('lo');
      const heard = Promise.all([nextDatagram(first), nextDatagram(second)]);
      other.send(Uint8Array.of(5), group, first.address.port);
      assert.deepEqual(
        (await heard).map(({ payload }) => [...payload]),
        [[5], [5]],
      );
      first.leaveMulticast(group, 'lo');
      await Promise.all([first, second, other].map((socket) => socket.close()));
    });
  });

  void describe(`${name}: TCP`, () => {
    const connected = async (
      w: ContractWorld,
      bind?: SocketAddress,
    ): Promise<{ server: Server; near: Reader; far: Reader }> => {
      const server = await serve(w.far, { ip: w.farIp, port: 0 });
      const accepted = server.next();
      const near = new Reader(await w.near.dial({ remote: server.address, bind, signal: NEVER }));
      return { server, near, far: new Reader(await accepted) };
    };

    test('bytes arrive in order in both directions; each end knows both addresses; halves close apart', async (w) => {
      const { server, near, far } = await connected(w);
      assert.deepEqual(near.connection.local, far.connection.remote);
      assert.deepEqual(near.connection.remote, far.connection.local);
      for (const { connection } of [near, far]) connection.pipe.resume();
      const large = Uint8Array.from({ length: 300_000 }, (_, i) => i * 7);
      const written = write(near.connection, large);
      near.connection.pipe.end();
      await Promise.all([written, far.ended]);
      assert.deepEqual(far.bytes(), large);
      await write(far.connection, Uint8Array.of(1, 2, 3));
      far.connection.pipe.end();
      await Promise.all([near.ended, near.closed, far.closed]);
      assert.deepEqual([...near.bytes()], [1, 2, 3]);
      assert.deepEqual([near.error, far.error], [undefined, undefined]);
      await server.listener.close();
    });

    test('destroying with bytes unread resets the other end; without any it ends it', async (w) => {
      for (const unread of [true, false]) {
        const { server, near, far } = await connected(w);
        near.connection.pipe.resume();
        if (unread) await write(near.connection, Uint8Array.of(1));
        else far.connection.pipe.resume();
        // What was written has to be there first.
        await write(far.connection, Uint8Array.of(2));
        while (near.chunks.length === 0) await w.tick();
        far.connection.pipe.destroy();
        if (!unread) {
          await near.ended;
          near.connection.pipe.end();
        }
        await near.closed;
        assert.equal(near.error !== undefined, unread);
        await server.listener.close();
      }
    });

    test('a port where nobody listens refuses: unreachable, by the remote side', async (w) => {
      const server = await serve(w.far, { ip: w.farIp, port: 0 });
      await server.listener.close();
      await rejects(w.near.dial({ remote: server.address, signal: NEVER }), 'unreachable', 'remote');
    });

    test('a foreign local address is unreachable, to dial from and to listen on', async (w) => {
      const remote = { ip: w.farIp, port: 9 };
      await rejects(w.near.dial({ remote, bind: nowhere, signal: NEVER }), 'unreachable', 'local');
      await rejects(serve(w.near, nowhere), 'unreachable', 'local');
    });

    test('an aborted dial rejects with the reason of the signal', async (w) => {
      const reason = new Error('enough');
      const remote = { ip: w.farIp, port: 9 };
      await assert.rejects(w.near.dial({ remote, signal: AbortSignal.abort(reason) }), (error) => error === reason);
      const given = new AbortController();
      const server = await serve(w.far, { ip: w.farIp, port: 0 });
      const dialling = w.near.dial({ remote: server.address, signal: given.signal });
      given.abort(reason);
      await assert.rejects(dialling, (error) => error === reason);
      await server.listener.close();
    });

    test('a port is listened on once, but by all that share it, and again when it is closed', async (w) => {
      const first = await serve(w.far, { ip: w.farIp, port: 0 });
      const { port } = first.address;
      for (const ip of [w.farIp, '0.0.0.0', '::']) await rejects(serve(w.far, { ip, port }), 'in_use', 'local');
      await first.listener.close();
      const shared = await serve(w.far, { ip: w.farIp, port }, true);
      const more = await serve(w.far, { ip: w.farIp, port }, true);
      await Promise.all([shared, more].map(({ listener }) => listener.close()));
    });

    test('one port: connects to several, listens afterwards, and does not connect while it listens', async (w) => {
      const servers = [await serve(w.far, { ip: w.farIp, port: 0 }), await serve(w.far, { ip: w.farIp, port: 0 })];
      const free = await serve(w.near, { ip: w.nearIp, port: 0 });
      const bind = free.address;
      await free.listener.close();
      const made: RawConnection[] = [];
      for (const { address } of servers) made.push(await w.near.dial({ remote: address, bind, signal: NEVER }));
      assert.deepEqual(
        made.map(({ local }) => local.port),
        [bind.port, bind.port],
      );
      // To the same place from the same port there is one connection.
      await rejects(w.near.dial({ remote: servers[0]!.address, bind, signal: NEVER }), 'unreachable', 'local');
      const listening = await serve(w.near, bind);
      const third = await serve(w.far, { ip: w.farIp, port: 0 });
      await rejects(w.near.dial({ remote: third.address, bind, signal: NEVER }), 'in_use', 'local');
      const called = listening.next();
      const caller = await w.far.dial({ remote: bind, signal: NEVER });
      const callee = await called;
      for (const { pipe } of [...made, caller, callee]) pipe.destroy();
      await Promise.all([...servers, listening, third].map(({ listener }) => listener.close()));
    });

    test('the port of a connection that named none is taken', async (w) => {
      const { server, near } = await connected(w);
      const bind = near.connection.local;
      const other = await serve(w.far, { ip: w.farIp, port: 0 });
      await rejects(w.near.dial({ remote: other.address, bind, signal: NEVER }), 'in_use', 'local');
      await rejects(serve(w.near, bind), 'in_use', 'local');
      near.connection.pipe.destroy();
      await Promise.all([server, other].map(({ listener }) => listener.close()));
    });

    test('what nobody reads fills a window and waits; reading lets it go on', async (w) => {
      const { server, near, far } = await connected(w);
      const large = new Uint8Array(20_000_000).fill(3);
      const written = write(near.connection, large);
      for (let i = 0; i < 20; i++) await w.tick();
      assert.ok(near.connection.pipe.unsentBytes > 0);
      far.connection.pipe.resume();
      await written;
      near.connection.pipe.end();
      await far.ended;
      assert.equal(far.bytes().length, large.length);
      for (const { connection } of [near, far]) connection.pipe.destroy();
      await server.listener.close();
    });
  });

  void describe(`${name}: interfaces`, () => {
    test('there is a loopback interface, and an address of each interface can be bound to', async (w) => {
      const interfaces = w.near.interfaces();
      assert.ok(interfaces.some(({ ip, isInternal }) => ip === '127.0.0.1' && isInternal));
      for (const { ip, prefixLength } of interfaces) {
        assert.ok(prefixLength > 0 && prefixLength <= 128);
        await (await w.near.bindUdp({ bind: { ip, port: 0 } })).close();
      }
      w.near.onInterfacesChanged(() => undefined)[Symbol.dispose]();
    });
  });
}
