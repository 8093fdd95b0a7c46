/**
 * Asks over SSH, by the fingerprints that `ssh-keygen -l` shows. A program on go-p2p reaches these addresses too. Run it with
 * `node --conditions=shoal-source`.
 */

import { generateKey, sshFingerprint } from 'shoal/keys';
import { openSshSwarm } from 'shoal/ssh';

const key = generateKey();
await using bob = await openSshSwarm({ bind: '127.0.0.1:0', privateKey: key });
bob.serve(({ src, payload }) => {
  console.log(`bob is asked by ${src.fingerprint}`);
  return payload.toReversed();
});

// Alice talks to bob's key and to no other.
await using alice = await openSshSwarm({
  bind: '127.0.0.1:0',
  privateKey: generateKey(),
  accept: ({ addr }) => addr.fingerprint === sshFingerprint(key.publicKey),
});
console.log(`alice asks ${bob.addr.text}`);
const answer = await alice.ask(bob.addr, Uint8Array.of(1, 2, 3));
if (answer.join() !== '3,2,1') throw new Error('bob should have turned it round');
