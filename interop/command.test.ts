/** The `shoal` command against the independent Go peer, whose PeerIDs are SHA3-256 as those of go-p2p's quicswarm. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listening, shoal } from '../test/apps/cli/command.ts';
import { GoPeer, goMissing } from './go-peer.ts';

describe('the command with --preset go-p2p and the independent Go peer', { skip: goMissing() }, () => {
  it('asks over quic', async () => {
    await using go = new GoPeer('udp,quic', 60);
    const ask = ['ask', '--stack', 'quic', await go.address(), '--data', 'hello', '--timeout', '5000'];
    assert.deepEqual(await shoal([...ask, '--preset', 'go-p2p']), { code: 0, stdout: 'hello', stderr: '', events: [] });
    assert.notEqual((await shoal(ask)).code, 0);
  });

  it('answers what Go asks', async () => {
    await using go = new GoPeer('udp,quic', 61);
    await using us = await listening('--stack', 'quic', '--preset', 'go-p2p', '--echo');
    go.send('ask', us.addr, new TextEncoder().encode('hello'));
    assert.equal((await us.next('ask'))['payload'], 'aGVsbG8=');
    assert.equal((await go.next('answer')).payload, 'aGVsbG8=');
  });
});
