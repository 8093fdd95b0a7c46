/** A key is who you are: made once, kept in a file that only you can read, known to others by its PeerID. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generateKey, peerIdOfKey, sshFingerprint } from 'shoal/keys';
import { readKeyFile, writeKeyFile } from 'shoal/key-files';

const folder = await mkdtemp(path.join(tmpdir(), 'shoal-example-'));
const file = path.join(folder, 'alice.pem');
try {
  const key = generateKey();
  await writeKeyFile(file, key); // PEM, mode 0600; an existing file is not replaced
  const again = await readKeyFile(file);

  console.log('PeerID:', peerIdOfKey(again.publicKey));
  console.log('as OpenSSH shows it:', sshFingerprint(again.publicKey));
  console.log('logging a key does not give it away:', JSON.stringify(again));
  if (peerIdOfKey(again.publicKey) !== peerIdOfKey(key.publicKey)) throw new Error('one key has one PeerID');
} finally {
  await rm(folder, { recursive: true });
}
