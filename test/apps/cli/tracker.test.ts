import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { runInNewContext } from 'node:vm';
import { openPeers } from 'shoal/peers';
import { peerIdOfKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { createTrackerToken, openTracker } from 'shoal/tracker';
import { faultsOf } from '../../../apps/cli/src/commands/infra-config.ts';
import { assertFails, type Running, shoal, startShoal } from './command.ts';

class Folder implements Disposable {
  readonly path: string = mkdtempSync(path.join(tmpdir(), 'shoal-infra-'));
  file(name: string, text = ''): string {
    const file = path.join(this.path, name);
    if (text !== '') writeFileSync(file, text);
    return file;
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const HOST = ['--bind', '127.0.0.1:0'] as const;
const idOf = (n: number): ReturnType<typeof peerIdOfKey> => peerIdOfKey(testKey(n).publicKey);

/** kill -9. */
async function killed(running: Running): Promise<void> {
  running.process.kill('SIGKILL');
  if (running.process.exitCode === null && running.process.signalCode === null) await once(running.process, 'exit');
}

describe('shoal tracker', () => {
  it('says first where it listens, serves, and ends in order on Ctrl-C', async () => {
    await using server = startShoal('tracker', ...HOST, '--token');
    const { url } = await server.next('listening');
    assert.match(String(url), /^http:\/\/127\.0\.0\.1:\d+$/);
    const { token } = await server.next('token');
    await using alice = openTracker({ at: String(token), id: idOf(1) });
    await alice.announce(['tcp://192.0.2.1:5000']);
    await using bob = openTracker({ at: String(token) });
    assert.equal((await bob.lookUp(idOf(1))).length, 1);
    assert.equal((await fetch(`${String(url)}/health`)).status, 200);
    assert.match(await (await fetch(`${String(url)}/metrics`)).text(), /^shoal_tracker_cells 1$/m);
    const { code, events, stderr } = await server.interrupt();
    assert.deepEqual([code, stderr], [0, '']);
    const [first] = events;
    assert.equal(first?.['event'], 'listening');
    assert.ok(Number(events.at(-1)!['answered']) >= 3);
  });

  for (const kind of ['file', 'sqlite']) {
    it(`keeps what it has acknowledged when it is killed: ${kind}`, { timeout: 120_000 }, async () => {
      using folder = new Folder();
      const store = ['--store', `${kind}:${folder.file('cells')}`];
      const first = startShoal('tracker', ...HOST, ...store);
      const { url } = await first.next('listening');
      const bind = new URL(String(url)).host;
      const token = createTrackerToken(String(url)).text;
      await using alice = openTracker({ at: token, id: idOf(1) });
      await alice.announce(['tcp://192.0.2.1:5000']);
      await killed(first);
      await using second = startShoal('tracker', '--bind', bind, ...store);
      await second.next('listening');
      await using bob = openTracker({ at: token });
      assert.deepEqual(
        (await bob.lookUp(idOf(1))).map(({ addr }) => addr),
        ['tcp://192.0.2.1:5000'],
      );
      assert.equal((await second.interrupt()).code, 0);
    });
  }

  it('says what is wrong with its options', async () => {
    assertFails(
      await shoal(['tracker', ...HOST, '--store', 'nowhere']),
      2,
      /Cannot take store: expected memory, file:/,
    );
    assertFails(await shoal(['tracker', '--bind', 'x']), 2, /Cannot take bind/);
    assertFails(await shoal(['tracker', ...HOST, '--tls-cert', 'x']), 2, /HTTPS needs a certificate and its key/);
    assertFails(
      await shoal(['tracker', ...HOST, '--tls-cert', '/x', '--tls-key', '/x']),
      1,
      /Cannot use the certificate/,
    );
    assertFails(
      await shoal(['tracker', ...HOST, '--store', 'redis://127.0.0.1:1']),
      1,
      /Cannot open Redis at 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1$/m,
    );
    using folder = new Folder();
    const noPem = folder.file('no.pem', 'x');
    assertFails(
      await shoal(['tracker', ...HOST, '--tls-cert', noPem, '--tls-key', noPem]),
      1,
      /Cannot use the certificate: .*no start line/,
    );
    assertFails(await shoal(['tracker', ...HOST, '--store', 'redis://']), 2, /expected redis:\/\/host:port/);
    assertFails(await shoal(['tracker', ...HOST, '--token', '--url', 'ftp://x']), 2, /Cannot take --url/);
  });
});

describe('shoal infra', () => {
  it(
    'is a peer, an observer, a relay and a tracker on one port, and says what to paste',
    { timeout: 120_000 },
    async () => {
      using folder = new Folder();
      await using running = startShoal('infra', ...HOST, '--data', folder.file('data'), '--network-name', 'pasted');
      const { id, url, options, paste, addrs } = await running.next('infra');
      assert.match(String(paste), /^openPeers\(\{ privateKey, networkName: 'pasted', contacts: \['/);
      const ports = new Set((addrs as readonly string[]).map((addr) => addr.slice(addr.lastIndexOf(':') + 1)));
      assert.deepEqual([...ports], [new URL(String(url)).port]);
      const given = { ...(options as { readonly tracker: string }), bind: '127.0.0.1:0', resumeMs: 1000 };
      await using alice = await openPeers({ ...given, privateKey: testKey(1) });
      await using bob = await openPeers({ ...given, privateKey: testKey(2), contacts: [] });
      bob.serve(({ payload }) => payload);
      await alice.ready;
      assert.ok(
        alice.list().some((peer) => peer.id === id && peer.state === 'connected'),
        'the contact',
      );
      // Its tracker: Bob is found by his PeerID alone, as soon as he has announced himself.
      await using seeking = openTracker({ at: given.tracker, cacheMs: 0 });
      while ((await seeking.lookUp(idOf(2))).length === 0) await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(await alice.ask(idOf(2), Uint8Array.of(7)), Uint8Array.of(7));
      assert.equal((await fetch(`${String(url)}/health`)).status, 200);
      const metrics = await (await fetch(`${String(url)}/metrics`)).text();
      assert.match(metrics, /^shoal_peers\{state="connected"\} \d+$/m);
      assert.match(metrics, /^shoal_tracker_cells 1$/m);
      assert.equal((await running.interrupt()).code, 0);
    },
  );

  it('is the same after kill -9, with all that it has acknowledged', { timeout: 120_000 }, async () => {
    using folder = new Folder();
    const data = ['--data', folder.file('data')];
    const first = startShoal('infra', ...HOST, ...data);
    const before = await first.next('infra');
    const { tracker } = before['options'] as { readonly tracker: string };
    await using alice = openTracker({ at: tracker, id: idOf(1) });
    for (let i = 1; i <= 20; i++) await alice.announce([`tcp://192.0.2.${i}:5000`]);
    await killed(first);
    await using second = startShoal('infra', '--bind', new URL(String(before['url'])).host, ...data);
    const after = await second.next('infra');
    assert.deepEqual(after, before);
    await using bob = openTracker({ at: tracker });
    assert.deepEqual(
      (await bob.lookUp(idOf(1))).map(({ addr }) => addr),
      ['tcp://192.0.2.20:5000'],
    );
    assert.ok(readdirSync(folder.file('data')).includes('key.pem'));
    assert.equal((await second.interrupt()).code, 0);
  });

  it('takes its options from a file, and those of the command before it', { timeout: 120_000 }, async () => {
    using folder = new Folder();
    const file = folder.file(
      'infra.json',
      JSON.stringify({
        data: folder.file('data'),
        bind: '127.0.0.1:0',
        host: 'infra.example.org',
        networkName: 'of-the-file',
        tracker: { url: 'https://tracker.example.org/cells', maxCells: 10, metrics: 'off' },
        node: { serveRelay: { maxPeers: 3 } },
      }),
    );
    await using running = startShoal('infra', '--config', file, '--network-name', 'of-the-command');
    const { options, url } = await running.next('infra');
    const { networkName, contacts, tracker, observers } = options as Readonly<
      Record<string, string | readonly string[]>
    >;
    assert.equal(networkName, 'of-the-command');
    assert.match(contacts![0]!, /@infra\.example\.org:\d+$/);
    assert.match(String(tracker), /^https:\/\/tracker\.example\.org\/cells\/[\w-]{43}#/);
    assert.equal(observers, undefined, 'an observer is asked by its IP');
    assert.equal((await fetch(`${String(url)}/metrics`)).status, 404);
    assert.equal((await running.interrupt()).code, 0);
  });

  it('quotes the name of the network in the lines to paste', { timeout: 120_000 }, async () => {
    using folder = new Folder();
    const name = `it's "a\\b"; $(id)`;
    await using running = startShoal('infra', ...HOST, '--data', folder.file('data'), '--network-name', name);
    const { options, paste } = await running.next('infra');
    const call = String(paste).replace('openPeers({ privateKey,', '({');
    assert.deepEqual(JSON.parse(JSON.stringify(runInNewContext(call))), options);
    await running.interrupt();
  });

  it('says everything that is wrong with a file', async () => {
    using folder = new Folder();
    const faults = faultsOf({
      dat: 'x',
      bind: 7,
      tracker: { maxCell: 1 },
      https: { bind: 'x' },
      node: { bind: 'x', minPeers: -1 },
    });
    assert.deepEqual(
      faults.map((fault) => fault.split(/[:;] /)[0]),
      [
        'dat is not known',
        'bind',
        'tracker.maxCell is not known',
        'https.certFile',
        'https.keyFile',
        'node.bind',
        'Cannot use node',
      ],
    );
    assert.deepEqual(faultsOf([]), ['the file: expected an object']);
    assertFails(await shoal(['infra', '--config', folder.file('x.json', '{"secret')]), 1, /it is not JSON$/m);
    assertFails(await shoal(['infra', '--config', folder.file('none.json')]), 1, /ENOENT/);
    assertFails(await shoal(['infra', ...HOST]), 2, /--data names the folder/);
    assertFails(await shoal(['infra', ...HOST, '--data', folder.file('d'), '--host', 'a b']), 2, /Cannot take host/);
    assertFails(await shoal(['infra', ...HOST, '--data', folder.file('file', 'x')]), 1, /Cannot use /);
  });
});
