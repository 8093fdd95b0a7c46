/** Two peers that know nothing of each other but the PeerID. On the loopback network here: `lan: true` is the LAN. */

import { decodeText, encodeText } from 'shoal/bytes';
import { generateKey } from 'shoal/keys';
import { openPeers } from 'shoal/peers';

const options = {
  networkName: 'example-of-a-lan',
  bind: '127.0.0.1:0',
  lan: { broadcast: '127.255.255.255', port: 5499 }, // This machine only, and a port that nothing else uses.
};
await using bob = await openPeers({ ...options, privateKey: generateKey() });
await using alice = await openPeers({ ...options, privateKey: generateKey() });
bob.serve(({ src, payload }) => encodeText(`${decodeText(payload)}, ${src.id.slice(0, 6)}…`));

void (async () => {
  for await (const change of alice.changes()) {
    if (change.type === 'connected') console.log(`connected over ${change.path.transport}`);
    else if (change.type === 'lost') console.log(`lost: ${change.reason}`);
  }
})();
console.log(decodeText(await alice.ask(bob.id, encodeText('good morning'), { timeoutMs: 10_000 })));
console.log(alice.explain(bob.id).text);
