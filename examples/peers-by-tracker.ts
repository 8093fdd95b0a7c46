/** Two peers that know nothing but the token of their network find each other by PeerID, through a tracker that can read nothing. */

import { decodeText, encodeText } from 'shoal/bytes';
import { generateKey } from 'shoal/keys';
import { openPeers } from 'shoal/peers';
import { createTrackerToken, openTrackerServer } from 'shoal/tracker';

// Elsewhere: `shoal tracker --bind 0.0.0.0:8080 --store sqlite:tracker.db`.
const server = await openTrackerServer({ bind: '127.0.0.1:0' });
// The secret of the network is behind the #, and never sent.
const { text: tracker } = createTrackerToken(server.url);

const open = () => openPeers({ privateKey: generateKey(), bind: '127.0.0.1:0', tracker, minPeers: 0 });
const [alice, bob] = await Promise.all([open(), open()]);
bob.serve(({ payload }) => encodeText(`Bob has heard: ${decodeText(payload)}`));

// Bob announces himself as soon as he is open.
for (;;) {
  const answer = await alice.ask(bob.id, encodeText('hello'), { timeoutMs: 1000 }).catch(() => undefined);
  if (answer === undefined) continue;
  console.log(decodeText(answer));
  break;
}
await Promise.all([alice.close(), bob.close()]);
await server.close();
