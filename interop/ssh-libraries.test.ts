/** SSH against ssh2 and paramiko: they connect, authenticate, and are told no, in both directions. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../src/core/errors.ts';
import { sshFingerprint } from '../src/identity/keys.ts';
import { openSshSwarm, type SshSwarm, type SshSwarmOptions } from '../src/swarms/ssh/index.ts';
import { testKey } from '../src/testing/test-key.ts';
import { clientMissing, SshFolder } from './openssh-programs.ts';
import { LIBRARIES, LibraryPeer } from './ssh-libraries.ts';

const own = sshFingerprint(testKey(3).publicKey);
const openOurs = (options: Partial<SshSwarmOptions> = {}): Promise<SshSwarm> =>
  openSshSwarm({ bind: '127.0.0.1:0', privateKey: testKey(3), ...options });

for (const library of LIBRARIES) {
  // Keys are made by ssh-keygen.
  const skip = clientMissing() || library.missing();

  describe(`ssh with ${library.name}: it dials`, { skip }, () => {
    it('it is authenticated, may open no channel, and its requests are refused', async () => {
      using folder = new SshFolder();
      const key = folder.key('ed25519');
      const accepted: string[] = [];
      await using us = await openOurs({ accept: ({ addr }) => accepted.push(addr.fingerprint) > 0 });
      await using peer = new LibraryPeer(library, ['client', String(us.addr.inner.port), key]);
      assert.equal((await peer.next('host')).fingerprint, own);
      await peer.next('ready');
      assert.deepEqual(accepted, [folder.fingerprint(key)]);
      const channel = await peer.next('channel');
      assert.equal(channel.reason, 1);
      assert.match(channel.message!, /don't do that|Administratively prohibited/i);
      assert.ok((await peer.next('request')).message, 'its request was refused');
      if (library.name.startsWith('paramiko')) assert.equal((await peer.next('again')).message, 'refused');
    });
  });

  describe(`ssh with ${library.name}: we dial`, { skip }, () => {
    it('we are authenticated, and our messages are no requests that it knows', async () => {
      using folder = new SshFolder();
      const key = folder.key('ed25519');
      await using peer = new LibraryPeer(library, ['server', key]);
      const { port } = await peer.next('listening');
      // Neither says how much it takes; ssh2 takes what RFC 4253 guarantees.
      await using us = await openOurs({ maxPacketBytes: 35_000, rekeyBytes: 60_000 });
      const addr = us.parseAddr(`${folder.fingerprint(key)}@127.0.0.1:${port}`);
      await assert.rejects(us.ask(addr, new Uint8Array(5)), (error) => P2PError.is(error, 'refused'));
      const { user, fingerprint } = await peer.next('authenticated');
      assert.deepEqual([user, fingerprint], ['', own]);
      assert.equal(us.mtu(addr), 32_762);
      // New keys are exchanged on the way.
      for (let i = 0; i < 6; i++) {
        await us.tell(addr, new Uint8Array(32_762));
        await assert.rejects(us.ask(addr, new Uint8Array(32_762)), (error) => P2PError.is(error, 'refused'));
      }
    });
  });
}
