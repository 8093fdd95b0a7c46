import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatSocketAddress } from 'shoal/net';
import { systemNetwork } from 'shoal/node';
import { exportKey } from 'shoal/keys';
import { openPeers } from 'shoal/peers';
import { testKey } from 'shoal/testing';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openHttpProxy } from '../../support/http-proxy.ts';
import { idOf } from '../../support/peers-world.ts';
import { assertFails, type Running, shoal, startShoal } from './command.ts';

const HOST = ['--bind', '127.0.0.1:0', '--network-name', 'cli'] as const;

/** Key files, which are removed at the end. */
function keyFiles(...keys: readonly number[]): Disposable & { readonly files: readonly string[] } {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-relay-'));
  const files = keys.map((key) => {
    const file = path.join(folder, `${key}.pem`);
    writeFileSync(file, exportKey(testKey(key), 'pem'), { mode: 0o600 });
    return file;
  });
  return { files, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A relay, and where it is. */
async function relaying(...args: readonly string[]): Promise<Running & { readonly place: string }> {
  const running = startShoal('relay', ...HOST, ...args);
  const { relays, id } = await running.next('relaying');
  const [place] = relays as readonly string[];
  assert.match(place!, new RegExp(`^${String(id)}@127\\.0\\.0\\.1:\\d+$`));
  return { ...running, place: place! };
}

describe('shoal relay', () => {
  it('carries what peers say that may use nothing else, and ends in order on Ctrl-C', async () => {
    await using relay = await relaying('--max-peers', '7');
    const relayed = ['--policy', 'relayed', '--relay', relay.place];
    using keys = keyFiles(1);
    await using peer = startShoal('peers', ...HOST, ...relayed, '--key', keys.files[0]!);
    const reserved = await peer.next('peer_relay');
    assert.deepEqual([reserved['state'], relay.place.startsWith(String(reserved['relay']))], ['reserved', true]);
    const { code, events, stderr } = await shoal(['explain', idOf(1), ...HOST, ...relayed, '--json']);
    assert.equal(code, 0, stderr);
    assert.equal(events[0]!['state'], 'connected');
    assert.equal((events[0]!['path'] as { readonly kind: string }).kind, 'relay');
    assert.equal((await peer.interrupt()).code, 0);
    const ended = await relay.interrupt();
    assert.deepEqual([ended.code, ended.stderr], [0, '']);
    const last = ended.events.findLast(({ event }) => event === 'relayed')!;
    assert(Number(last['passedOn']) > 0);
    assert.deepEqual(ended.events.at(-1), { event: 'closed' });
  });

  it('gives places to those that it was told to allow, and to nobody else', async () => {
    await using relay = await relaying('--allow', idOf(1));
    using keys = keyFiles(1, 2);
    const args = ['peers', ...HOST, '--relay', relay.place, '--key'] as const;
    await using allowed = startShoal(...args, keys.files[0]!);
    await using stranger = startShoal(...args, keys.files[1]!);
    assert.equal((await allowed.next('peer_relay'))['state'], 'reserved');
    assert.equal((await stranger.next('peer_relay'))['state'], 'refused');
    assertFails(await shoal(['relay', ...HOST, '--allow', 'x']), 2, /Cannot allow: Cannot parse PeerID/);
  });
});

describe('--proxy', () => {
  it('has TCP go through an HTTP proxy', async () => {
    await using peer = await openPeers({ privateKey: testKey(1), bind: '127.0.0.1:0', networkName: 'cli' });
    const port = Number(peer.addrs[0]!.slice(peer.addrs[0]!.lastIndexOf(':') + 1));
    // Only the proxy knows the way to the address of the peer.
    const beyond: typeof systemNetwork = {
      ...systemNetwork,
      dial: (options) => systemNetwork.dial({ ...options, remote: { ip: '127.0.0.1', port: options.remote.port } }),
    };
    const proxy = await openHttpProxy(beyond, { ip: '127.0.0.1', port: 0 });
    const { ip, port: proxyPort } = proxy.address;
    const url = `http://${formatSocketAddress(ip, proxyPort)}`;
    const args = ['explain', peer.id, ...HOST, '--contact', `${peer.id}@203.0.113.9:${port}`];
    const { code, stdout, stderr } = await shoal([...args, '--proxy', url]);
    await proxy.close();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /connected direct tcp/);
    assert.match(proxy.requests[0]!, new RegExp(`^CONNECT 203\\.0\\.113\\.9:${port} HTTP/1\\.1\\r\\n`));
    assertFails(
      await shoal([...args, '--proxy', 'socks5://alice:hunter2@127.0.0.1']),
      2,
      /Cannot take proxy: expected http/,
    );
  });
});
