import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openLan } from 'shoal/discovery';
import { peerIdOfKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { assertFails, shoal } from './command.ts';

const broadcast = '127.255.255.255';

describe('shoal discover', () => {
  it('shows the nodes of a network on this machine with their addresses, in words and as JSON', async () => {
    const privateKey = testKey(1);
    const id = peerIdOfKey(privateKey.publicKey);
    const addrs = [`${id}@127.0.0.1:5001`];
    const seen: unknown[] = [];
    const options = {
      privateKey,
      networkName: 'cli',
      addrs,
      broadcast,
      onPeer: (peer: unknown) => void seen.push(peer),
    };
    await using lan = await openLan({ ...options, port: 0 });
    const args = ['discover', '--network-name', 'cli', '--seconds', '1', '--broadcast', broadcast];
    const port = ['--port', String(lan.port)];
    const [words, json] = await Promise.all([shoal([...args, ...port]), shoal([...args, ...port, '--json'])]);
    assert.equal(words.code, 0, words.stderr);
    assert.match(words.stdout, new RegExp(`^${id} at 127\\.0\\.0\\.1 on \\S+ \\(\\d+ ms\\)\\n  ${addrs[0]!}\\n`));
    assert.match(words.stdout, /1 node of network 'cli' in 1 s/);
    assert.deepEqual(
      json.events.map(({ event, id: peer, addrs: its, peers }) => [event, peer, its, peers]),
      [
        ['lan_peer', id, addrs, undefined],
        ['discovered', undefined, undefined, 1],
      ],
    );
    // It announces nobody.
    assert.deepEqual([seen, lan.peers], [[], []]);
  });

  it('fails when no node answers, and for wrong options', async () => {
    await using lan = await openLan({ privateKey: testKey(2), networkName: 'other', addrs: [], broadcast, port: 0 });
    const port = ['--port', String(lan.port), '--broadcast', broadcast];
    assertFails(await shoal(['discover', '--seconds', '1', ...port]), 1, /No node of network 'shoal' answered/);
    assertFails(await shoal(['discover', '--broadcast', 'everywhere']), 2, /Cannot discover: Cannot take broadcast/);
    assertFails(await shoal(['discover', ...port, '--network-name', '']), 2, /Cannot take networkName/);
    assertFails(await shoal(['discover', '--seconds', '0']), 2, /Expected a whole number/);
  });
});
