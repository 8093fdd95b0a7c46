/** QUIC carries asks and messages of any size, reliably and encrypted. Whoever answers has proven its key. */

import { decodeText, encodeText } from 'shoal/bytes';
import { P2PError } from 'shoal';
import { generateKey } from 'shoal/keys';
import { openQuicSwarm } from 'shoal/quic';

const bind = '127.0.0.1:0';
await using alice = await openQuicSwarm({ bind, privateKey: generateKey() });
await using bob = await openQuicSwarm({ bind, privateKey: generateKey() });

bob.serve(({ payload }) => encodeText(`${payload.length} bytes, thank you`));

const bobAddr = alice.parseAddr(bob.addr.text); // <PeerID>@127.0.0.1:<port>
const answer = await alice.ask(bobAddr, new Uint8Array(500_000), { timeoutMs: 5000 });
console.log(`bob says: ${decodeText(answer)}`);

await bob.close();
try {
  await alice.ask(bobAddr, encodeText('still there?'), { timeoutMs: 300 });
} catch (error) {
  if (!P2PError.is(error)) throw error;
  console.log(`${error.code}, and it may have been sent: ${error.sent}`);
}
