import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPeers } from 'shoal/peers';
import { testKey } from 'shoal/testing';
import { assertFails, shoal } from './command.ts';

describe('shoal explain', () => {
  it('connects by a contact, and tells how; fails with the reason when the peer cannot be reached', async () => {
    await using node = await openPeers({ privateKey: testKey(1), bind: '127.0.0.1:0', networkName: 'cli' });
    const contact = node.addrs[0]!.replace(/^[a-z]+:\/\//, '');
    const args = ['explain', node.id, '--network-name', 'cli', '--bind', '127.0.0.1:0', '--contact', contact];
    const [words, json] = await Promise.all([shoal(args), shoal([...args, '--json'])]);
    assert.equal(words.code, 0, words.stderr);
    assert.match(words.stdout, /connected direct tcp/);
    assert.equal(json.events[0]!['state'], 'connected');
    const other = args.map((arg) => (arg === 'cli' ? 'another' : arg));
    assertFails(await shoal(other), 1, /wrong_network/);
    assertFails(await shoal(['explain', 'nobody']), 2, /Cannot explain: Cannot parse PeerID/);
  });
});
