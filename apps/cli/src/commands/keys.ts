/** `shoal keygen` and `shoal id`. */

import { exportKey, fingerprints, generateKey, peerIdOfKey, sshFingerprint } from 'shoal/keys';
import { writeKeyFile } from 'shoal/key-files';
import { type CommandContext, type CommonOptions, loadKey } from '../context.ts';
import { Failure } from '../failure.ts';

/** Options of `shoal keygen`. */
export interface KeygenOptions extends CommonOptions {
  readonly out?: string | undefined;
  readonly force?: boolean | undefined;
}

/** Makes an Ed25519 key: into a file of mode 0600, or onto standard output. */
export async function keygen({ output }: CommandContext, { out, force }: KeygenOptions): Promise<void> {
  const key = generateKey();
  const id = peerIdOfKey(key.publicKey);
  if (out === undefined) {
    const pem = exportKey(key, 'pem');
    output.show({ event: 'key', id, pem }, pem.trimEnd().split('\n'));
    return;
  }
  try {
    await writeKeyFile(out, key, { overwrite: force });
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(exists ? `Cannot write ${out}: it exists; --force replaces it` : `Cannot write ${out}: ${why}`, {
      cause: error,
    });
  }
  output.show({ event: 'key', id, file: out }, id);
}

/** Shows who a key is, by every fingerprint. */
export async function identify({ output }: CommandContext, file: string): Promise<void> {
  const { publicKey } = await loadKey(file);
  const ids = {
    id: peerIdOfKey(publicKey),
    sha3: peerIdOfKey(publicKey, fingerprints.sha3),
    ssh: sshFingerprint(publicKey),
  };
  const lines = [
    `PeerID     ${ids.id}   (SHAKE256; the one in addresses)`,
    `SHA3-256   ${ids.sha3}   (go-p2p's quicswarm)`,
    `SSH        ${ids.ssh}`,
    `Algorithm  ${publicKey.algorithm}`,
  ];
  output.show({ event: 'id', ...ids, algorithm: publicKey.algorithm }, lines);
}
