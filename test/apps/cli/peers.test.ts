import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerId } from 'shoal';
import { openPeers } from 'shoal/peers';
import { testKey } from 'shoal/testing';
import { tableOf } from '../../../apps/cli/src/commands/peers.ts';
import { assertFails, machineLan, shoal, startShoal } from './command.ts';

describe('shoal explain', () => {
  it('connects by a contact, and tells how; fails with the reason when the peer cannot be reached', async () => {
    await using node = await openPeers({ privateKey: testKey(1), bind: '127.0.0.1:0', networkName: 'cli' });
    const contact = node.addrs[0]!.replace(/^[a-z]+:\/\//, '');
    const args = ['explain', node.id, '--network-name', 'cli', '--bind', '127.0.0.1:0', '--contact', contact];
    const [words, json] = await Promise.all([shoal(args), shoal([...args, '--json'])]);
    assert.equal(words.code, 0, words.stderr);
    assert.match(words.stdout, /connected direct (tcp|quic)/);
    assert.equal(json.events[0]!['state'], 'connected');
    const other = args.map((arg) => (arg === 'cli' ? 'another' : arg));
    assertFails(await shoal(other), 1, /wrong_network/);
    assertFails(await shoal(['explain', 'nobody']), 2, /Cannot explain: Cannot parse PeerID/);
  });
});

describe('shoal peers', () => {
  it('meets nodes on the LAN, and tells who connects and who is lost, until Ctrl-C', async () => {
    await using lan = await machineLan();
    await using alice = startShoal('peers', ...lan.args, '--network-name', 'cli');
    const { id, command } = await alice.next('peers');
    assert.match(String(command), /^shoal peers --contact '[\w-]{43}@127\.0\.0\.1:\d+'$/);
    await using bob = startShoal('peers', ...lan.args, '--network-name', 'cli');
    const own = await bob.next('peers');
    assert.equal((await bob.next('peer_connected'))['id'], id);
    const { id: met, path } = await alice.next('peer_connected');
    assert.equal(met, own['id']);
    assert.equal((path as { readonly side: string }).side, 'initiator');
    assert.equal((await alice.next('peer_kind'))['kind'], 'node');
    const ended = await bob.interrupt();
    assert.deepEqual([ended.code, ended.stderr], [0, '']);
    assert.deepEqual(ended.events.at(-1), { event: 'closed' });
    assert.equal((await alice.next('peer_lost'))['reason'], 'the peer ended it: closed');
    assert.equal((await alice.interrupt()).code, 0);
  });

  it('refuses what names no peer and a file that is none', async () => {
    assertFails(await shoal(['peers', '--maintain', 'x']), 2, /Cannot maintain: Cannot parse PeerID/);
    assertFails(await shoal(['peers', '--contact', 'x', '--bind', 'y']), 2, /Cannot open: Cannot take bind/);
    assertFails(await shoal(['peers', '--contact', 'x', '--bind', '127.0.0.1:0']), 2, /Cannot open: .*contact/);
    const args = ['peers', '--bind', '127.0.0.1:0', '--broadcast', 'x'];
    assertFails(await shoal(args), 2, /Cannot open: .*broadcast/);
    const folder = import.meta.dirname;
    const missing = `${folder}/missing.json`;
    assertFails(await shoal(['peers', '--config', missing]), 1, /Cannot use .*missing\.json: there is no such file/);
    assertFails(await shoal(['peers', '--config', folder]), 1, /Cannot use .*: EISDIR/);
  });

  it('shows a table with one line for each peer', () => {
    const path = { transport: 'tcp', addr: 'x@192.0.2.1:5000', kind: 'direct', side: 'responder' } as const;
    const common = { kind: 'node', isMaintained: false, received: 3, sent: 4 } as const;
    const lines = tableOf(
      [
        { ...common, id: 'A'.repeat(43) as PeerId, state: 'connected', path, rttMs: 1.25, sinceMs: 1000 },
        {
          ...common,
          id: 'B'.repeat(43) as PeerId,
          state: 'connecting',
          path: undefined,
          rttMs: undefined,
          sinceMs: undefined,
        },
      ],
      61_000,
    );
    assert.deepEqual(
      lines.map((line) => line.split(/ {2,}/)),
      [
        ['peer', 'state', 'kind', 'path', 'round trip', 'since', 'in', 'out'],
        ['AAAAAAAAAA', 'connected', 'node', 'tcp 192.0.2.1:5000', '1.3 ms', '60 s', '3', '4'],
        ['BBBBBBBBBB', 'connecting', 'node', '3', '4'],
      ],
    );
  });
});
