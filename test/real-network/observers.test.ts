/** Observers and dial-back over this machine's loopback, and with STUN programs of others where they are installed. */

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { P2PError } from '../../src/core/errors.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import {
  askStunOverTcp,
  DialBackNonces,
  listenForDialBack,
  natReport,
  observing,
  openObserver,
  proveReachable,
  serveDialBack,
} from '../../src/nat/index.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';

const run = promisify(execFile);

/** For `skip`: why a program is not run. */
function missing(program: string): string | false {
  const found = spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
  return found ? false : `${program} is not installed`;
}

const openLocal = () => openObserver({ bind: '127.0.0.1:0', otherBind: '127.0.0.2:0' });

describe('an observer', () => {
  it('tells a swarm and a connection their addresses', async () => {
    await using observer = await openLocal();
    const [first] = observer.addresses;
    await using swarm = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
    const { mapped, other } = await swarm.observe(first!);
    assert.deepEqual(mapped, { ip: '127.0.0.1', port: swarm.addr.port });
    assert.equal(other?.ip, '127.0.0.2');
    const server = parseSocketAddress(first!)!;
    const answer = await askStunOverTcp({ network: systemNetwork, realm: systemRealm, server });
    assert.deepEqual(answer.mapped, answer.local);
  });

  it('two swarms observe each other, and their messages pass', async () => {
    await using alice = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
    await using bob = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
    const heard = Promise.withResolvers<Uint8Array>();
    bob.listen(({ payload }) => heard.resolve(payload));
    const { mapped } = await alice.observe(bob.addr);
    assert.equal(mapped.port, alice.addr.port);
    await alice.tell(bob.addr, Uint8Array.of(0, 1, 2));
    assert.deepEqual(await heard.promise, Uint8Array.of(0, 1, 2));
  });

  it('answers no garbage, closes connections that send it, and limits one source', async () => {
    await using observer = await openObserver({ bind: '127.0.0.1:0', maxPerSourcePerSecond: 5 });
    const { port } = parseSocketAddress(observer.addresses[0]!)!;
    const socket = createSocket('udp4');
    using _closed = { [Symbol.dispose]: () => void socket.close() };
    let answers = 0;
    socket.on('message', () => answers++);
    for (let i = 0; i < 200; i++) socket.send(new Uint8Array(i), port, '127.0.0.1');
    const stream = connect(port, '127.0.0.1');
    stream.write('GET / HTTP/1.1\r\nhost: somebody\r\n\r\n');
    await once(stream.resume(), 'close');
    await using swarm = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
    await assert.rejects(swarm.observe(observer.addresses[0]!, { timeoutMs: 300 }), (error) =>
      P2PError.is(error, 'timeout'),
    );
    assert.equal(answers, 0);
    assert.ok((observer.counters.drops.get('observer.rate_limited') ?? 0) > 0);
  });

  it('a report of this machine says that there is no NAT', async () => {
    await using observer = await openLocal();
    const report = await natReport({ observers: [observer.addresses[0]!] });
    const [udp, tcp] = report.paths;
    assert.deepEqual(
      [udp!.mapping?.behavior, udp!.filtering?.behavior, tcp!.mapping?.behavior],
      ['none', 'endpoint-independent', 'none'],
    );
    assert.match(report.summary.join('\n'), /Every peer can dial this host/);
  });

  it('an observer that is not there is named with the reason, and so is bad input', async () => {
    const socket = createSocket('udp4');
    using _closed = { [Symbol.dispose]: () => void socket.close() };
    await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve)); // It stays silent.
    const silent = `127.0.0.1:${socket.address().port}`;
    const report = await natReport({ observers: [silent], timeoutMs: 200 });
    const [udp, tcp] = report.paths.map(({ observers }) => observers[0]!.failed);
    assert.equal(udp, 'timeout');
    // The port is free for TCP, unless another process of this machine listens there.
    assert.ok(tcp === 'unreachable' || tcp === 'refused' || tcp === 'timeout', String(tcp));
    assert.match(report.summary[0]!, /no observer answered/);
    assert.throws(() => natReport({ observers: ['somewhere'] }), TypeError);
    assert.throws(() => natReport({} as never), TypeError);
    assert.throws(() => openObserver({ bind: '127.0.0.1:0', otherBind: '127.0.0.1:0' }), TypeError);
    assert.throws(() => openObserver({ bind: '0.0.0.0:0', otherBind: '127.0.0.1:9' }), TypeError);
    const aborted = natReport({ observers: [silent], signal: AbortSignal.abort(new Error('no more')) });
    await assert.rejects(aborted, /no more/);
  });
});

describe('dial-back', () => {
  const open = () => Promise.all([1, 2].map((i) => openTcpSwarm({ privateKey: testKey(i), bind: '127.0.0.1:0' })));

  for (const transport of ['udp', 'tcp'] as const) {
    it(`a helper proves an open ${transport.toUpperCase()} port, from another IP`, async () => {
      const [alice, helper] = (await open()) as [
        Awaited<ReturnType<typeof openTcpSwarm>>,
        Awaited<ReturnType<typeof openTcpSwarm>>,
      ];
      await using _alice = alice;
      await using _helper = helper;
      using helping = serveDialBack(helper, { dialFrom: ['127.0.0.3'] });
      const nonces = new DialBackNonces();
      await using listener = await listenForDialBack({ transport, bind: '127.0.0.1:0', nonces });
      const target = parseSocketAddress(listener.address)!;
      const before = Date.now();
      const proof = await proveReachable(alice, helper.addr, { target, transport, nonces });
      assert.deepEqual([proof.target, proof.transport, proof.fromOtherIp], [listener.address, transport, true]);
      assert.ok(proof.from.startsWith('127.0.0.3:') && proof.atMs >= before);
      assert.equal(nonces.size, 0);
      assert.equal(helping.counters.sent, 1);
    });
  }

  it('a closed port is not proven, a refused target is not dialled, and too many requests are refused', async () => {
    const [alice, helper] = (await open()) as [
      Awaited<ReturnType<typeof openTcpSwarm>>,
      Awaited<ReturnType<typeof openTcpSwarm>>,
    ];
    await using _alice = alice;
    await using _helper = helper;
    using _helping = serveDialBack(helper, { maxPerSourcePerMinute: 6 });
    const nonces = new DialBackNonces();
    const prove = (port: number, ip = '127.0.0.1'): Promise<string> =>
      proveReachable(alice, helper.addr, { target: { ip, port }, transport: 'tcp', nonces, timeoutMs: 5000 }).then(
        () => 'proven',
        (error: unknown) => (error as P2PError).code,
      );
    assert.equal(await prove(1024), 'unreachable');
    for (const ip of ['224.0.0.1', '255.255.255.255', '10.255.255.1', '0.0.0.0']) {
      assert.equal(await prove(4000, ip), 'refused', ip);
    }
    assert.equal(await prove(22), 'refused', 'a well-known port');
    assert.deepEqual(
      [await prove(1024), await prove(1024), await prove(1024)],
      ['unreachable', 'unreachable', 'limit_exceeded'],
    );
    await assert.rejects(
      proveReachable(alice, helper.addr, {
        target: { ip: '127.0.0.1', port: 1024 },
        transport: 'tcp',
        nonces,
        signal: AbortSignal.abort(new Error('no more')),
      }),
      /no more/,
    );
    assert.equal(nonces.size, 0);
  });
});

describe('programs of others', () => {
  it('stun-client takes our observer for a server without a NAT in between', { skip: missing('stun') }, async () => {
    await using observer = await openLocal();
    const { stdout, stderr } = await run('stun', [observer.addresses[0]!, '-v']).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    assert.match(stdout + stderr, /Open/);
  });

  it(
    "coturn's tool finds our observer's mapping and filtering",
    { skip: missing('turnutils_natdiscovery') },
    async () => {
      await using observer = await openLocal();
      const [address] = observer.addresses;
      const { port } = parseSocketAddress(address!)!;
      const args = ['-m', '-f', '-L', '127.0.0.1', '-p', String(port), '127.0.0.1'];
      const { stdout, stderr } = await run('turnutils_natdiscovery', args).catch(
        (error: { stdout: string; stderr: string }) => error,
      );
      assert.match(stdout + stderr, /NAT with Endpoint Independent Mapping|No NAT/i);
      assert.match(stdout + stderr, /Endpoint Independent Filtering/i);
    },
  );

  it('coturn answers us', { skip: missing('turnserver') }, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'shoal-coturn-'));
    // A port that is free for UDP and TCP.
    const probe = await openObserver({ bind: '127.0.0.1:0' });
    const { port } = parseSocketAddress(probe.addresses[0]!)!;
    await probe.close();
    const server: ChildProcess = spawn(
      'turnserver',
      `-n -S -L 127.0.0.1 -L 127.0.0.2 -p ${port} --no-cli --no-tls --no-dtls -b db --pidfile pid --log-file stdout`.split(
        ' ',
      ),
      { stdio: 'ignore', cwd: folder },
    );
    try {
      await using swarm = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
      // It takes a moment to start; a question is repeated for 3 s.
      let answer = await swarm.observe(`127.0.0.1:${port}`).catch(() => undefined);
      answer ??= await swarm.observe(`127.0.0.1:${port}`);
      assert.deepEqual(answer.mapped, { ip: '127.0.0.1', port: swarm.addr.port });
      const over = await askStunOverTcp({
        network: systemNetwork,
        realm: systemRealm,
        server: { ip: '127.0.0.1', port },
      });
      assert.deepEqual(over.mapped, over.local);
    } finally {
      server.kill('SIGKILL');
      await once(server, 'exit');
      rmSync(folder, { recursive: true });
    }
  });
});
