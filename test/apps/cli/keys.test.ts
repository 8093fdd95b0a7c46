import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { exportKey, generateKey, importKey, peerIdOfKey } from 'shoal/keys';
import { assertFails, listening, shoal } from './command.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-cli-keys-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('shoal keygen and id', () => {
  const file = path.join(folder, 'alice.pem');

  it('writes a key that only its owner can read, and prints its PeerID', async () => {
    const { code, stdout } = await shoal(['keygen', '--out', file]);
    assert.equal(code, 0);
    if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
    const pem = readFileSync(file, 'utf8');
    assert.equal(createPublicKey(pem).asymmetricKeyType, 'ed25519');
    assert.equal(stdout, `${peerIdOfKey(importKey(pem).publicKey)}\n`);
  });

  it('replaces a key only when told to', async () => {
    const before = readFileSync(file, 'utf8');
    assertFails(await shoal(['keygen', '--out', file]), 1, /it exists; --force replaces it/);
    assert.equal(readFileSync(file, 'utf8'), before);
    assert.equal((await shoal(['keygen', '--out', file, '--force'])).code, 0);
    assert.notEqual(readFileSync(file, 'utf8'), before);
  });

  it('reaches a peer whose PeerID begins with a dash', async () => {
    let key = generateKey();
    while (!peerIdOfKey(key.publicKey).startsWith('-')) key = generateKey();
    const dashed = path.join(folder, 'dashed.pem');
    writeFileSync(dashed, exportKey(key, 'pem'), { mode: 0o600 });
    await using bob = await listening('--stack', 'udp,p2pke,mbapp', '--key', dashed, '--echo');
    assert(bob.addr.startsWith('-'));
    for (const command of ['tell', 'ask', 'ping']) {
      const data = command === 'ping' ? ['--count', '1'] : ['--data', 'hello'];
      const ran = await shoal([command, bob.addr, '--stack', 'udp,p2pke,mbapp', ...data]);
      assert.equal(ran.code, 0, ran.stderr);
    }
  });

  it('id shows every fingerprint, and listen --key has that PeerID', async () => {
    const { events } = await shoal(['id', file, '--json']);
    const id = peerIdOfKey(importKey(readFileSync(file, 'utf8')).publicKey);
    assert.equal(events[0]?.['id'], id);
    assert.match(String(events[0]?.['ssh']), /^SHA256:[A-Za-z0-9+/]{43}$/);
    const { stdout } = await shoal(['id', file]);
    assert.match(stdout, new RegExp(`^PeerID +${id} `));
    await using alice = await listening('--stack', 'quic', '--key', file);
    assert(alice.addr.startsWith(`${id}@127.0.0.1:`));
  });
});
