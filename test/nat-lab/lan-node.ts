/** A node of a LAN in the lab: says when it is up, and each peer that it hears. Arguments: seed, and options as JSON. */

import { openLan } from '../../src/discovery/lan.ts';
import type { LanOptions } from '../../src/discovery/lan-options.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { report } from './report-line.ts';

const seed = Number(process.argv[2]);
const options = JSON.parse(process.argv[3] ?? '{}') as Partial<LanOptions>;
const privateKey = testKey(seed);
const id = peerIdOfKey(privateKey.publicKey);

/** The same clock for all processes of this machine. */
const nowMs = (): number => performance.timeOrigin + performance.now();

await openLan({
  privateKey,
  networkName: 'lab',
  addrs: [`${id}@[::]:${5000 + seed}`],
  onPeer: ({ id: peer, addrs, interfaces }) => report({ heard: peer, addrs, interfaces, atMs: nowMs() }),
  ...options,
});
report({ up: id, atMs: nowMs() });
