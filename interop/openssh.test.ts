/** SSH against OpenSSH: its client is told that there are no channels, and its server tells us that it knows no such request. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { AcceptPeer } from '../src/core/accept.ts';
import { P2PError } from '../src/core/errors.ts';
import { sshFingerprint, sshWireKey } from '../src/identity/keys.ts';
import { type SshAddr, openSshSwarm, type SshSwarm, type SshSwarmOptions } from '../src/swarms/ssh/index.ts';
import { testKey } from '../src/testing/test-key.ts';
import { clientMissing, runSsh, serverMissing, SshFolder, SshServer, type Talking } from './openssh-programs.ts';

const TYPES = ['ed25519', 'ecdsa', 'rsa'] as const;
const hello = new TextEncoder().encode('hello');

const openOurs = (options: Partial<SshSwarmOptions> = {}): Promise<SshSwarm> =>
  openSshSwarm({ bind: '127.0.0.1:0', privateKey: testKey(3), ...options });

/** Runs the client at a swarm, which it knows by its key. */
function connect(folder: SshFolder, swarm: SshSwarm, key: string, args: readonly string[]): Talking {
  const { ip, port } = swarm.addr.inner;
  const wire = Buffer.from(sshWireKey(testKey(3).publicKey)).toString('base64');
  const known = folder.file('known_hosts', `[${ip}]:${port} ssh-ed25519 ${wire}\n`);
  const host = ['-o', `UserKnownHostsFile=${known}`, '-o', 'StrictHostKeyChecking=yes', '-p', String(port)];
  return runSsh(['-i', key, '-o', 'IdentitiesOnly=yes', ...host, ...args]);
}

const refused = (error: unknown): true => {
  assert.ok(P2PError.is(error, 'refused'), String(error));
  return true;
};

describe('ssh with OpenSSH: its client dials', { skip: clientMissing() }, () => {
  for (const type of TYPES) {
    it(`an ${type} key is authenticated, by the fingerprint that ssh-keygen shows, and no channel is opened`, async () => {
      using folder = new SshFolder();
      const key = folder.key(type);
      const judged: AcceptPeer<SshAddr>[] = [];
      await using us = await openOurs({ accept: (peer) => judged.push(peer) > 0 });
      await using client = connect(folder, us, key, ['anybody@127.0.0.1', 'true']);
      assert.equal(await client.ended, 255);
      assert.match(client.text, /administratively prohibited: don't do that/);
      assert.deepEqual(
        judged.map(({ addr, publicKey }) => [addr.fingerprint, sshFingerprint(publicKey)]),
        [[folder.fingerprint(key), folder.fingerprint(key)]],
      );
    });
  }

  it('each cipher works, and the packets of its keep-alives are refused while it stays', async () => {
    using folder = new SshFolder();
    const key = folder.key('ed25519');
    for (const cipher of ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com']) {
      let messages = 0;
      await using us = await openOurs();
      us.listen(() => void messages++);
      us.serve(({ payload }) => {
        messages++;
        return payload;
      });
      const args = ['-N', '-vvv', '-c', cipher, '-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=1'];
      await using client = connect(folder, us, key, [...args, 'x@127.0.0.1']);
      await client.says(/receive packet: type 82/, 3);
      assert.match(client.text, new RegExp(`server->client cipher: ${cipher}`));
      assert.equal(messages, 0);
    }
  });

  it('keys are exchanged again when it wants to, and when we do', async () => {
    using folder = new SshFolder();
    const key = folder.key('ed25519');
    await using us = await openOurs({ rekeyAfterMs: 1500 });
    const args = ['-N', '-vvv', '-o', 'RekeyLimit=default 2', '-o', 'ServerAliveInterval=1'];
    await using client = connect(folder, us, key, [...args, 'x@127.0.0.1']);
    await client.says(/SSH2_MSG_NEWKEYS received/, 4);
    await client.says(/receive packet: type 82/, 3);
  });

  it('one that accept refuses is told so', async () => {
    using folder = new SshFolder();
    await using us = await openOurs({ accept: () => false });
    await using client = connect(folder, us, folder.key('ed25519'), ['x@127.0.0.1', 'true']);
    assert.equal(await client.ended, 255);
    assert.match(client.text, /Received disconnect from 127\.0\.0\.1 port \d+:14: refused/);
  });

  it('one that expects another key of ours leaves', async () => {
    using folder = new SshFolder();
    const key = folder.key('ed25519');
    await using us = await openOurs({ privateKey: testKey(4) });
    await using client = connect(folder, us, key, ['x@127.0.0.1', 'true']);
    assert.equal(await client.ended, 255);
    assert.match(client.text, /Host key verification failed/);
  });
});

describe('ssh with OpenSSH: we dial its server', { skip: serverMissing() }, () => {
  const authorized = `ssh-ed25519 ${Buffer.from(sshWireKey(testKey(3).publicKey)).toString('base64')} us`;

  for (const type of TYPES) {
    it(`a host key of ${type} is verified, we are authenticated, and our messages are no requests that it knows`, async () => {
      using folder = new SshFolder();
      const key = folder.key(type);
      await using server = await SshServer.open(folder, key, authorized);
      await using us = await openOurs({ user: 'root' });
      const addr = us.parseAddr(`${folder.fingerprint(key)}@127.0.0.1:${server.port}`);
      await assert.rejects(us.ask(addr, hello), refused);
      await assert.rejects(us.ask(addr, new Uint8Array(131_072)), refused);
      await us.tell(addr, hello);
      await assert.rejects(us.ask(addr, hello), refused);
      assert.equal(server.servers.length, 1);
      await server.servers[0]!.says(/Accepted publickey for root/);
    });
  }

  it('its keep-alives are answered, and it stays', async () => {
    using folder = new SshFolder();
    const key = folder.key('ed25519');
    await using server = await SshServer.open(folder, key, authorized, 'ClientAliveInterval 1\nClientAliveCountMax 1');
    await using us = await openOurs({ user: 'root' });
    await us.tell(`${folder.fingerprint(key)}@127.0.0.1:${server.port}`, hello);
    await server.servers[0]!.says(/receive packet: type 82/, 3);
  });

  it('one that does not know our key refuses us, and one with another key is not the one that was dialled', async () => {
    using folder = new SshFolder();
    const [key, other] = [folder.key('ed25519'), folder.key('ecdsa')];
    await using server = await SshServer.open(folder, key, folder.publicKey(other));
    await using us = await openOurs({ user: 'root' });
    await assert.rejects(us.ask(`${folder.fingerprint(key)}@127.0.0.1:${server.port}`, hello), refused);
    const wrong = us.ask(`${folder.fingerprint(other)}@127.0.0.1:${server.port}`, hello);
    await assert.rejects(wrong, (error) => P2PError.is(error, 'identity_mismatch'));
  });
});
